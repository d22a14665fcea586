/** @file The built-in data set: procedural images that need no download. */

import { DataError } from "./data-error.js";
import { type Dataset, makeDataset } from "./dataset.js";
import { deadLeavesSubject, SUBJECTS } from "./dead-leaves.js";

const DEFAULT_COUNT = 10_000;
const DEFAULT_SIZE = 32;

/**
 * @param count Number of images as the user wrote it; empty for the default of 10,000.
 * @throws DataError when count or size make no sense.
 */
export function openSynthetic(count: string, options: { seed?: number; size?: number } = {}): Dataset {
  const { seed = 0, size = DEFAULT_SIZE } = options;
  const length = count === "" ? DEFAULT_COUNT : Number(count);
  if (!/^\d*$/.test(count) || length < 1 || length > 2 ** 31 - 1) {
    throw new DataError(`synthetic:${count}: expected a number of images, such as synthetic:10000.`);
  }
  if (!Number.isInteger(size) || size < 8 || size > 4096) {
    throw new DataError(`Synthetic images of ${size} px: expected a size from 8 to 4096.`);
  }
  return makeDataset({
    name: "synthetic",
    length,
    classes: SUBJECTS,
    label: (index) => deadLeavesSubject(seed, index).class,
    sampleName: (index) => `synthetic-${index}`,
    source: (index) => ({ kind: "deadLeaves", seed, index, size }),
    factors: (index) => deadLeavesSubject(seed, index),
    identity: [`dead-leaves 1, seed ${seed}, ${length} images of ${size} px`],
  });
}
