/** @file The DINO family in a run: schedules, what is drawn, drop path, resuming. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Method, MethodSchedule } from "#src/methods/index.js";
import { randomStream } from "#src/random.js";
import { mapValues } from "#src/records.js";
import { buildMethod } from "#src/training/index.js";
import { expectClose, get, readFixture } from "../nn/helpers.js";
import { temporaryFolder } from "../training/helpers.js";
import { tensorsOf, tinyConfig, tinyRun } from "../training/tiny.js";
import { randomStep, smallMethod } from "./self-distillation-helpers.js";

interface Schedules {
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
  readonly warmup: number;
  readonly start: number;
  readonly end: number;
  readonly ibot: readonly number[];
  readonly dinov2: readonly number[];
  readonly momentum: Readonly<Record<"ibot" | "dinov2", readonly number[]>>;
}

test.each(["dino", "ibot", "dinov2"] as const)("%s: temperature and momentum, step by step", (name) => {
  const stored = readFixture<Schedules>("methods/teacher_schedules.json");
  const method = smallMethod({
    name,
    teacherTemperatureWarmup: stored.warmup,
    teacherTemperatureStart: stored.start,
    teacherTemperature: stored.end,
  });
  const source = name === "dino" ? "ibot" : name;
  const compare = (schedule: MethodSchedule | undefined, expected: readonly number[]): void => {
    const values = schedule?.(stored);
    expected.forEach((value, step) => {
      expect(values?.(step), `step ${step}`).toBeCloseTo(value, 12);
    });
  };
  compare(method.schedules.teacherTemperature, stored[source]);
  compare(method.teacher?.momentum, stored.momentum[source]);
});

test("without warm-up the temperature is constant, without a freeze the last layer is not late", () => {
  const method = smallMethod({ name: "ibot", teacherTemperatureWarmup: 0, freezeLastLayer: 0 });
  const temperature = method.schedules.teacherTemperature?.({ totalSteps: 10, stepsPerEpoch: 5 });
  expect([0, 4, 9].map((step) => temperature?.(step))).toEqual([0.07, 0.07, 0.07]);
  expect(method.late).toBeUndefined();
});

describe.each(["ibot", "dinov2"])("masks of %s", (name) => {
  const draw = get(smallMethod({ name }).draws, "masks");
  if (!("types" in draw)) throw new Error("masks are drawn for a batch");

  test("come with the list of masked patches and their shares, in any batch", () => {
    for (const batch of [1, 2, 7, 64]) {
      const { mask, rows, share } = draw.drawBatch(randomStream(2, "masks", batch), batch);
      const types = draw.types(batch);
      expect(mask).toHaveLength(2 * batch * 16);
      expect(types.mask?.shape).toEqual([2 * batch, 16]);
      expect(rows).toHaveLength(types.rows?.shape[0] as number);
      expect(share).toHaveLength(types.share?.shape[0] as number);
      const masked = (mask ?? []).flatMap((bit, i) => (bit === 1 ? [i] : []));
      expect(rows?.slice(0, masked.length)).toEqual(masked);
      // The shares of a masked view sum to 1.
      const views = new Set(masked.map((i) => Math.floor(i / 16)));
      expect(share?.reduce((a, b) => a + b, 0)).toBeCloseTo(views.size, 10);
    }
  });
});

test("drop path: every crop's branches have their own draw, the teacher's none", async () => {
  const method = smallMethod({ name: "dino" }, { dropPath: 0.5, maskToken: false });
  const draw = get(method.draws, "dropPath");
  if ("types" in draw) throw new Error("drop path is drawn by sample");
  expect(draw.parameters).toEqual({ first: [4], second: [4], local: [3, 4] });
  const { first = [], local = [] } = draw.draw(randomStream(1, "drop"));
  expect(first.slice(0, 2)).toEqual([1, 1]);
  expect(local).toHaveLength(12);
  for (const factor of [...first, ...local]) expect([0, 1, 2]).toContain(factor);
  // With all branches kept, the step is that of an encoder without drop path.
  const kept: Method = {
    ...method,
    draws: { dropPath: { ...draw, draw: () => ({ first: ones(4), second: ones(4), local: ones(12) }) } },
  };
  const without = smallMethod({ name: "dino" }, { maskToken: false });
  const [a, b, c] = [await randomStep(kept), await randomStep(without), await randomStep(method)];
  expect(a.losses.cls).toBeCloseTo(b.losses.cls as number, 6);
  expect(c.losses.cls).not.toBeCloseTo(b.losses.cls as number, 3);
});

test("DINOv2's drop path: a fixed share of the crops skips a branch, the others make up for it", async () => {
  const encoder = { dropPath: 0.3, layerScale: 0.1, dropPathGrowth: "uniform" } as const;
  const method = smallMethod({ name: "dinov2" }, encoder);
  const draw = get(method.draws, "keptSamples");
  if (!("types" in draw)) throw new Error("kept samples are drawn for a batch");
  // int(8 * 0.7) of 8 global crops, int(12 * 0.7) of 12 local ones.
  expect(mapValues(draw.types(4), ({ shape }) => shape)).toEqual({ global: [5, 4], local: [8, 4] });
  const drawn = draw.drawBatch(randomStream(1, "kept"), 4);
  // As factors, by sample and branch: 0, or the batch over those that are kept.
  const factors = (name: string, crops: number): number[] => {
    const table = Array.from({ length: 4 * crops }, () => 0);
    const kept = get(drawn, name);
    kept.forEach((crop, i) => {
      const branch = i % 4;
      expect(table[4 * crop + branch], "each sample once").toBe(0);
      table[4 * crop + branch] = crops / (kept.length / 4);
    });
    return table;
  };
  const [global, local] = [factors("global", 8), factors("local", 12)];
  const bySample = smallMethod({ name: "dinov2" }, { ...encoder, dropPath: 0.1 });
  const dropPath = get(bySample.draws, "dropPath");
  if ("types" in dropPath) throw new Error("drop path is drawn by sample");
  let sample = 0;
  const asFactors: Method = {
    ...bySample,
    draws: {
      ...bySample.draws,
      dropPath: {
        ...dropPath,
        draw: () => {
          const i = sample++;
          return {
            first: global.slice(4 * i, 4 * i + 4),
            second: global.slice(16 + 4 * i, 16 + 4 * i + 4),
            local: local.slice(12 * i, 12 * i + 12),
          };
        },
      },
    },
  };
  const subset: Method = {
    ...method,
    draws: { ...method.draws, keptSamples: { ...draw, drawBatch: () => drawn } },
  };
  const [a, b] = [await randomStep(subset), await randomStep(asFactors)];
  for (const [part, value] of Object.entries(b.losses)) expect(get(a.losses, part)).toBeCloseTo(value, 4);
  for (const [name, { data }] of Object.entries(b.gradients)) {
    const expected = { shape: get(b.gradients, name).shape, data: [...(data as Float32Array)] };
    expectClose(a.gradients[name], expected, 1e-4, name, 1e-3);
  }
});

function ones(count: number): number[] {
  return Array.from({ length: count }, () => 1);
}

test.each(["ibot", "dinov2"])("%s resumes bit for bit: student, teacher, centres, masks", async (name) => {
  const config = tinyConfig({
    method: { name, outputDim: 16, hiddenDim: 16, bottleneckDim: 8 },
    augmentation: { pipeline: "all", local: { count: 2, size: 8 } },
    steps: 4,
  });
  const folder = temporaryFolder();
  const [whole, halved] = [join(folder, "whole"), join(folder, "halved")];
  const expected = await tinyRun({ config, out: whole });
  const first = await tinyRun({ config, out: halved, stopAfter: 2 });
  const rest = await tinyRun({ out: halved, resume: true });
  expect([...first.steps, ...rest.steps]).toEqual(expected.steps);
  const [a, b] = [await tensorsOf(whole), await tensorsOf(halved)];
  expect([...a.keys()].filter((key) => key.startsWith("teacher/")).length).toBeGreaterThan(10);
  expect(a.has("buffer/patchCentre")).toBe(true);
  expect(b).toEqual(a);
});

test("a batch of one, and small crops of a size that patches do not divide, are refused before anything runs", () => {
  const method = { name: "dinov2", outputDim: 16 };
  expect(() => buildMethod(tinyConfig({ method, batchSize: 1 }))).toThrow(
    /"batchSize" 1 is too small: the loss of DINOv2 compares the samples of a batch; use at least 2/,
  );
  expect(() => tinyConfig({ method, augmentation: { local: { size: 10 } } })).toThrow(
    /"augmentation.local.size" 10/,
  );
});

test("more prototypes than memory are refused before anything is allocated", async () => {
  const config = tinyConfig({ method: { name: "ibot", outputDim: 4_000_000_000 } });
  const out = join(temporaryFolder(), "run");
  await expect(tinyRun({ config, out })).rejects.toThrow(
    // 256 numbers of 4 bytes, five times: weight, gradient, two moments, teacher.
    /iBOT take 2\.06e\+4 GB, and .* GB of it is "head\.last_layer\.weight_v" \[4000000000, 256\]: use fewer proto/,
  );
  expect(existsSync(out)).toBe(false);
});
