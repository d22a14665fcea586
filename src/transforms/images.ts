/** @file Batches of images as tensors: checks, per-sample numbers beside them, value ranges. */

import {
  add,
  cast,
  constant,
  type DType,
  div,
  GraphError,
  isFloat,
  mul,
  reshape,
  sub,
  type Tensor,
} from "../graph/index.js";

/** Mean and standard deviation of ImageNet's training images by channel, on [0, 1]. */
export const imagenetMean = [0.485, 0.456, 0.406] as const;
export const imagenetStd = [0.229, 0.224, 0.225] as const;

export interface ImageBatchShape {
  readonly batch: number;
  readonly height: number;
  readonly width: number;
}

/** The sizes of a batch of RGB images. @throws GraphError unless it is floating point `[B, 3, H, W]`. */
export function imageShape(name: string, images: Tensor): ImageBatchShape {
  const [batch, channels, height, width] = images.shape;
  if (images.rank !== 4 || channels !== 3 || !isFloat(images.dtype)) {
    throw new GraphError(`${name}: expected floating point images [B, 3, H, W], got ${images}`);
  }
  return { batch: batch as number, height: height as number, width: width as number };
}

/**
 * One number per sample, of any shape that holds B elements, as `[B, 1, 1, 1]`.
 * @throws GraphError when it does not hold as many numbers as there are images.
 */
export function perSample(name: string, numbers: Tensor, images: Tensor): Tensor {
  const batch = images.shape[0] as number;
  if (numbers.size !== batch) {
    throw new GraphError(`${name}: expected one number for each image of ${images}, got ${numbers}`);
  }
  return reshape(numbers, [batch, 1, 1, 1]);
}

/** Bytes `[B, 3, H, W]` as numbers in [0, 1]. */
export function toUnitRange(bytes: Tensor, dtype: DType = "float32"): Tensor {
  return div(cast(bytes, dtype), 255); // not times 1 / 255: a level must equal level / 255, which thresholds are
}

/** Images in [0, 1] to zero mean and unit deviation per channel (ImageNet's figures). */
export function normalize(images: Tensor): Tensor {
  imageShape("normalize", images);
  const centred = sub(images, perChannel(imagenetMean, images.dtype));
  const scale = imagenetStd.map((deviation) => 1 / deviation);
  return mul(centred, perChannel(scale, images.dtype));
}

/** The inverse of `normalize`. */
export function denormalize(images: Tensor): Tensor {
  imageShape("denormalize", images);
  return add(mul(images, perChannel(imagenetStd, images.dtype)), perChannel(imagenetMean, images.dtype));
}

/** A constant `[1, 3, 1, 1]`. */
export function perChannel(values: readonly number[], dtype: DType): Tensor {
  return constant(values, [1, 3, 1, 1], dtype);
}
