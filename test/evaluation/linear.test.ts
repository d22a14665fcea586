/** @file Linear classifiers against PyTorch's optimisers and scikit-learn's logistic regression; choice, protocols, bad input. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Dataset, openDataset } from "#src/data/index.js";
import {
  accuraciesOf,
  bestOf,
  evaluateLinear,
  featureChoiceName,
  featureLayout,
  holdOut,
  type LinearData,
  LinearSweep,
  linearProtocols,
  matrix,
  parseFeatureChoice,
  randomEncoder,
  subset,
  trainLinear,
} from "#src/evaluation/index.js";
import { Device } from "#src/runtime/index.js";
import { matrixOf, tinyConfig } from "./helpers.js";

interface StoredClassifier {
  weight: number[];
  bias: number[];
}

interface Stored {
  trajectory: {
    width: number;
    classes: number;
    batches: number[][];
    features: number[];
    labels: number[];
    settings: { from: number; to: number; learningRate: number; weightDecay: number }[];
    factors: number[];
    optimizers: Record<"sgd" | "adamw", { before: StoredClassifier[]; after: StoredClassifier[] }>;
  };
  mixture: {
    classes: number;
    width: number;
    train: number;
    test: number;
    unit: number;
    codes: string;
    labels: string;
    ranks: string;
    top1: number;
    top5: number;
    perClass: number;
  };
}

const file = join(import.meta.dirname, "../fixtures/evaluation/linear.json");
const { trajectory, mixture } = JSON.parse(readFileSync(file, "utf8")) as Stored;

let device: Device;
beforeAll(async () => {
  device = await Device.open({ threads: 1 });
});
afterAll(() => device.close());

describe("the sweep", () => {
  test.each(["sgd", "adamw"] as const)(
    "steps of %s give PyTorch's weights, setting by setting",
    async (optimizer) => {
      const { width, classes, batches, settings, factors, optimizers } = trajectory;
      const { before, after } = optimizers[optimizer];
      const sweep = await LinearSweep.create(device, {
        settings: settings.map(({ from, to, ...rest }) => ({ columns: [from, to], ...rest })),
        width,
        classes,
        batchSize: 8,
        optimizer,
      });
      const arrays = ({ weight, bias }: StoredClassifier) => ({
        weight: Float32Array.from(weight),
        bias: Float32Array.from(bias),
      });
      await sweep.setClassifiers(before.map(arrays));
      const features = matrixOf(trajectory.features, width);
      for (const [step, rows] of batches.entries()) {
        const x = Float32Array.from(
          rows.flatMap((row) => [...features.data.subarray(row * width, (row + 1) * width)]),
        );
        const labels = Int32Array.from(rows, (row) => trajectory.labels[row] as number);
        await sweep.step(x, labels, step, factors[step] as number);
      }
      const found = await sweep.classifiers();
      expect(found.length).toBe(after.length);
      for (const [i, { weight, bias }] of after.entries()) {
        weight.forEach((value, j) => {
          expect(Math.abs((found[i]?.weight[j] as number) - value)).toBeLessThan(1e-5);
        });
        bias.forEach((value, j) => {
          expect(Math.abs((found[i]?.bias[j] as number) - value)).toBeLessThan(1e-5);
        });
      }
      await sweep.release();
    },
  );

  test("a label's rank counts larger logits and equal ones of lower classes; a diverged classifier is last", async () => {
    const settings = [0, 1].map(() => ({ columns: [0, 2] as const, learningRate: 1, weightDecay: 0 }));
    const options = { settings, width: 2, classes: 3, batchSize: 4, optimizer: "sgd" } as const;
    const sweep = await LinearSweep.create(device, options);
    await sweep.setClassifiers([
      // Logits of (x, y): x, y, x.
      { weight: Float32Array.of(1, 0, 0, 1, 1, 0), bias: new Float32Array(3) },
      { weight: new Float32Array(6).fill(Number.NaN), bias: new Float32Array(3) },
    ]);
    const features = matrix(5, 2, Float32Array.of(2, 1, 2, 1, 2, 1, 0, 5, 1, 1));
    const ranks = await sweep.ranks(features, Int32Array.of(0, 1, 2, 1, 2));
    expect(ranks.map((each) => [...each])).toEqual([
      [0, 2, 1, 0, 2],
      [2, 2, 2, 2, 2],
    ]);
    await sweep.release();
  });
});

/** The stored mixture, its training part or its test part. */
function mixturePart(from: number, to: number): LinearData {
  const { width, unit, codes, labels } = mixture;
  const bytes = Buffer.from(codes, "base64");
  const data = Float32Array.from(
    { length: (to - from) * width },
    (_, i) => unit * bytes.readInt16LE(2 * (from * width + i)),
  );
  const all = Buffer.from(labels, "base64");
  return {
    features: matrix(to - from, width, data),
    labels: Int32Array.from(all.subarray(from, to)),
    views: 1,
  };
}

