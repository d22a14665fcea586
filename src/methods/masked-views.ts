/** @file Masks of the two global views as inputs of a step: the masks, and the list of masked patches. */

import { gather, type Tensor } from "../graph/index.js";
import { patchCount, type VisionTransformerConfig } from "../models/index.js";
import type { RandomStream } from "../random.js";
import { type MaskGrid, packMasks } from "../transforms/index.js";
import type { BatchDraw } from "./method.js";

/** Masks of the global views of a batch, in the order of `multiCrop`. */
export interface MaskedViews {
  /** bool `[2 B, N]` */
  readonly mask: Tensor;
  /** int64 `[M]`: places of masked patches among the 2 B N; of the first one behind the last. */
  readonly rows: Tensor;
  /** `[M]`: 1 over the number of masked patches of the same view; 0 behind the last. */
  readonly share: Tensor;
}

export interface MaskRule {
  /** Most masked patches of so many views. */
  capacity(views: number): number;
  masks(random: RandomStream, views: number): Uint8Array[];
}

/** The patches of a global view. */
export function maskGrid({ imageSize, patchSize }: VisionTransformerConfig): MaskGrid {
  return { rows: imageSize / patchSize, columns: imageSize / patchSize };
}

/** Draws masks for the global views of a batch by a rule. */
export function maskDraw(encoder: VisionTransformerConfig, { capacity, masks }: MaskRule): BatchDraw {
  const patches = patchCount(encoder);
  // A list may be empty in no graph.
  const room = (batch: number): number => Math.max(1, capacity(2 * batch));
  return {
    types: (batch) => ({
      mask: { dtype: "bool", shape: [2 * batch, patches] },
      rows: { dtype: "int64", shape: [room(batch)] },
      share: { dtype: "float32", shape: [room(batch)] },
    }),
    drawBatch: (random, batch) => {
      const { mask, rows, weight } = packMasks(masks(random, 2 * batch), room(batch));
      return { mask, rows, share: weight };
    },
  };
}

/** The masked ones of all patches. @param patches `[2 B * N, D]` @returns `[M, D]` */
export function maskedOnly(patches: Tensor, { rows }: MaskedViews): Tensor {
  return gather(patches, 0, rows);
}

/**
 * @param ratios Lowest and highest share of masked patches.
 * @throws RangeError when no mask with such ratios can be placed.
 */
export function checkMasks({ rows }: MaskGrid, [low, high]: readonly [number, number]): void {
  if (!(low >= 0 && low <= high && high < 1)) {
    throw new RangeError(
      `the share of masked patches goes from ${low} to ${high}, and a view needs patches that are shown; ` +
        "choose ratios that stay between 0 and 1",
    );
  }
  if (high > 0 && (rows < 3 || Math.floor(high * rows * rows) < 1)) {
    throw new RangeError(
      `masks of up to ${high} of ${rows} x ${rows} patches cannot be placed, as a block must be smaller than the ` +
        "image; use a larger imageSize or a smaller patchSize, so that there are at least 3 x 3 patches",
    );
  }
}
