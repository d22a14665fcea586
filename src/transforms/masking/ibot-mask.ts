/** @file iBOT's masks (bytedance/ibot, loader.py): each view of each image draws its own ratio, then its own mask. */

import type { RandomStream } from "../../random.js";
import { type BlockRule, blockMask, type MaskGrid } from "./block-mask.js";

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

/** The most patches that a mask can hide. */
export function ibotLargestCount(grid: MaskGrid, { ratios, ratioSpreads }: IbotMaskOptions): number {
  const largest = Math.max(...ratios.map((ratio, i) => ratio + (ratioSpreads[i] ?? 0)));
  return Math.floor(largest * grid.rows * grid.columns);
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