describe("accuracies", () => {
  const { train, test: tests, classes, width } = mixture;
  const data = mixturePart(0, train);
  const tested = mixturePart(train, train + tests);

  test.each([
    ["adamw", 0.03, 1500],
    ["sgd", 1, 1500],
  ] as const)(
    "%s comes within 0.2 points of scikit-learn's logistic regression",
    async (optimizer, rate, steps) => {
      const rates = [rate / 100, rate];
      const sweep = await trainLinear(device, data, Int32Array.from(data.labels.keys()), {
        classes,
        optimizer,
        settings: rates.map((learningRate) => ({ columns: [0, width], learningRate, weightDecay: 0 })),
        batchSize: train,
        steps: steps / 5,
        seed: 0,
      });
      const score = (await sweep.score(tested))[1];
      expect(Math.abs((score?.top1 as number) - mixture.top1)).toBeLessThan(0.002);
      expect(Math.abs((score?.top5 as number) - mixture.top5)).toBeLessThan(0.002);
      expect(Math.abs((score?.perClass as number) - mixture.perClass)).toBeLessThan(0.002);
      await sweep.release();
    },
  );

  test("top-1, top-5 and the mean over classes are scikit-learn's", () => {
    const ranks = Int32Array.from(Buffer.from(mixture.ranks, "base64"));
    const found = accuraciesOf(ranks, tested.labels, classes);
    expect(found.top1).toBeCloseTo(mixture.top1, 12);
    expect(found.top5).toBeCloseTo(mixture.top5, 12);
    expect(found.perClass).toBeCloseTo(mixture.perClass, 12);
    expect(accuraciesOf(Int32Array.of(0, 1), Int32Array.of(0, 1), 2)).toEqual({ top1: 0.5, perClass: 0.5 });
  });

  test("of equal accuracies the one whose labels stand higher is chosen", () => {
    const score = (top1: number, meanRank: number, perClass = 0) => ({ top1, meanRank, perClass });
    const scores = [score(0.5, 2, 0.9), score(0.6, 3, 0.4), score(0.6, 1, 0.2), score(0.1, 0, 0.9)];
    expect([bestOf(scores, "top1"), bestOf(scores, "meanPerClass")]).toEqual([2, 3]);
  });
});

test("crops of an image are drawn anew at every pass, and the same seed gives the same classifiers", async () => {
  // Each image has two crops that show opposite things, the centre first; tests see centres.
  const images = 64;
  const features = matrix(
    2 * images,
    2,
    Float32Array.from({ length: 4 * images }, (_, i) => (i % 4 === 0 || i % 4 === 3 ? 1 : 0)),
  );
  const data = { features, labels: Int32Array.from({ length: images }, (_, i) => i % 2), views: 2 };
  const train = async (seed: number) => {
    const sweep = await trainLinear(device, data, Int32Array.from(data.labels.keys()), {
      classes: 2,
      optimizer: "sgd",
      settings: [{ columns: [0, 2], learningRate: 0.1, weightDecay: 0 }],
      batchSize: 16,
      steps: 40,
      seed,
    });
    const [classifier] = await sweep.classifiers();
    await sweep.release();
    return classifier?.weight as Float32Array;
  };
  const first = await train(1);
  expect(await train(1)).toEqual(first);
  expect(await train(2)).not.toEqual(first);
  // Labels do not depend on the crop, so both columns learn alike; centres alone would leave the second one untouched.
  const initial = await LinearSweep.create(device, {
    settings: [{ columns: [0, 2], learningRate: 0.1, weightDecay: 0 }],
    width: 2,
    classes: 2,
    batchSize: 16,
    optimizer: "sgd",
  });
  await initial.reset(1);
  const [start] = await initial.classifiers();
  expect(Math.abs((first[1] as number) - (start?.weight[1] as number))).toBeGreaterThan(1e-4);
  await initial.release();
});

