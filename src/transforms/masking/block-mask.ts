/**
 * @file Block-wise masks (BEiT, Bao et al. 2022): rectangles of patches are masked one after another until a target
 * is reached. iBOT (loader.py) and DINOv2 (data/masking.py) follow the same rule with other bounds.
 */

import type { RandomStream } from "../../random.js";

/** Rows and columns of patches. */
export interface MaskGrid {
  readonly rows: number;
  readonly columns: number;
}

export interface BlockRule {
  /** Aspect of the rectangles, height over width, lowest and highest. */
  readonly aspect: readonly [number, number];
  /** The smallest area drawn for a rectangle, in patches. What is still missing may be less: then up to this. */
  readonly smallestBlock: number;
  /** The largest area drawn for a rectangle, in patches (default: what is still missing). */
  readonly largestBlock?: number;
}

/** Aspects of the blocks of BEiT, iBOT and DINOv2. */
export const blockAspect = [0.3, 1 / 0.3] as const;

/** Rectangles that are tried before the mask is left as it is. */
const ATTEMPTS = 10;

/**
 * Masks rectangles until `target` patches are masked, or no further rectangle fits; never more than `target`.
 * @param target May be fractional. @returns 1 where masked, `[rows * columns]` in raster order.
 */
export function blockMask(
  random: RandomStream,
  grid: MaskGrid,
  target: number,
  rule: BlockRule,
): Uint8Array<ArrayBuffer> {
  const mask = new Uint8Array(grid.rows * grid.columns);
  let count = 0;
  while (count < target) {
    const missing = Math.min(target - count, rule.largestBlock ?? target);
    const added = addBlock(random, grid, mask, missing, rule);
    if (added === 0) break;
    count += added;
  }
  return mask;
}

/** Masks one rectangle that adds at least one patch and at most `missing`. @returns how many it added. */
function addBlock(
  random: RandomStream,
  { rows, columns }: MaskGrid,
  mask: Uint8Array,
  missing: number,
  { aspect: [narrow, wide], smallestBlock }: BlockRule,
): number {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const area = random.uniform(smallestBlock, missing);
    const aspect = Math.exp(random.uniform(Math.log(narrow), Math.log(wide)));
    const height = Math.round(Math.sqrt(area * aspect));
    const width = Math.round(Math.sqrt(area / aspect));
    if (height >= rows || width >= columns) continue;
    const top = random.integer(rows - height + 1);
    const left = random.integer(columns - width + 1);
    const cells: number[] = [];
    for (let row = top; row < top + height; row++) {
      for (let column = left; column < left + width; column++) {
        const cell = row * columns + column;
        if (mask[cell] === 0) cells.push(cell);
      }
    }
    if (cells.length === 0 || cells.length > missing) continue;
    for (const cell of cells) mask[cell] = 1;
    return cells.length;
  }
  return 0;
}
