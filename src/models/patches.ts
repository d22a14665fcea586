/** @file Patches as rows of a matrix: where those of each sample stand, and the pixels that they hold. */

import {
  add,
  broadcastTo,
  cast,
  constant,
  div,
  GraphError,
  mean,
  reshape,
  scalar,
  scatterRows,
  sqrt,
  sub,
  type Tensor,
  transpose,
  variance,
} from "../graph/index.js";
import { patchPixels } from "../nn/index.js";

/**
 * Numbers within each sample as numbers of rows of the whole batch.
 * @param indices int64 or int32 `[B, …]` in [0, count) @returns `[B * …]`: sample b's numbers plus b * count
 */
export function batchRows(indices: Tensor, count: number): Tensor {
  const batch = indices.shape[0];
  if (batch === undefined) throw new GraphError(`batchRows: expected indices [B, …], got ${indices}`);
  const starts = constant(
    Array.from({ length: batch }, (_, sample) => sample * count),
    [batch, 1],
    indices.dtype,
  );
  return reshape(add(reshape(indices, [batch, -1]), starts), [indices.size]);
}

/**
 * Which patches of each sample are named.
 * @param indices int64 or int32 `[B, K]` in [0, count), each at most once a sample @returns bool `[B, count]`
 */
export function patchesNamed(indices: Tensor, count: number): Tensor {
  const [batch] = indices.shape as [number, number];
  const ones = broadcastTo(scalar(1), [indices.size, 1]);
  const marks = scatterRows(batchRows(indices, count), ones, batch * count);
  return cast(reshape(marks, [batch, count]), "bool");
}

/** Added to a patch's variance under the root (MAE's value). */
const VARIANCE_EPSILON = 1e-6;

/** Patches and their statistics. */
export interface PatchTargets {
  /** `[B * N, p * p * C]` */
  readonly targets: Tensor;
  /** Pixels are `targets * deviation + mean`: both `[B * N, 1]`; undefined where patches are not normalised. */
  readonly scale?: { readonly mean: Tensor; readonly deviation: Tensor };
}

/**
 * The pixels of each patch in the order row, column, channel, as MAE predicts them (models_mae.py, patchify).
 * @param images `[B, C, H, W]`
 * @param normalizePatches Whether each patch is brought to mean 0 and deviation 1, by its **unbiased** variance.
 */
export function patchTargets(images: Tensor, patchSize: number, normalizePatches: boolean): PatchTargets {
  const pixels = patchPixels(images, patchSize, "channelLast");
  if (!normalizePatches) return { targets: pixels };
  const average = mean(pixels, [1], { keepDims: true });
  const deviation = sqrt(add(variance(pixels, [1], { keepDims: true }), VARIANCE_EPSILON));
  return { targets: div(sub(pixels, average), deviation), scale: { mean: average, deviation } };
}

/**
 * The inverse of cutting square images into patches in the order row, column, channel.
 * @param patches `[B, N, p * p * C]` @returns `[B, C, H, W]`
 */
export function imagesOfPatches(patches: Tensor, patchSize: number): Tensor {
  const [batch, count, values] = patches.shape as [number, number, number];
  const side = Math.sqrt(count);
  const channels = values / patchSize ** 2;
  const split = reshape(patches, [batch, side, side, patchSize, patchSize, channels]);
  return reshape(transpose(split, [0, 5, 1, 3, 2, 4]), [batch, channels, side * patchSize, side * patchSize]);
}
