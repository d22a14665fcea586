/** @file Schedules against the published formulas. */

import { expect, test } from "vitest";
import {
  constantSchedule,
  cosineSchedule,
  linearSchedule,
  sequentialSchedule,
  warmupCosineSchedule,
} from "#src/nn/index.js";
import { fixture } from "./helpers.js";

test("warm-up and cosine are iBOT's, step by step", () => {
  const schedule = warmupCosineSchedule({ base: 0.5, final: 0.1, steps: 12, warmupSteps: 4 });
  fixture.schedule.forEach((value, step) => {
    expect(schedule(step), `step ${step}`).toBeCloseTo(value, 8);
  });
  expect(schedule(12)).toBe(0.1);
  expect(schedule(1000)).toBe(0.1);
});

test("linear includes both ends; one step is its start", () => {
  const schedule = linearSchedule(1, 3, 3);
  expect([0, 1, 2, 3, 9].map(schedule)).toEqual([1, 2, 3, 3, 3]);
  expect(linearSchedule(1, 3, 1)(0)).toBe(1);
});

test("stages count from their own start", () => {
  const schedule = sequentialSchedule(
    [
      { steps: 2, schedule: constantSchedule(7) },
      { steps: 2, schedule: linearSchedule(0, 1, 2) },
    ],
    cosineSchedule(2, 0, 2),
  );
  expect([0, 1, 2, 3, 4, 5, 6].map((step) => Math.round(schedule(step) * 1e9) / 1e9)).toEqual([
    7, 7, 0, 1, 2, 1, 0,
  ]);
});

test("a warm-up longer than the run is refused", () => {
  expect(() => warmupCosineSchedule({ base: 1, steps: 5, warmupSteps: 6 })).toThrow(
    "a warm-up of 6 steps does not fit a run of 5; shorten it",
  );
});
