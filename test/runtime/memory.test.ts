/** @file Peak memory of the process. */

import { expect, test } from "vitest";
import { peakMemory, resetPeakMemory } from "#src/runtime/index.js";

test("the peak rises with what was used, and stays when it is freed", () => {
  const before = peakMemory();
  expect(before).toBeGreaterThan(20e6);
  // Filled, so that the pages are there.
  const size = before + 50e6;
  let large: Uint8Array | undefined = new Uint8Array(size).fill(1);
  expect(large[size - 1]).toBe(1);
  large = undefined;
  const after = peakMemory();
  expect(after - before).toBeGreaterThan(40e6);
  // After a reset the peak is the present size.
  if (resetPeakMemory()) expect(peakMemory()).toBeLessThan(process.memoryUsage().rss + 20e6);
});
