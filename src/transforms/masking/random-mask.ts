/** @file MAE's masks (He et al. 2022, section 3; facebookresearch/mae, models_mae.py, random_masking). */

import type { RandomStream } from "../../random.js";

/** How many of `patches` a mask of this ratio leaves visible. */
export function keptCount(patches: number, ratio: number): number {
  return Math.floor(patches * (1 - ratio));
}

/**
 * One image's visible patches: those with the smallest of as many uniform numbers, that is, a random subset.
 * @returns `keptCount` raster order numbers, in the order of their random numbers.
 */
export function randomKept(random: RandomStream, patches: number, ratio: number): number[] {
  const noise = Array.from({ length: patches }, () => random.uniform());
  const order = noise.map((_, patch) => patch);
  order.sort((a, b) => (noise[a] as number) - (noise[b] as number));
  return order.slice(0, keptCount(patches, ratio));
}
