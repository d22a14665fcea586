/**
 * @file What a method may ask of the training machinery (teacher, late and frozen parameters, buffers, several crops of
 * a view, draws for a whole batch), on a method so small that the expected values are plain arithmetic.
 */

import { describe, expect, test } from "vitest";
import { mean, mul, reshape, sum, type Tensor } from "#src/graph/index.js";
import type { Method } from "#src/methods/index.js";
import { constantInitializer, constantSchedule, type ParameterSpec, parameter, sgd } from "#src/nn/index.js";
import { Device, type HostValue } from "#src/runtime/index.js";
import { GradientStep, initializeState, stepInputs, UpdateStep } from "#src/training/index.js";
import { wholeImage } from "#src/transforms/index.js";

const length = { totalSteps: 10, stepsPerEpoch: 2 };
const MOMENTUM = 0.9;
const RATE = 0.1;
const optimizer = sgd({ momentum: MOMENTUM });

interface Weights {
  usual: ParameterSpec;
  head: { late: ParameterSpec };
  still: ParameterSpec;
}

/** L = mean over samples of x (usual + late + still), x drawn: each weight's gradient is the mean of x. */
function method(changes: Partial<Method> = {}): Method {
  const one = () => parameter([1], constantInitializer(1));
  const made: Method<Weights> = {
    title: "test",
    views: [
      {
        name: "crops",
        crop: wholeImage(2),
        count: 3,
        augment: {
          parameters: { gain: [1] },
          draw: (random) => ({ gain: [random.uniform()] }),
          apply: (images, { gain }) => mul(images, reshape(gain as Tensor, [-1, 1, 1, 1])),
        },
      },
    ],
    draws: { x: { parameters: { value: [1] }, draw: (random) => ({ value: [random.uniform(1, 2)] }) } },
    parameters: { usual: one(), head: { late: one() }, still: one() },
    evaluated: { weights: "student", feature: "mean" },
    schedules: {
      tilt:
        ({ totalSteps }) =>
        (step) =>
          step / totalSteps,
    },
    buffers: { seen: parameter([1], constantInitializer(5)) },
    minimumBatch: 1,
    encode: ({ parameters, draws, views }) => {
      const x = draws.x?.value as Tensor;
      const weights = [parameters.usual, parameters.head.late, parameters.still];
      return {
        features: { x, crops: reshape(mean(views.crops as Tensor, [1, 2, 3]), [-1, 1]) },
        losses: Object.fromEntries(
          weights.map((weight, i) => [`part${i}`, { value: mean(mul(x, weight)), weight: 1 }]),
        ),
      };
    },
    objective: ({ features, buffers, scalars }) => ({
      losses: { none: { value: mul(sum(features.x as Tensor), 0), weight: 1 } },
      buffers: { seen: mul(buffers.seen as Tensor, 2) },
      metrics: { tilt: scalars.tilt as Tensor, crops: mean(features.crops as Tensor) },
    }),
  };
  return { ...(made as unknown as Method), ...changes };
}

const BATCH = 4;

function batchOf(step: number) {
  const pixels = (crop: number) =>
    Uint8Array.from({ length: BATCH * 12 }, (_, i) => 10 * crop + Math.floor(i / 12));
  return {
    step,
    epoch: 0,
    count: BATCH,
    indices: Int32Array.from([3, 1, 4, 2]),
    labels: undefined,
    views: [pixels(1), pixels(2), pixels(3)],
  };
}

/** Trains for some steps; gives the state after each, and the gradient of each step. */
async function train(
  tested: Method,
  { steps, accumulate = 1 }: { steps: number; accumulate?: number },
  watched: readonly string[],
) {
  await using device = await Device.open({ threads: 1 });
  await initializeState(device, tested, optimizer, 0);
  const gradients = await GradientStep.compile(device, tested, BATCH, accumulate);
  const update = await UpdateStep.compile(device, tested, { optimizer, rules: [], length });
  const rows: {
    gradient: number;
    metrics: Readonly<Record<string, number>>;
    state: Record<string, number>;
  }[] = [];
  for (let step = 0; step < steps; step++) {
    const inputs = stepInputs(tested, batchOf(step), { seed: 1, length, accumulate });
    const { metrics } = await gradients.run(inputs);
    await update.run({ step, learningRate: RATE, weightDecay: 0 });
    const values = await device.getState(watched);
    const x = inputs["draw/x/value"] as HostValue<"float32">;
    rows.push({
      gradient: x.data.reduce((a, b) => a + b, 0) / x.data.length,
      metrics,
      state: Object.fromEntries(Object.entries(values).map(([name, { data }]) => [name, Number(data[0])])),
    });
  }
  return rows;
}

describe("a teacher", () => {
  test("is the moving average of the updated parameters, also of those that do not move", async () => {
    const followed = method().parameters as Weights;
    const teacher = {
      parameters: { usual: followed.usual, still: followed.still },
      momentum: () => (step: number) => 0.5 + 0.1 * step,
    };
    const rows = await train(method({ teacher, frozen: /^still$/ }), { steps: 3 }, [
      "param/usual",
      "teacher/usual",
      "teacher/still",
    ]);
    let [average, velocity, weight] = [1, 0, 1];
    rows.forEach(({ gradient, state }, step) => {
      velocity = MOMENTUM * velocity + gradient;
      weight -= RATE * velocity;
      const momentum = 0.5 + 0.1 * step;
      average = momentum * average + (1 - momentum) * weight;
      expect(state["param/usual"]).toBeCloseTo(weight, 5);
      expect(state["teacher/usual"]).toBeCloseTo(average, 5);
      expect(state["teacher/still"]).toBe(1);
    });
  });

  test("gets no gradient: a loss on it alone leaves the parameters where they are", async () => {
    const { usual } = method().parameters as Weights;
    const onTeacher = method({
      teacher: { parameters: { usual }, momentum: () => constantSchedule(0) },
      encode: ({ teacher, draws }) => ({
        features: { x: draws.x?.value as Tensor, crops: draws.x?.value as Tensor },
        losses: { all: { value: mean((teacher as { usual: Tensor }).usual), weight: 1 } },
      }),
    });
    const rows = await train(onTeacher, { steps: 2 }, ["param/usual", "teacher/usual"]);
    expect(rows.map(({ state }) => state)).toEqual([
      { "param/usual": 1, "teacher/usual": 1 },
      { "param/usual": 1, "teacher/usual": 1 },
    ]);
  });
});

