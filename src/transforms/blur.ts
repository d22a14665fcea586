/** @file Gaussian blur with one standard deviation per sample, as two products with banded matrices. */

import {
  constant,
  type DType,
  div,
  exp,
  GraphError,
  matmul,
  maximum,
  mul,
  reshape,
  square,
  sum,
  type Tensor,
} from "../graph/index.js";
import { imageShape, perSample } from "./images.js";
import { sharedConstant } from "./shared-constant.js";

/** Below it the neighbours' weights are 0 in any precision: the identity, without dividing by 0. */
const SMALLEST_SIGMA = 1e-3;

/**
 * Separable Gaussian blur with reflected borders, torchvision's `gaussian_blur`. sigma = 0 is the identity.
 *
 * Both directions are matrix products with a matrix per sample: more arithmetic than a sum of shifted images, but
 * one pass over the images instead of one for each weight.
 * @param images `[B, 3, H, W]` @param sigma Pixels, B elements, at least 0
 * @param kernelSize Odd number of weights.
 * @throws GraphError when the kernel size is even or the image is too small to be reflected under it.
 */
export function gaussianBlur(images: Tensor, sigma: Tensor, kernelSize: number): Tensor {
  const { batch, height, width } = imageShape("gaussianBlur", images);
  const radius = (kernelSize - 1) / 2;
  if (!Number.isInteger(radius) || radius < 0) {
    throw new GraphError(`gaussianBlur: the kernel size must be odd and positive, got ${kernelSize}`);
  }
  if (radius >= Math.min(height, width)) {
    throw new GraphError(
      `gaussianBlur: a kernel of ${kernelSize} reaches over a ${height}x${width} image and its reflection; ` +
        `use at most ${2 * Math.min(height, width) - 1}`,
    );
  }
  const weights = gaussianWeights(perSample("gaussianBlur", sigma, images), radius);
  const alongRows = bandMatrix(weights, width);
  const alongColumns = height === width ? alongRows : bandMatrix(weights, height);
  const rows = matmul(reshape(images, [batch, 3 * height, width]), alongRows, { transposeB: true });
  return matmul(reshape(alongColumns, [batch, 1, height, height]), reshape(rows, images.shape));
}

/** exp(-d^2 / (2 sigma^2)), normalised over the whole kernel, for the distances d = 0..radius: `[B, radius + 1]`. */
function gaussianWeights(sigma: Tensor, radius: number): Tensor {
  const { dtype } = sigma;
  const distances = Array.from({ length: radius + 1 }, (_, d) => d);
  const safe = maximum(reshape(sigma, [sigma.size, 1]), SMALLEST_SIGMA);
  const weights = exp(mul(square(div(constant(distances, [1, radius + 1], dtype), safe)), -0.5));
  const timesUsed = constant(
    distances.map((d) => (d === 0 ? 1 : 2)),
    [1, radius + 1],
    dtype,
  );
  return div(weights, sum(mul(weights, timesUsed), [1], { keepDims: true }));
}

/**
 * The matrices `[B, size, size]` whose entry (i, j) is the weight of pixel j in blurred pixel i. Each is the
 * combination, by the weights, of constant matrices that mark the pixels at distance d, reflections included.
 */
function bandMatrix(weights: Tensor, size: number): Tensor {
  const [batch, taps] = weights.shape as [number, number];
  return reshape(matmul(weights, bandBasis(size, taps, weights.dtype)), [batch, size, size]);
}

/** `[taps, size * size]`: row d counts how often blurred pixel i takes pixel j at distance d. */
function bandBasis(size: number, taps: number, dtype: DType): Tensor {
  return sharedConstant(`blur ${size} ${taps} ${dtype}`, () => {
    const basis = new Float32Array(taps * size * size);
    for (let d = 0; d < taps; d++) {
      for (let i = 0; i < size; i++) {
        for (const step of d === 0 ? [0] : [-d, d]) {
          const at = d * size * size + i * size + reflected(i + step, size);
          basis[at] = (basis[at] as number) + 1;
        }
      }
    }
    return constant(basis, [taps, size * size], dtype);
  });
}

/** The pixel that stands at a position outside the image: mirrored at the centres of the border pixels. */
function reflected(position: number, size: number): number {
  const inside = Math.abs(position);
  return inside < size ? inside : 2 * (size - 1) - inside;
}