describe("held-out images", () => {
  const labels = Int32Array.from({ length: 105 }, (_, i) => (i < 60 ? 0 : i < 104 ? 1 : 2));

  test("are a share of each class, one image of a class always stays, and no image is in both parts", () => {
    const { kept, heldOut } = holdOut(labels, 0.1, 3);
    const count = (rows: Int32Array, label: number) => rows.filter((row) => labels[row] === label).length;
    expect([0, 1, 2].map((label) => count(heldOut, label))).toEqual([6, 4, 0]);
    expect([...kept, ...heldOut].sort((a, b) => a - b)).toEqual([...labels.keys()]);
    expect(holdOut(labels, 0.1, 3)).toEqual({ kept, heldOut });
    expect(holdOut(labels, 0.1, 4).heldOut).not.toEqual(heldOut);
    expect(holdOut(labels, 0, 3).heldOut.length).toBe(0);
  });

  test("a share that gives none is an error", () => {
    expect(() => holdOut(Int32Array.of(0, 0, 1, 1), 0.1, 0)).toThrow("No class has enough images");
    expect(() => holdOut(labels, 1, 0)).toThrow("The held-out share is 1");
  });
});

describe("features", () => {
  test.each(["cls", "mean", "cls+mean", "cls:4", "cls:4+mean"])("%s is read as it is written", (name) => {
    expect(featureChoiceName(parseFeatureChoice(name))).toBe(name);
  });

  test.each(["", "clsmean", "cls:0", "mean+cls", "cls:", "+mean", "patch"])("%j is no choice", (name) => {
    expect(() => parseFeatureChoice(name)).toThrow(`"${name}" names no features`);
  });

  test("the columns of a choice stand side by side in the matrix that serves all", () => {
    const config = { embedDim: 10, depth: 6, classToken: true };
    const choices = linearProtocols.dinov2.features(config);
    const layout = featureLayout(choices, config);
    expect(layout.width).toBe(50);
    expect(
      Object.fromEntries(choices.map((choice) => [featureChoiceName(choice), layout.columns(choice)])),
    ).toEqual({
      cls: [30, 40],
      "cls+mean": [30, 50],
      "cls:4": [0, 40],
      "cls:4+mean": [0, 50],
    });
    expect(() => featureLayout([{ blocks: 7, patches: false }], config)).toThrow("the encoder has 6 blocks");
    expect(() => featureLayout([{ blocks: 1, patches: true }], { ...config, classToken: false })).toThrow(
      'no class token, so there are no features "cls+mean"; use "mean"',
    );
  });

  test("the published sweeps have their numbers of settings", () => {
    const small = { embedDim: 384, depth: 12, classToken: true };
    const large = { embedDim: 1024, depth: 24, classToken: true };
    const { ibot, dinov2, paper } = linearProtocols;
    expect(ibot.learningRates.length * ibot.weightDecays.length).toBe(90);
    expect(ibot.learningRates[44]).toBe(9);
    expect(ibot.features(small).map(featureChoiceName)).toEqual(["cls:4"]);
    expect(ibot.features(large).map(featureChoiceName)).toEqual(["cls+mean"]);
    expect(dinov2.learningRates.length * dinov2.features(small).length).toBe(52);
    expect(paper.features({ ...small, classToken: false }).map(featureChoiceName)).toEqual(["mean"]);
  });
});

