/**
 * @file DINOv2's masks (dinov2/data/collate.py, data/masking.py): some views of the batch are masked, by ratios that
 * are stratified over them, and all are shuffled.
 */

import type { RandomStream } from "../../random.js";
import { type BlockRule, blockMask, type MaskGrid } from "./block-mask.js";

export interface Dinov2MaskOptions {
  /** Share of the views that are masked. */
  readonly probability: number;
  /** Lowest and highest ratio of masked patches. */
  readonly ratio: readonly [number, number];
  /** Aspect of the blocks, lowest and highest. */
  readonly aspect: readonly [number, number];
}

/** Blocks of at least 4 patches and at most half of them. */
export function dinov2BlockRule({ rows, columns }: MaskGrid, aspect: readonly [number, number]): BlockRule {
  return { aspect, smallestBlock: 4, largestBlock: 0.5 * rows * columns };
}

/** The bounds of each masked view's ratio: `ratio` in as many equal parts as there are masked views. */
function strata(views: number, { probability, ratio: [low, high] }: Dinov2MaskOptions): [number, number][] {
  const masked = Math.floor(views * probability);
  const bound = (i: number): number => low + ((high - low) * i) / masked;
  return Array.from({ length: masked }, (_, i) => [bound(i), bound(i + 1)]);
}

/** The most patches that can be masked in all views of a batch: the sum of the strata's largest counts. */
export function dinov2Capacity(grid: MaskGrid, views: number, options: Dinov2MaskOptions): number {
  return strata(views, options)
    .map(([, high]) => Math.floor(high * grid.rows * grid.columns))
    .reduce((total, count) => total + count, 0);
}

/**
 * The masks of all views of a batch: view i of the masked ones draws its ratio between the bounds i and i + 1 of
 * equal parts of the range; the rest have none; then the order is shuffled.
 * @returns A mask for each of the `views` views, 1 where masked, `[rows * columns]` in raster order.
 */
export function dinov2Masks(
  random: RandomStream,
  grid: MaskGrid,
  views: number,
  options: Dinov2MaskOptions,
): Uint8Array<ArrayBuffer>[] {
  const patches = grid.rows * grid.columns;
  const rule = dinov2BlockRule(grid, options.aspect);
  const masks = strata(views, options).map(([low, high]) =>
    blockMask(random, grid, Math.floor(patches * random.uniform(low, high)), rule),
  );
  while (masks.length < views) masks.push(new Uint8Array(patches));
  return Array.from(random.permutation(views), (from) => masks[from] as Uint8Array<ArrayBuffer>);
}
