/** @file k-NN against DINO's classifier, and its use on data sets and on weights in training. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { openDataset } from "#src/data/index.js";
import {
  createOnlineKnn,
  disjointParts,
  evaluateKnn,
  knnPredict,
  knnPredictEach,
  randomEncoder,
  subset,
} from "#src/evaluation/index.js";
import { mapValues, prefixed } from "#src/records.js";
import { Device } from "#src/runtime/index.js";
import { expected, matrixOf, tinyConfig } from "./helpers.js";

let device: Device;
beforeAll(async () => {
  device = await Device.open({ threads: 1 });
});
afterAll(() => device.close());

const { knn } = expected;
const bank = { features: matrixOf(knn.bank, knn.dim), labels: Int32Array.from(knn.bankLabels) };
const queries = matrixOf(knn.queries, knn.dim);

test.each(Object.entries(knn.predicted))(
  "the classes of the k = %s nearest are DINO's",
  async (k, labels) => {
    const predicted = await knnPredict(device, bank, queries, { k: Number(k), classes: knn.classes });
    expect([...predicted]).toEqual(labels);
  },
);

test("several k in one search are each k's own", async () => {
  const k = [1, 5, 20, 150] as const;
  const found = await knnPredictEach(device, bank, queries, { k, classes: knn.classes });
  expect(found.map((labels) => [...labels])).toEqual(k.map((each) => knn.predicted[each]));
});

test("a bank and queries larger than one matrix product are searched whole", async () => {
  // Query i equals row i of a bank of 5,000 random rows, each of a class of its own.
  const rows = 5000;
  const values = Array.from({ length: rows * 3 }, (_, i) => Math.sin(i * i + 1));
  const features = matrixOf(values, 3);
  const labels = Int32Array.from({ length: rows }, (_, i) => i);
  const picked = [0, 511, 512, 4095, 4096, 4999];
  const repeated = Array.from({ length: 600 }, (_, i) => picked[i % picked.length] as number);
  const asked = matrixOf(
    repeated.flatMap((i) => values.slice(3 * i, 3 * i + 3)),
    3,
  );
  const predicted = await knnPredict(device, { features, labels }, asked, { k: 1, classes: rows });
  expect([...predicted]).toEqual(repeated);
});

test("a k that the bank does not have, and features that are not finite, are named", async () => {
  await expect(knnPredict(device, bank, queries, { k: 151, classes: 7 })).rejects.toThrow(
    "k is 151, expected a whole number from 1 to the 150 training images",
  );
  const broken = matrixOf(
    knn.queries.map((value, i) => (i === 13 ? Number.NaN : value)),
    knn.dim,
  );
  await expect(knnPredict(device, bank, broken, { k: 1, classes: 7 })).rejects.toThrow(
    "image 1 are not finite",
  );
});

test("accuracy is the share of right predictions, and per class the mean of the classes' shares", async () => {
  const train = await openDataset("synthetic:150", { synthetic: { size: 16 } });
  const ofFirst = Array.from({ length: train.length }, (_, i) => i).filter((i) => train.label(i) === 0);
  // Four images of the first class, one of which is said to be of the second: each finds itself.
  const found = subset(train, ofFirst.slice(0, 4));
  const test = { ...found, label: (i: number) => (i === 3 ? 1 : 0), metric: "meanPerClass" } as const;
  const encoder = randomEncoder(tinyConfig, 0);
  const record = await evaluateKnn({ device, encoder, train, test, k: [1] });
  expect(record.accuracies).toMatchObject([{ accuracy: 0.75, perClass: 0.5 }]);
  expect([record.train.metric, record.test.metric]).toEqual(["top1", "meanPerClass"]);
});

test("images that are in both sets are their own nearest neighbours", async () => {
  const train = await openDataset("synthetic:150", { synthetic: { size: 16 } });
  const test = subset(train, [5, 70, 149]);
  const { accuracies, overlap } = await evaluateKnn({
    device,
    encoder: randomEncoder(tinyConfig, 0),
    train,
    test,
    k: [1, 10, 200],
  });
  expect(accuracies.map(({ k }) => k)).toEqual([1, 10]);
  expect(accuracies[0]).toEqual({ accuracy: 1, perClass: 1, k: 1, classes: train.classes?.length });
  expect(overlap.count).toBe(3);
});

test("data without classes is refused with what to do", async () => {
  const labelled = await openDataset("synthetic:20", { synthetic: { size: 16 } });
  const plain = { ...labelled, classes: undefined };
  const encoder = randomEncoder(tinyConfig, 0);
  await expect(evaluateKnn({ device, encoder, train: plain, test: plain })).rejects.toThrow(
    "synthetic has no classes; put the images of each class into a folder of their own",
  );
  const other = { ...labelled, classes: ["a", "b"] };
  await expect(evaluateKnn({ device, encoder, train: labelled, test: other })).rejects.toThrow(
    "has 2 classes that synthetic has not",
  );
});

test("the online probe reads the weights where they are, and equals the evaluation of the same weights", async () => {
  const dataset = await openDataset("synthetic:200", { synthetic: { size: 16 } });
  const weights = (seed: number) => prefixed(randomEncoder(tinyConfig, seed).weights, "param/encoder.");
  await device.setState(weights(1));
  const options = {
    device,
    statePrefix: "param/encoder.",
    config: tinyConfig,
    dataset,
    feature: "mean",
  } as const;
  const online = await createOnlineKnn({ ...options, k: 5, seed: 3 });
  const first = await online.run();
  const parts = disjointParts(dataset, { test: 40, train: 160 }, 3);
  const { accuracies } = await evaluateKnn({
    device,
    encoder: randomEncoder(tinyConfig, 1),
    train: subset(dataset, parts.train),
    test: subset(dataset, parts.test),
    k: [5],
  });
  expect(first).toEqual(accuracies[0]);
  // Weights of zero make all features equal: the state is read anew at every run.
  await device.setState(
    mapValues(weights(1), (value) => ({ ...value, data: new Float32Array(value.data.length) })),
  );
  const constant = await online.run();
  expect(constant.accuracy).not.toBe(first.accuracy);
  await device.setState(weights(1));
  expect(await online.run()).toEqual(first);
  await online.release();
});
