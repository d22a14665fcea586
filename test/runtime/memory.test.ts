/** @file Peak memory of the process. */

import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { peakMemory, resetPeakMemory } from "#src/runtime/index.js";

test("the peak rises with what was used, stays when that is freed, and falls when it is reset", async () => {
  const before = peakMemory();
  expect(before).toBeGreaterThan(20e6);
  // A thread that has ended holds nothing. Filled, so that the pages are there.
  const size = before + 100e6;
  await once(new Worker(`new Uint8Array(${size}).fill(1)`, { eval: true }), "exit");
  const after = peakMemory();
  expect(after - before).toBeGreaterThan(80e6);
  if (resetPeakMemory()) expect(peakMemory()).toBeLessThan(after - size / 2);
  else expect(peakMemory()).toBeGreaterThanOrEqual(after);
});
