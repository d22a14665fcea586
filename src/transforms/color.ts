/**
 * @file Brightness, contrast, saturation, grayscale and solarisation with one factor per sample, as
 * torchvision.transforms.functional does them on float tensors (clamping after each).
 */

import {
  abs,
  add,
  cast,
  clamp,
  constant,
  type DType,
  greaterEqual,
  matmul,
  mean,
  mul,
  reshape,
  sub,
  type Tensor,
} from "../graph/index.js";
import { imageShape, perSample } from "./images.js";

/** torchvision's weights of red, green and blue in grey; they add up to 0.9999. */
const LUMA = [0.2989, 0.587, 0.114] as const;

const IDENTITY = [1, 0, 0, 0, 1, 0, 0, 0, 1];

/** `[B, 3, H, W]` as `[B, 3, H W]`: a matrix of pixels by colour. */
function pixels(images: Tensor): Tensor {
  const { batch, height, width } = imageShape("color", images);
  return reshape(images, [batch, 3, height * width]);
}

/** The mean grey level of each image, `[B, 1, 1]`. */
function meanGray(pixelsOfImages: Tensor): Tensor {
  const luma = constant(LUMA, [1, 1, 3], pixelsOfImages.dtype);
  return matmul(luma, mean(pixelsOfImages, [2], { keepDims: true }));
}

/** The matrices `image I + gray 1 luma^T`, `[B, 3, 3]`, of the map x -> image x + gray luminance(x). */
function luminanceMatrix(image: Tensor, gray: Tensor, dtype: DType): Tensor {
  const gray3 = constant([...LUMA, ...LUMA, ...LUMA], [1, 3, 3], dtype);
  return add(mul(image, constant(IDENTITY, [1, 3, 3], dtype)), mul(gray, gray3));
}

/** Coefficients per sample, B elements each. */
export interface LuminanceBlend {
  /** Of the image itself. */
  readonly image: Tensor;
  /** Of its grey version. */
  readonly gray: Tensor;
  /** Of its mean grey level. */
  readonly mean: Tensor;
}

/**
 * clamp(image x + gray g(x) + mean mean(g(x)), 0, 1), g being the grey version. With a factor f it is the identity
 * (1, 0, 0), brightness (f, 0, 0), contrast (f, 0, 1 - f) or saturation (f, 1 - f, 0), so that one graph serves any
 * order of them.
 */
export function luminanceBlend(images: Tensor, coefficients: LuminanceBlend): Tensor {
  const flat = (numbers: Tensor): Tensor =>
    reshape(perSample("luminanceBlend", numbers, images), [numbers.size, 1, 1]);
  const x = pixels(images);
  const matrix = luminanceMatrix(flat(coefficients.image), flat(coefficients.gray), images.dtype);
  const level = mul(meanGray(x), flat(coefficients.mean));
  return reshape(clamp(add(matmul(matrix, x), level), 0, 1), images.shape);
}

/** clamp(factor x): 0 is black, 1 the image. @param factor B elements, at least 0 */
export function adjustBrightness(images: Tensor, factor: Tensor): Tensor {
  imageShape("adjustBrightness", images);
  return clamp(mul(images, perSample("adjustBrightness", factor, images)), 0, 1);
}

/** Blends with the image's mean grey level: 0 is that level, 1 the image. @param factor B elements, at least 0 */
export function adjustContrast(images: Tensor, factor: Tensor): Tensor {
  const f = perSample("adjustContrast", factor, images);
  const level = reshape(meanGray(pixels(images)), f.shape);
  return clamp(add(mul(images, f), mul(level, sub(1, f))), 0, 1);
}

/** Blends with the grey version: 0 is grey, 1 the image. @param factor B elements, at least 0 */
export function adjustSaturation(images: Tensor, factor: Tensor): Tensor {
  const f = reshape(perSample("adjustSaturation", factor, images), [factor.size, 1, 1]);
  const matrix = luminanceMatrix(f, sub(1, f), images.dtype);
  return reshape(clamp(matmul(matrix, pixels(images)), 0, 1), images.shape);
}

/** Grey (three equal channels) where `amount` is 1, the image where it is 0. @param amount B elements */
export function grayscale(images: Tensor, amount: Tensor): Tensor {
  const a = reshape(perSample("grayscale", amount, images), [amount.size, 1, 1]);
  return reshape(matmul(luminanceMatrix(sub(1, a), a, images.dtype), pixels(images)), images.shape);
}

/**
 * Inverts what is at least the threshold. A threshold above 1 leaves the image as it is.
 * @param threshold B elements; PIL's 128 of 255 is 128 / 255
 */
export function solarize(images: Tensor, threshold: Tensor): Tensor {
  imageShape("solarize", images);
  // |x - 1| = 1 - x where the mask is 1: cheaper than a selection.
  const isBright = greaterEqual(images, perSample("solarize", threshold, images));
  return abs(sub(images, cast(isBright, images.dtype)));
}