describe("an encoder", () => {
  const encoder = randomEncoder({ ...tinyConfig, depth: 2 }, 0);
  const open = (count: number, seed: number) =>
    openDataset(`synthetic:${count}`, { synthetic: { size: 16, seed } });
  const part = (dataset: Dataset, from: number, to: number) =>
    subset(
      dataset,
      Int32Array.from({ length: to - from }, (_, i) => from + i),
    );

  test("is probed on all choices of features, by a setting chosen on held-out images", async () => {
    const images = await open(150, 5);
    // Two of the test images are training images.
    const [train, test] = [part(images, 0, 102), part(images, 100, 150)];
    const record = await evaluateLinear({
      device,
      encoder,
      train,
      test,
      views: 2,
      holdOut: 0.2,
      epochs: 5,
      features: ["cls", "mean", "cls:2+mean"].map(parseFeatureChoice),
    });
    expect(record).toMatchObject({
      kind: "linear",
      protocol: "paper",
      encoder: "random",
      train: { images: 102 },
      test: { images: 50 },
      overlap: { count: 2, example: { train: train.sampleName(100), test: test.sampleName(0) } },
      views: 2,
      holdOut: { share: 0.2, refit: true },
      imageSize: 16,
      resize: 16,
    });
    expect(record.augmentation).toContain("one of 2 cached crops");
    // Three choices of features, seven learning rates.
    expect(record.settings.length).toBe(21);
    const validated = record.settings.map(({ validation }) => validation?.top1 as number);
    expect(record.chosen?.validation?.top1).toBe(Math.max(...validated));
    expect(record.bestOnTest.test.top1).toBe(Math.max(...record.settings.map(({ test: { top1 } }) => top1)));
    expect(record.chosenByFeatures?.map(({ features }) => features)).toEqual(["cls", "mean", "cls:2+mean"]);
    expect(record.chosenByFeatures).toContain(record.chosen);
  });

  test("is probed by the test set's metric", async () => {
    const images = await open(150, 5);
    const test = { ...part(images, 100, 150), metric: "meanPerClass" } as const;
    const options = { device, encoder, train: part(images, 0, 100), test, epochs: 2 } as const;
    const record = await evaluateLinear({ ...options, features: [parseFeatureChoice("cls")] });
    expect(record.test.metric).toBe("meanPerClass");
    const most = (shares: readonly (number | undefined)[]) => Math.max(...shares.map(Number));
    expect(record.chosen?.validation?.perClass).toBe(
      most(record.settings.map(({ validation }) => validation?.perClass)),
    );
    expect(record.bestOnTest.test.perClass).toBe(most(record.settings.map((each) => each.test.perClass)));
  });

  test("and data that do not fit together are refused by name", async () => {
    const images = await open(40, 0);
    const probe = (train: Dataset, test: Dataset) => evaluateLinear({ device, encoder, train, test });
    await expect(probe({ ...images, classes: undefined }, images)).rejects.toThrow(
      "linear probe: synthetic has no classes; put the images of each class into a folder of their own",
    );
    await expect(probe({ ...images, classes: ["one"] }, images)).rejects.toThrow(
      'synthetic has one class, "one"',
    );
    await expect(probe(part(images, 0, 1), images)).rejects.toThrow("has 1 images for");
    const classes = images.classes as string[];
    await expect(probe(images, { ...images, classes: [...classes, "new"] })).rejects.toThrow(
      'has 1 classes that synthetic has not ("new")',
    );
    await expect(probe(images, { ...images, label: () => 99 })).rejects.toThrow(
      `test image 0 has the label -1, expected 0 to ${classes.length - 1}`,
    );
    const first = { ...images, label: () => 0 };
    await expect(probe(first, { ...images, label: () => 1 })).rejects.toThrow(
      `test images of the class "${classes[1]}" and no training image of it`,
    );
    await expect(evaluateLinear({ device, encoder, train: images, test: images, views: 0 })).rejects.toThrow(
      "The number of views is 0",
    );
  });

  test("whose features are not finite has diverged, and the image is named", async () => {
    const images = await open(40, 0);
    const broken = encoder.weights["norm.weight"];
    const weights = {
      ...encoder.weights,
      "norm.weight": { ...broken, data: new Float32Array(16).fill(Number.NaN) },
    } as typeof encoder.weights;
    await expect(
      evaluateLinear({ device, encoder: { ...encoder, weights }, train: images, test: images }),
    ).rejects.toThrow(`The features of ${images.sampleName(0)} are not finite`);
  });
});
