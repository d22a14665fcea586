/** @file Patches as rows of a matrix: where those of each sample stand, and the pixels that they hold. */

import {
  add,
  constant,
  div,
  GraphError,
  mean,
  reshape,
  sqrt,
  sub,
  type Tensor,
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

/** Added to a patch's variance under the root (MAE's value). */
const VARIANCE_EPSILON = 1e-6;

/**
 * The pixels of each patch in the order row, column, channel, as MAE predicts them (models_mae.py, patchify).
 * @param images `[B, C, H, W]`
 * @param normalizePatches Whether each patch is brought to mean 0 and deviation 1, by its **unbiased** variance.
 * @returns `[B * N, p * p * C]`
 */
export function patchTargets(images: Tensor, patchSize: number, normalizePatches: boolean): Tensor {
  const pixels = patchPixels(images, patchSize, "channelLast");
  if (!normalizePatches) return pixels;
  const centred = sub(pixels, mean(pixels, [1], { keepDims: true }));
  const deviation = sqrt(add(variance(pixels, [1], { keepDims: true }), VARIANCE_EPSILON));
  return div(centred, deviation);
}
