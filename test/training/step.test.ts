/** @file A step's programs: accumulation gives the whole batch's gradient, the update is in place, little is moved. */

import { describe, expect, test } from "vitest";
import { createSequentialLoader, openDataset } from "#src/data/index.js";
import { Device, type HostValue } from "#src/runtime/index.js";
import {
  buildMethod,
  GradientStep,
  initializeState,
  makeOptimizer,
  parameterSpecs,
  type RunConfig,
  scaleRules,
  stepInputs,
  stepProgram,
  trainedSpecs,
  UpdateStep,
  updateInputs,
} from "#src/training/index.js";
import { get, largestOf, relativeError } from "../nn/helpers.js";
import { tinyConfig, tinyMethods } from "./tiny.js";

const length = { totalSteps: 10, stepsPerEpoch: 5 };

/** A method on a device of its own, with the inputs of one batch. */
async function prepared(config: RunConfig) {
  const { method } = buildMethod(config);
  const dataset = await openDataset(`synthetic:${config.batchSize}`, {
    synthetic: { size: config.imageSize },
  });
  const views = method.views.map(({ crop }) => crop);
  const loader = createSequentialLoader({ dataset, batchSize: config.batchSize, views });
  const { value: batch } = await loader.next();
  await loader.close();
  if (!batch) throw new Error("no batch");
  const device = await Device.open({ threads: 1 });
  await initializeState(device, method, makeOptimizer(config), config.seed);
  return { method, device, inputs: stepInputs(method, batch, { seed: config.seed, length }) };
}

const bytesOf = (values: readonly HostValue[]) => values.reduce((sum, { data }) => sum + data.byteLength, 0);

/** What is added before a batch norm has no gradient but rounding: compared with the size of the others. */
const beforeBatchNorm =
  /^grad\/(head\.bias|encoder\.norm\.bias|(expanders?\.(\w+\.)?|projector\.)hidden\.\d\.linear\.bias)$/;

describe.each(Object.keys(tinyMethods) as (keyof typeof tinyMethods)[])("%s", (name) => {
  const config = tinyConfig({ method: tinyMethods[name] });

  test("micro-batches give the losses and gradients of the whole batch", async () => {
    const { method, device, inputs } = await prepared(config);
    await using _ = device;
    const names = Object.keys(trainedSpecs(method)).map((parameter) => `grad/${parameter}`);
    const gradientsOf = async (accumulate: number) => {
      const step = await GradientStep.compile(device, method, config.batchSize, accumulate);
      const result = await step.run(inputs);
      return { result, gradients: await device.getState(names) };
    };
    const whole = await gradientsOf(1);
    const overall = Math.max(
      ...Object.values(whole.gradients).map(({ data }) => largestOf(data as Float32Array)),
    );
    for (const accumulate of name === "vicreg" ? [2, 4, 8] : [4]) {
      const parts = await gradientsOf(accumulate);
      for (const [part, value] of Object.entries(whole.result.losses)) {
        expect(Math.abs(get(parts.result.losses, part) / value - 1), `${accumulate}: ${part}`).toBeLessThan(
          1e-5,
        );
      }
      expect(Object.keys(parts.result.losses).sort()).toEqual(Object.keys(whole.result.losses).sort());
      for (const gradient of names) {
        const [a, b] = [get(parts.gradients, gradient).data, get(whole.gradients, gradient).data];
        const error = relativeError(
          a as Float32Array,
          b as Float32Array,
          beforeBatchNorm.test(gradient) ? overall : 0,
        );
        expect(error, `${accumulate} micro-batches: ${gradient}`).toBeLessThan(1e-5);
      }
      for (const [parameter, norm] of Object.entries(whole.result.norms)) {
        expect(Math.abs(get(parts.result.norms, parameter) - norm), parameter).toBeLessThan(1e-4 * overall);
      }
    }
  });

  test("the norms are those of the gradients", async () => {
    const { method, device, inputs } = await prepared(config);
    await using _ = device;
    const step = await GradientStep.compile(device, method, config.batchSize);
    const { norms } = await step.run(inputs);
    for (const [parameter, norm] of Object.entries(norms)) {
      const { [`grad/${parameter}`]: gradient } = await device.getState([`grad/${parameter}`]);
      const expected = Math.hypot(...((gradient as HostValue).data as Float32Array));
      expect(Math.abs(norm - expected), parameter).toBeLessThanOrEqual(1e-5 * expected + 1e-12);
    }
    expect(Object.keys(norms)).toEqual(Object.keys(trainedSpecs(method)));
  });

  test("a step moves its batch in and a few numbers out", async () => {
    const { method, device, inputs } = await prepared(config);
    await using _ = device;
    const rules = scaleRules(config, 1);
    const options = { optimizer: makeOptimizer(config), rules, length, batchSize: config.batchSize };
    const step = await device.compile(stepProgram(method, options));
    const scalars = updateInputs(method, options, { step: 0, learningRate: 1e-3, weightDecay: 0.1 });
    const outputs = await step.run({ ...inputs, ...scalars });
    const batch = config.batchSize * 2 * 3 * config.imageSize ** 2;
    const moved = bytesOf(Object.values(inputs)) + 4 * Object.keys(scalars).length;
    expect(step.transfers).toEqual({ toDevice: moved, fromDevice: bytesOf(Object.values(outputs)) });
    // Random numbers are a small part beside the pixels.
    expect(moved).toBeLessThan(1.25 * batch);
    const parameters = Object.keys(parameterSpecs(method)).length;
    expect(step.transfers.fromDevice).toBeLessThan(4 * (parameters + 16));
  });
});

test.each(["adamw", "adam", "sgd", "lars"])(
  "%s writes every state over its old value, clipped or not",
  async (name) => {
    const config = tinyConfig({ optimizer: { name, baseLearningRate: 1e-3 } });
    const { method, device } = await prepared(config);
    await using _ = device;
    for (const clip of [undefined, { norm: 1, scope: "all" }, { norm: 1, scope: "tensor" }] as const) {
      const optimizer = makeOptimizer(config);
      const update = await UpdateStep.compile(device, method, { optimizer, clip, rules: [], length });
      expect(update.isInPlace, JSON.stringify(clip)).toBe(true);
    }
  },
);

test("a batch that does not divide into its micro-batches is an error", async () => {
  const config = tinyConfig();
  const { method, device } = await prepared(config);
  await using _ = device;
  await expect(GradientStep.compile(device, method, 8, 3)).rejects.toThrow(
    /8 does not divide into 3 micro-batches/,
  );
});
