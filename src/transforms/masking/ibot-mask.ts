/** @file iBOT's masks (bytedance/ibot, loader.py): each view of each image draws its own ratio, then its own mask. */

import type { RandomStream } from "../../random.js";
import { type BlockRule, blockMask, type MaskGrid } from "./block-mask.js";
import { maskedCount } from "./packed-masks.js";

export interface IbotMaskOptions {
  /** Ratios of masked patches, of which each view picks one. */
  readonly ratios: readonly number[];
  /** Half the width of the range about each ratio from which the mask's own ratio is drawn. */
  readonly ratioSpreads: readonly number[];
  /** Aspect of the blocks, lowest and highest. */
  readonly aspect: readonly [number, number];
  /** Rectangles, or patches anywhere. */
  readonly shape: "block" | "random";
}

/** The rule on a grid: a block's area is at least that of a third of the grid's side, squared. */
export function ibotBlockRule({ rows, columns }: MaskGrid, aspect: readonly [number, number]): BlockRule {
  return { aspect, smallestBlock: Math.floor(Math.min(rows, columns) / 3) ** 2 };
}

/**
 * One view's mask: a ratio is picked, moved within its spread, and made a mask.
 * @returns 1 where masked, `[rows * columns]` in raster order.
 */
export function ibotMask(
  random: RandomStream,
  grid: MaskGrid,
  { ratios, ratioSpreads, aspect, shape }: IbotMaskOptions,
): Uint8Array<ArrayBuffer> {
  const pick = random.integer(ratios.length);
  const [centre, spread] = [ratios[pick] ?? 0, ratioSpreads[pick] ?? 0];
  const ratio = spread > 0 ? random.uniform(centre - spread, centre + spread) : centre;
  const target = ratio * grid.rows * grid.columns;
  if (shape === "block") return blockMask(random, grid, target, ibotBlockRule(grid, aspect));
  const mask = new Uint8Array(grid.rows * grid.columns);
  for (const cell of random.permutation(mask.length).subarray(0, Math.floor(target))) mask[cell] = 1;
  return mask;
}

/** Standard deviations above the mean up to which a batch's masked patches are provided for. */
const DEVIATIONS = 5;

/**
 * The most patches that are masked in `views` views together: what all of them can have, or, for many views, a number
 * that their sum exceeds less than once in a million batches.
 */
export function ibotCapacity(
  grid: MaskGrid,
  views: number,
  { ratios, ratioSpreads }: IbotMaskOptions,
): number {
  const patches = grid.rows * grid.columns;
  const average = (of: (ratio: number, spread: number) => number): number =>
    ratios.reduce((sum, ratio, i) => sum + of(ratio, ratioSpreads[i] ?? 0), 0) / ratios.length;
  const mean = average((ratio) => ratio);
  const variance = average((ratio, spread) => ratio ** 2 + spread ** 2 / 3) - mean ** 2;
  const likely = Math.ceil(patches * (views * mean + DEVIATIONS * Math.sqrt(views * variance)));
  const largest = Math.max(
    ...ratios.map((ratio, i) => Math.floor(patches * (ratio + (ratioSpreads[i] ?? 0)))),
  );
  return Math.min(views * largest, likely);
}

/** The masks of all views of a batch, drawn again in the rare case that they exceed `ibotCapacity`. */
export function ibotMasks(
  random: RandomStream,
  grid: MaskGrid,
  views: number,
  options: IbotMaskOptions,
): Uint8Array<ArrayBuffer>[] {
  const capacity = ibotCapacity(grid, views, options);
  for (;;) {
    const masks = Array.from({ length: views }, () => ibotMask(random, grid, options));
    if (masks.reduce((sum, mask) => sum + maskedCount(mask), 0) <= capacity) return masks;
  }
}
