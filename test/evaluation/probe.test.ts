/** @file The probe against PyTorch, on features that hold the answer or nothing, and its early stopping. */
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  type Matrix,
  matrix,
  Probe,
  type ProbeData,
  type ProbeSettings,
  pooledR2,
} from "#src/evaluation/index.js";
import { randomStream } from "#src/random.js";
import { mapValues } from "#src/records.js";
import { Device } from "#src/runtime/index.js";
import { expected, matrixOf } from "./helpers.js";

let device: Device;
beforeAll(async () => {
  device = await Device.open({ threads: 1 });
});
afterAll(() => device.close());

const settings: ProbeSettings = { epochs: 60, patience: 8, learningRate: 1e-3, standardize: true, seed: 0 };

test("five steps of Adam, one on a smaller batch, give PyTorch's losses and weights", async () => {
  const { probe: stored } = expected;
  const { inputs, hidden, outputs } = stored;
  const probe = await Probe.create(device, { inputs, hidden, outputs, batchSize: 8 });
  await probe.reset(
    mapValues(stored.before, ({ shape, data }) => ({
      dtype: "float32",
      shape,
      data: Float32Array.from(data),
    })),
  );
  const data = { features: matrixOf(stored.features, inputs), targets: matrixOf(stored.targets, outputs) };
  for (const [step, batch] of stored.batches.entries()) {
    expect(await probe.step(data, batch, step, 1e-3)).toBeCloseTo(stored.losses[step] as number, 6);
  }
  const weights = await probe.weights();
  expect(Object.keys(weights).sort()).toEqual(Object.keys(stored.after).sort());
  for (const [name, { data: values }] of Object.entries(stored.after)) {
    values.forEach((value, i) => {
      expect(weights[name]?.data[i]).toBeCloseTo(value, 6);
    });
  }
  const predicted = await probe.predict(data.features);
  stored.predicted.forEach((value, i) => {
    expect(predicted.data[i]).toBeCloseTo(value, 5);
  });
  await probe.release();
});

/** Random features of which two are, shifted and scaled, the targets; or of which none is. */
function pairs(part: string, rows: number, informative: boolean): ProbeData {
  const random = randomStream(5, part);
  const [columns, outputs] = [12, 2];
  const features = Float32Array.from({ length: rows * columns }, () => 10 + 0.05 * random.normal());
  const targets = Float32Array.from({ length: rows * outputs }, () => random.uniform(-1, 1));
  if (informative) {
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < outputs; j++)
        features[i * columns + 3 * j] = 3 - 0.05 * (targets[i * outputs + j] as number);
    }
  }
  return { features: matrix(rows, columns, features), targets: matrix(rows, outputs, targets) };
}

const splits = (informative: boolean) => ({
  train: pairs("train", 1000, informative),
  validation: pairs("validation", 200, informative),
  test: pairs("test", 400, informative),
});

const small = { inputs: 12, hidden: 64, outputs: 2, batchSize: 128 };

test("features that hold the parameters predict them; pure noise predicts nothing", async () => {
  const probe = await Probe.create(device, small);
  const score = async (informative: boolean) => {
    const data = splits(informative);
    return pooledR2(data.test.targets, (await probe.train(data, settings)).predicted);
  };
  expect(await score(true)).toBeGreaterThan(0.95);
  const noise = await score(false);
  expect(noise).toBeLessThan(0.02);
  expect(noise).toBeGreaterThan(-0.1);
  await probe.release();
});

test("training stops when the validation loss no longer falls, and predicts with the best weights", async () => {
  // Few noisy pairs: the probe soon learns them by heart.
  const data = { ...splits(false), train: pairs("few", 64, false) };
  const probe = await Probe.create(device, small);
  const result = await probe.train(data, { ...settings, epochs: 300, patience: 6, learningRate: 1e-2 });
  const { validationLosses: losses, bestEpoch } = result;
  expect(losses.length).toBe(bestEpoch + 6);
  expect(losses[bestEpoch - 1]).toBe(Math.min(...losses));
  expect(losses.at(-1)).toBeGreaterThan(Math.min(...losses) + 0.01);
  // Training again for just so many epochs ends with the weights that were kept.
  const again = await probe.train(data, { ...settings, epochs: bestEpoch, patience: 6, learningRate: 1e-2 });
  expect([...again.predicted.data]).toEqual([...result.predicted.data]);
  await probe.release();
});

test("the same seed gives the same predictions, another one others", async () => {
  const probe = await Probe.create(device, small);
  const data = splits(true);
  const run = async (seed: number): Promise<Matrix> =>
    (await probe.train(data, { ...settings, epochs: 2, seed })).predicted;
  const first = await run(1);
  expect((await run(2)).data).not.toEqual(first.data);
  expect((await run(1)).data).toEqual(first.data);
  await probe.release();
});

test("standardised features make the probe blind to their scale", async () => {
  const probe = await Probe.create(device, small);
  const data = splits(true);
  const scaled = mapValues(data, (part) => ({
    ...part,
    features: { ...part.features, data: part.features.data.map((value) => 16 * value) },
  })) as typeof data;
  const run = async (from: typeof data, standardize: boolean) => [
    ...(await probe.train(from, { ...settings, epochs: 1, standardize })).predicted.data,
  ];
  // A power of two: the quotients are the same to the last bit.
  expect(await run(scaled, true)).toEqual(await run(data, true));
  expect(await run(scaled, false)).not.toEqual(await run(data, false));
  await probe.release();
});

test("parts that do not fit, and features that are not finite, are named", async () => {
  const probe = await Probe.create(device, small);
  const data = splits(true);
  const empty = { features: matrix(0, 12, new Float32Array()), targets: matrix(0, 2, new Float32Array()) };
  await expect(probe.train({ ...data, test: empty }, settings)).rejects.toThrow(
    "the test part has [0, 12] and [0, 2]",
  );
  const broken = data.train.features.data.slice();
  broken[25] = Number.POSITIVE_INFINITY;
  const features = { ...data.train.features, data: broken };
  await expect(probe.train({ ...data, train: { ...data.train, features } }, settings)).rejects.toThrow(
    "The features of train pair 2 are not finite",
  );
  await expect(probe.train(data, { ...settings, patience: 0 })).rejects.toThrow(
    "patience must be a whole number",
  );
  await probe.release();
});
