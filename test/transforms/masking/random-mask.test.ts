/** @file MAE's masks: exact against NumPy on the same numbers, counts and uniformity over 10,000 draws. */

import { expect, test } from "vitest";
import { randomStream } from "#src/random.js";
import { keptCount, randomKept } from "#src/transforms/index.js";
import { Replay, storedMasks } from "./helpers.js";

test.each(storedMasks.random)("the patches that NumPy keeps: $patches at ratio $ratio", (stored) => {
  expect(randomKept(new Replay(stored.words), stored.patches, stored.ratio)).toEqual(stored.kept);
});

test("the published counts", () => {
  expect(keptCount(196, 0.75)).toBe(49);
  expect(keptCount(256, 0.75)).toBe(64);
  expect(keptCount(64, 0.75)).toBe(16);
});

test("10,000 draws: as many distinct patches each time, and every patch equally often", () => {
  const draws = 10_000;
  const seen = new Uint32Array(64);
  for (let i = 0; i < draws; i++) {
    const kept = randomKept(randomStream(3, "mask", i), 64, 0.75);
    if (new Set(kept).size !== 16) throw new Error(`draw ${i} keeps ${kept.join(", ")}`);
    for (const patch of kept) seen[patch] = (seen[patch] ?? 0) + 1;
  }
  // Binomial with p = 1/4: six standard deviations.
  for (const count of seen) expect(Math.abs(count - draws / 4)).toBeLessThan(6 * Math.sqrt((draws * 3) / 16));
});