describe("late parameters", () => {
  /** Two steps an epoch, one epoch late: the third step is the first that moves them. */
  test.each(["skipped", "zeroRate"] as const)("%s in their first epoch", async (meanwhile) => {
    const late = { names: /^head\./, epochs: 1, meanwhile };
    const rows = await train(method({ late }), { steps: 4 }, ["param/head.late", "param/usual"]);
    let [velocity, weight] = [0, 1];
    rows.forEach(({ gradient, state }, step) => {
      const isHeld = step < 2;
      if (!isHeld || meanwhile === "zeroRate") velocity = MOMENTUM * velocity + gradient;
      if (!isHeld) weight -= RATE * velocity;
      expect(state["param/head.late"]).toBeCloseTo(weight, 5);
      expect(state["param/usual"]).not.toBe(1);
    });
  });
});

test("frozen parameters keep their values and have no moments", async () => {
  const frozen = method({ frozen: /^still$/ });
  const rows = await train(frozen, { steps: 3 }, ["param/still", "param/usual"]);
  expect(rows.map(({ state }) => state["param/still"])).toEqual([1, 1, 1]);
  expect(rows.at(-1)?.state["param/usual"]).not.toBe(1);
  await using device = await Device.open({ threads: 1 });
  await initializeState(device, frozen, optimizer, 0);
  await expect(device.getState(["optimizer/optimizer.velocity.still"])).rejects.toThrow(/still/);
});

test("buffers take their new values with the update, not before", async () => {
  const tested = method();
  await using device = await Device.open({ threads: 1 });
  await initializeState(device, tested, optimizer, 0);
  const gradients = await GradientStep.compile(device, tested, BATCH);
  const update = await UpdateStep.compile(device, tested, { optimizer, rules: [], length });
  const seen = async () => (await device.getState(["buffer/seen"]))["buffer/seen"]?.data[0];
  // As when a step's loss is not finite: its gradients are computed, and it is dropped.
  for (let i = 0; i < 2; i++) await gradients.run(stepInputs(tested, batchOf(i), { seed: 1, length }));
  expect(await seen()).toBe(5);
  for (const expected of [10, 20, 40]) {
    await gradients.run(stepInputs(tested, batchOf(0), { seed: 1, length }));
    await update.run({ step: 0, learningRate: RATE, weightDecay: 0 });
    expect(await seen()).toBe(expected);
  }
});

test("several crops of a view lie beside each other, each with its own draw", () => {
  const tested = method();
  const inputs = stepInputs(tested, batchOf(0), { seed: 1, length });
  const { shape, data } = inputs["view/crops"] as HostValue<"uint8">;
  expect(shape).toEqual([12, 3, 2, 2]);
  // The first pixel tells the crop and the row it was made for.
  expect(Array.from({ length: 12 }, (_, i) => data[i * 12])).toEqual(
    [0, 1, 2, 3].flatMap((row) => [10, 20, 30].map((crop) => crop + row)),
  );
  const gain = inputs["draw/augment.crops/gain"] as HostValue<"float32">;
  expect(gain.shape).toEqual([12, 1]);
  expect(new Set(gain.data).size).toBe(12);
});

test("schedules are made from the length of the run, micro-batches see their own rows", async () => {
  const whole = await train(method(), { steps: 2 }, ["param/usual"]);
  const divided = await train(method(), { steps: 2, accumulate: 2 }, ["param/usual"]);
  expect(whole.map(({ metrics }) => metrics.tilt)).toEqual([0, expect.closeTo(0.1, 6)]);
  divided.forEach(({ state, metrics }, step) => {
    expect(state["param/usual"]).toBeCloseTo(whole[step]?.state["param/usual"] as number, 6);
    expect(metrics.crops).toBeCloseTo(whole[step]?.metrics.crops as number, 6);
  });
});

test("a draw for the batch is made for each micro-batch, and handed to it whole", () => {
  const sizes: number[] = [];
  const tested = method({
    draws: {
      mask: {
        types: (batch) => ({
          index: { dtype: "int64", shape: [batch / 2] },
          kept: { dtype: "bool", shape: [batch, 2] },
        }),
        drawBatch: (random, batch) => {
          sizes.push(batch);
          return {
            index: Array.from({ length: batch / 2 }, () => random.integer(100)),
            kept: Array.from({ length: 2 * batch }, (_, i) => i % 2),
          };
        },
      },
    },
  });
  const inputs = stepInputs(tested, batchOf(0), { seed: 1, length, accumulate: 2 });
  expect(sizes).toEqual([2, 2]);
  const index = inputs["draw/mask/index"] as HostValue<"int64">;
  expect(index.shape).toEqual([2]);
  expect(index.data[0]).not.toBe(index.data[1]);
  expect(inputs["draw/mask/kept"]).toMatchObject({ dtype: "bool", shape: [4, 2] });
  const again = stepInputs(tested, batchOf(0), { seed: 1, length, accumulate: 2 });
  expect(again["draw/mask/index"]).toEqual(index);
});
