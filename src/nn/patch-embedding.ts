/** @file Patch embedding: a convolution whose stride is its kernel. */

import { add, at, GraphError, matmul, reshape, type Tensor, transpose } from "../graph/index.js";
import { type Conv2d, type Conv2dOptions, conv2dParameters } from "./convolution.js";
import type { ParameterSpec } from "./parameter.js";

export interface PatchEmbedding<Leaf> {
  /** Weight `[D, C, p, p]`. */
  readonly proj: Conv2d<Leaf>;
}

export function patchEmbeddingParameters(
  channels: number,
  features: number,
  patchSize: number,
  options: Conv2dOptions = {},
): PatchEmbedding<ParameterSpec> {
  return { proj: conv2dParameters(channels, features, patchSize, options) };
}

/**
 * One row per patch, raster order within a sample. As stride and kernel are equal, the convolution is a rearranging of
 * pixels and one matrix product.
 * @param images `[B, C, H, W]` @returns `[B * N, D]` with N = (H / p) (W / p)
 * @throws GraphError when the images' sides are no multiples of the patch.
 */
export function patchEmbedding({ proj: { weight, bias } }: PatchEmbedding<Tensor>, images: Tensor): Tensor {
  const [features, channels, patch] = weight.shape as [number, number, number, number];
  const [batch, imageChannels, height, width] = images.shape;
  if (images.rank !== 4 || batch === undefined || height === undefined || width === undefined) {
    throw new GraphError(`patchEmbedding: expected images [B, ${channels}, H, W], got ${images}`);
  }
  if (imageChannels !== channels) {
    throw new GraphError(`patchEmbedding: the weight ${weight} takes ${channels} channels, got ${images}`);
  }
  if (height % patch !== 0 || width % patch !== 0) {
    throw new GraphError(
      `patchEmbedding: an image of ${height}x${width} does not divide into patches of ${patch}x${patch}; ` +
        `resize it to multiples of ${patch}, e.g. ${nearest(height, patch)}x${nearest(width, patch)}`,
    );
  }
  const [rows, columns] = [height / patch, width / patch];
  const split = reshape(images, [batch, channels, rows, patch, columns, patch]);
  const pixels = reshape(transpose(split, [0, 2, 4, 1, 3, 5]), [
    batch * rows * columns,
    channels * patch * patch,
  ]);
  const matrix = reshape(weight, [features, at(pixels.shape, 1)]);
  const product = matmul(pixels, matrix, { transposeB: true });
  return bias ? add(product, bias) : product;
}

function nearest(size: number, patch: number): number {
  return Math.max(1, Math.round(size / patch)) * patch;
}
