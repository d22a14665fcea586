/** @file Patch embedding: a convolution whose stride is its kernel. */

import { add, at, GraphError, gather, matmul, reshape, type Tensor, transpose } from "../graph/index.js";
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

/** In which order a patch's values stand in its row: by channel, row, column; or by row, column, channel (MAE). */
export type PatchOrder = "channelFirst" | "channelLast";

/**
 * One row of pixels per patch, raster order within a sample.
 * @param images `[B, C, H, W]` @returns `[B * N, C * p * p]` with N = (H / p) (W / p)
 * @throws GraphError when the images' sides are no multiples of the patch.
 */
export function patchPixels(images: Tensor, patch: number, order: PatchOrder = "channelFirst"): Tensor {
  const [batch, channels, height, width] = images.shape;
  if (
    images.rank !== 4 ||
    batch === undefined ||
    channels === undefined ||
    height === undefined ||
    width === undefined
  ) {
    throw new GraphError(`patches: expected images [B, C, H, W], got ${images}`);
  }
  if (height % patch !== 0 || width % patch !== 0) {
    throw new GraphError(
      `patches: an image of ${height}x${width} does not divide into patches of ${patch}x${patch}; ` +
        `resize it to multiples of ${patch}, e.g. ${nearest(height, patch)}x${nearest(width, patch)}`,
    );
  }
  const [rows, columns] = [height / patch, width / patch];
  const split = reshape(images, [batch, channels, rows, patch, columns, patch]);
  const axes = order === "channelFirst" ? [0, 2, 4, 1, 3, 5] : [0, 2, 4, 3, 5, 1];
  return reshape(transpose(split, axes), [batch * rows * columns, channels * patch * patch]);
}

/**
 * One row per patch, raster order within a sample. As stride and kernel are equal, the convolution is a rearranging of
 * pixels and one matrix product.
 * @param images `[B, C, H, W]`
 * @param kept Rows that are computed, int64 or int32 `[M]` in [0, B * N); all when omitted.
 * @returns `[B * N, D]`, or `[M, D]`, with N = (H / p) (W / p)
 * @throws GraphError when the images' sides are no multiples of the patch.
 */
export function patchEmbedding(
  { proj: { weight, bias } }: PatchEmbedding<Tensor>,
  images: Tensor,
  kept?: Tensor,
): Tensor {
  const [features, channels, patch] = weight.shape as [number, number, number, number];
  if (images.shape[1] !== channels) {
    throw new GraphError(`patchEmbedding: the weight ${weight} takes ${channels} channels, got ${images}`);
  }
  const all = patchPixels(images, patch);
  // Picked before the product: what is not kept costs nothing, and pixels need no gradient through the picking.
  const pixels = kept ? gather(all, 0, kept) : all;
  const matrix = reshape(weight, [features, at(pixels.shape, 1)]);
  const product = matmul(pixels, matrix, { transposeB: true });
  return bias ? add(product, bias) : product;
}

function nearest(size: number, patch: number): number {
  return Math.max(1, Math.round(size / patch)) * patch;
}
