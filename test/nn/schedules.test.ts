/** @file Schedules against the published formulas. */

import { expect, test } from "vitest";
import {
  constantSchedule,
  cosineSchedule,
  linearSchedule,
  type Schedule,
  sequentialSchedule,
  type WarmupCosineOptions,
  warmupCosineSchedule,
} from "#src/nn/index.js";
import { readFixture } from "./helpers.js";

type Case = { readonly values: readonly number[]; readonly steps: number } & (
  | ({ readonly kind: "warmupCosine" } & WarmupCosineOptions)
  | { readonly kind: "linear"; readonly from: number; readonly to: number }
);

const { schedules } = readFixture<{ readonly schedules: readonly Case[] }>("models/optimizers.json");

test.each(schedules)("$kind over $steps steps is iBOT's, step by step", (stored) => {
  const schedule: Schedule =
    stored.kind === "linear"
      ? linearSchedule(stored.from, stored.to, stored.steps)
      : warmupCosineSchedule(stored);
  stored.values.forEach((value, step) => {
    expect(schedule(step), `step ${step}`).toBeCloseTo(value, 12);
  });
});

test("after their last step schedules stay", () => {
  const schedule = warmupCosineSchedule({ base: 0.5, final: 0.1, steps: 12, warmupSteps: 4 });
  expect([12, 1000].map(schedule)).toEqual([0.1, 0.1]);
  expect([3, 9].map(linearSchedule(1, 3, 3))).toEqual([3, 3]);
});

test("stages count from their own start", () => {
  const schedule = sequentialSchedule(
    [
      { steps: 2, schedule: constantSchedule(7) },
      { steps: 2, schedule: linearSchedule(0, 1, 2) },
    ],
    cosineSchedule(2, 0, 2),
  );
  const rounded = [0, 1, 2, 3, 4, 5, 6].map((step) => Math.round(schedule(step) * 1e9) / 1e9);
  expect(rounded).toEqual([7, 7, 0, 1, 2, 1, 0]);
});

test("a warm-up longer than the run is refused", () => {
  expect(() => warmupCosineSchedule({ base: 1, steps: 5, warmupSteps: 6 })).toThrow(
    "a warm-up of 6 steps does not fit a run of 5; shorten it",
  );
});
