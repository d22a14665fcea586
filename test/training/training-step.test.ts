/** @file The step in one program is the gradients and then the update; a step that is not finite changes nothing. */

import { describe, expect, test } from "vitest";
import { loadRecipe } from "#src/cli/recipes.js";
import type { Batch } from "#src/data/index.js";
import { randomStream } from "#src/random.js";
import { Device, float32, type HostValue } from "#src/runtime/index.js";
import { compileProgram } from "#src/runtime/program.js";
import { targets } from "#src/runtime/providers.js";
import {
  buildMethod,
  compileTrainingStep,
  cropsOf,
  GradientStep,
  initializeState,
  isFiniteStep,
  parseConfig,
  savedTypes,
  stepInputs,
  stepProgram,
  UpdateStep,
  updateOptions,
} from "#src/training/index.js";

/** Late parameters start after the first step (iBOT's) or the first two. */
const length = { totalSteps: 10, stepsPerEpoch: 2 };
const BATCH = 8;

/** A small recipe's method at a batch of 8, with an optimiser. */
function workloadOf(recipe: string, optimizer?: object, accumulate = 1) {
  const { optimizer: own, ...others } = loadRecipe(recipe);
  const config = parseConfig(
    { ...others, batchSize: BATCH, accumulate, optimizer: { ...own, ...optimizer } },
    recipe,
  );
  const { method, encoder } = buildMethod(config);
  const random = randomStream(0, "test");
  const views = cropsOf(method).map(({ size }) =>
    Uint8Array.from({ length: BATCH * 3 * size ** 2 }, () => random.integer(256)),
  );
  const inputsAt = (step: number) => {
    const indices = Int32Array.from({ length: BATCH }, (_, i) => i);
    const batch: Batch = { step, epoch: step, count: BATCH, indices, labels: undefined, views };
    return stepInputs(method, batch, { seed: 0, length, accumulate });
  };
  const options = { ...updateOptions(config, encoder.depth, length), batchSize: BATCH };
  return { method, options, inputsAt, names: Object.keys(savedTypes(method, options.optimizer)) };
}

const settings = (step: number) => ({ step, learningRate: 1e-3, weightDecay: 0.05 });

const cases = [
  ["small/inbetween-vicreg", undefined],
  ["small/mae", { name: "adam" }],
  ["small/simclr", { name: "lars", betas: undefined }],
  ["small/mocov2", { name: "sgd", betas: undefined }],
  ["small/ibot", undefined],
  ["small/inbetween-dinov2", undefined],
] as const;

describe.each(cases)("%s", (recipe, optimizer) => {
  test("one program is the gradients' and the update's, one after the other", async () => {
    const { method, options, inputsAt, names } = workloadOf(recipe, optimizer);
    const train = async (
      start: (device: Device) => Promise<(step: number) => Promise<number>>,
    ): Promise<{ losses: number[]; state: Record<string, HostValue> }> => {
      await using device = await Device.open({ threads: 1 });
      await initializeState(device, method, options.optimizer, 0);
      const run = await start(device);
      const losses: number[] = [];
      // Across the step from which late parameters train.
      for (let step = 0; step < 4; step++) losses.push(await run(step));
      return { losses, state: await device.getState(names) };
    };
    const whole = await train(async (device) => {
      const step = await compileTrainingStep(device, method, options);
      return async (i) => (await step.run(inputsAt(i), settings(i))).losses.total;
    });
    const parts = await train(async (device) => {
      const gradients = await GradientStep.compile(device, method, BATCH);
      const update = await UpdateStep.compile(device, method, options);
      return async (i) => {
        const { losses } = await gradients.run(inputsAt(i));
        await update.run(settings(i));
        return losses.total;
      };
    });
    expect(whole.losses).toEqual(parts.losses);
    for (const name of names) {
      expect(Buffer.compare(bytesOf(whole.state[name]), bytesOf(parts.state[name])), name).toBe(0);
    }
  }, 60_000);

  // Of the programs: all parameters train, late ones do not yet, gradients and update apart.
  test.each([
    [3, 1],
    [0, 1],
    [3, 2],
  ])(
    "a step %i that is not finite, of %i parts, leaves every state as it was",
    async (first, accumulate) => {
      const { method, options, inputsAt, names } = workloadOf(recipe, optimizer, accumulate);
      await using device = await Device.open({ threads: 1 });
      await initializeState(device, method, options.optimizer, 0);
      const step = await compileTrainingStep(device, method, { ...options, accumulate }, first);
      expect(isFiniteStep(await step.run(inputsAt(first), settings(first)))).toBe(true);
      // Finite, and what is computed with it is not: a vector, and a matrix, which is decayed.
      for (const large of ["param/encoder.norm.weight", "param/encoder.blocks.0.mlp.fc1.weight"]) {
        const { [large]: weight } = await device.getState([large]);
        const values = new Float32Array(weight?.data.length ?? 0).fill(3e38);
        await device.setState({ [large]: float32(values, weight?.shape ?? []) });
      }
      const before = await device.getState(names);
      expect(isFiniteStep(await step.run(inputsAt(first), settings(first)))).toBe(false);
      const after = await device.getState(names);
      for (const name of names) {
        expect(Buffer.compare(bytesOf(after[name]), bytesOf(before[name])), name).toBe(0);
      }
    },
    60_000,
  );

  test.each([false, true])("every state but the buffers is written over its old value", (skipsLate) => {
    const { method, options } = workloadOf(recipe, optimizer);
    const { updates } = compileProgram(stepProgram(method, options, { skipsLate }), targets.cpu);
    const beside = updates.filter(({ inPlace }) => !inPlace).map(({ name }) => name);
    expect(beside.filter((name) => !name.startsWith("buffer/"))).toEqual([]);
  });
});

function bytesOf(value: HostValue | undefined): Uint8Array {
  if (!value) throw new Error("no such state");
  const { buffer, byteOffset, byteLength } = value.data;
  return new Uint8Array(buffer, byteOffset, byteLength);
}
