/** @file Methods whose losses are means over samples: accumulation is exact, runs learn, the right encoder is evaluated. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { createSequentialLoader, openDataset } from "#src/data/index.js";
import { Device } from "#src/runtime/index.js";
import {
  buildMethod,
  ConfigError,
  cropsOf,
  encoderPrefix,
  GradientStep,
  initializeState,
  makeOptimizer,
  stepInputs,
  trainedSpecs,
} from "#src/training/index.js";
import { get, relativeError } from "../nn/helpers.js";
import { tensorsOf, tinyConfig, tinyRun } from "./tiny.js";

const length = { totalSteps: 10, stepsPerEpoch: 5 };
const folder = mkdtempSync(join(tmpdir(), "inbetween-masked-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const methods = {
  mae: { name: "mae", decoderDim: 12, decoderDepth: 1, decoderHeads: 3 },
  ijepa: {
    name: "ijepa",
    predictorDim: 8,
    predictorDepth: 1,
    targetScale: [0.3, 0.4],
    minKeep: 1,
    // One width of the rows for every size of micro-batch.
    contextCapacity: 9,
    momentum: [0.5, 1],
  },
} as const;

describe.each(["mae", "ijepa"] as const)("%s", (name) => {
  const config = tinyConfig({ method: methods[name], augmentation: { pipeline: name } });

  test("micro-batches give the loss and gradients of the whole batch, and the same metrics", async () => {
    const { method } = buildMethod(config);
    const dataset = await openDataset("synthetic:8", { synthetic: { size: config.imageSize } });
    const loader = createSequentialLoader({ dataset, batchSize: 8, views: cropsOf(method) });
    const { value: batch } = await loader.next();
    await loader.close();
    if (!batch) throw new Error("no batch");
    await using device = await Device.open({ threads: 1 });
    await initializeState(device, method, makeOptimizer(config), 0);
    const names = Object.keys(trainedSpecs(method)).map((parameter) => `grad/${parameter}`);
    const inputs = stepInputs(method, batch, { seed: 0, length });
    const gradientsOf = async (accumulate: number) => {
      const step = await GradientStep.compile(device, method, 8, accumulate);
      const result = await step.run(inputs);
      return { result, gradients: await device.getState(names) };
    };
    const whole = await gradientsOf(1);
    const parts = await gradientsOf(4);
    expect(parts.result.losses.total).toBeCloseTo(whole.result.losses.total, 5);
    expect(Object.keys(parts.result.losses)).toEqual(Object.keys(whole.result.losses));
    expect(whole.result.metrics.featureStd).toBeGreaterThan(0);
    expect(parts.result.metrics.featureStd).toBeCloseTo(whole.result.metrics.featureStd as number, 5);
    for (const gradient of names) {
      const [a, b] = [get(parts.gradients, gradient).data, get(whole.gradients, gradient).data];
      expect(relativeError(a as Float32Array, b as Float32Array), gradient).toBeLessThan(1e-5);
    }
  });

  test("a run with micro-batches of their own masks; its checkpoint holds the encoder that is evaluated", async () => {
    const out = join(folder, name);
    const { steps } = await tinyRun({ out, config: { ...config, accumulate: 2 } });
    expect(steps).toHaveLength(6);
    for (const { loss } of steps) expect(Number.isFinite(loss.total)).toBe(true);
    const { method, encoder } = buildMethod(config);
    expect(encoder).toMatchObject({
      classToken: name === "mae",
      positions: "columnFirst",
      initialization: name,
    });
    const prefix = encoderPrefix(method);
    expect(prefix).toBe(name === "mae" ? "param/encoder." : "teacher/encoder.");
    const tensors = await tensorsOf(out);
    expect(tensors.get(`${prefix}norm.weight`)?.shape).toEqual([16]);
    expect(tensors.has("teacher/predictor.mask_token")).toBe(false);
  });
});

describe("configurations that do not fit are refused before anything is computed", () => {
  test.each([
    ["a ratio that hides everything", { ...methods.mae, maskRatio: 0.99 }, /leaves 0 of 16 patches visible/],
    [
      "masks that cannot be placed",
      { ...methods.ijepa, minKeep: 10 },
      /"minKeep"\) or fewer is never accepted/,
    ],
  ])("%s", (_, method, message) => {
    const build = () => buildMethod(tinyConfig({ method }));
    expect(build).toThrow(ConfigError);
    expect(build).toThrow(message);
  });

  test("small crops", () => {
    const augmentation = { pipeline: "mae", local: { count: 2 } };
    expect(() => buildMethod(tinyConfig({ method: methods.mae, augmentation }))).toThrow(/MAE takes none/);
  });
});
