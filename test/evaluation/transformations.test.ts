/** @file Transformation regression end to end: splits, protocols, repeats, errors. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { openDataset } from "#src/data/index.js";
import {
  disjointParts,
  evaluateTransformations,
  extractPairs,
  FeatureExtractor,
  leakFreeDisc,
  randomEncoder,
  subset,
  type TransformationsOptions,
} from "#src/evaluation/index.js";
import type { Tensor } from "#src/graph/index.js";
import { visionTransformerConfig } from "#src/models/index.js";
import type { EvaluationRecord } from "#src/reports/index.js";
import { Device } from "#src/runtime/index.js";
import { rigidWarp, transformation } from "#src/transforms/index.js";
import { tinyConfig } from "./helpers.js";

let device: Device;
beforeAll(async () => {
  device = await Device.open({ threads: 1 });
});
afterAll(() => device.close());

const synthetic = (count: number) => openDataset(`synthetic:${count}`, { synthetic: { size: 16 } });

async function evaluate(options: Partial<TransformationsOptions>) {
  return evaluateTransformations({
    device,
    encoder: randomEncoder(tinyConfig, 0),
    dataset: await synthetic(200),
    trainPairs: 100,
    validationPairs: 20,
    testPairs: 40,
    repeats: 2,
    epochs: 2,
    hidden: 16,
    ...options,
  });
}

test("parts are disjoint, follow from the seed, and are refused when there are too few images", async () => {
  const parts = disjointParts({ name: "photos", length: 50 }, { train: 30, validation: 5, test: 15 }, 1);
  const all = [...parts.train, ...parts.validation, ...parts.test];
  expect(new Set(all).size).toBe(50);
  expect(disjointParts({ name: "photos", length: 50 }, { train: 30, validation: 5, test: 15 }, 1)).toEqual(
    parts,
  );
  expect(() =>
    disjointParts({ name: "photos", length: 49 }, { train: 30, validation: 5, test: 15 }, 1),
  ).toThrow("needs 50 images (30 train + 5 validation + 15 test), photos has 49");
  expect(() => disjointParts({ name: "photos", length: 49 }, { train: 0 }, 1)).toThrow(
    "expected a whole number from 1",
  );
});

test("a part of a data set renames its samples and nothing else", async () => {
  const dataset = await synthetic(10);
  const part = subset(dataset, [7, 2]);
  expect(part.length).toBe(2);
  expect([part.sampleName(0), part.sampleName(1)]).toEqual(["synthetic-7", "synthetic-2"]);
  expect(part.label(1)).toBe(dataset.label(2));
  expect(() => part.source(2)).toThrow("expected an index below 2");
});

test("both protocols are reported, each a record that reports take, the same again for the same seed", async () => {
  const progress: [string, number][] = [];
  const result = await evaluate({ progress: (text, fraction) => progress.push([text, fraction]) });
  const records: readonly EvaluationRecord[] = result.records;
  expect(records.map(({ protocol }) => protocol)).toEqual(["paper-zero-fill", "leak-free-disc"]);
  const [paper, disc] = records;
  expect(paper).toMatchObject({
    encoder: "random",
    features: "mean",
    data: "synthetic",
    repeats: 2,
    split: { train: 100, validation: 20, test: 40 },
  });
  expect(Object.keys(paper?.r2.color.perParameter ?? {})).toEqual([
    "brightness",
    "contrast",
    "saturation",
    "hue",
  ]);
  const { rotation, color, blur, translation, mean } = paper?.r2 ?? ({} as never);
  expect(mean.mean).toBeCloseTo((rotation.mean + color.mean + blur.mean + translation.mean) / 4, 10);
  expect(rotation.std).toBeGreaterThan(0);
  expect(disc?.r2.color).toEqual(color);
  expect(disc?.r2.rotation).not.toEqual(rotation);

  const scatter = paper?.scatter ?? [];
  expect(scatter.map(({ parameter }) => parameter)).toEqual([
    "angle",
    ...["brightness", "contrast", "saturation", "hue"],
    "sigma",
    ...["right", "down"],
  ]);
  const angles = scatter.find(({ parameter }) => parameter === "angle");
  expect(angles?.unit).toBe("°");
  expect(angles?.truth.length).toBe(40);
  expect(angles?.predicted.length).toBe(40);
  expect(Math.max(...(angles?.truth ?? []).map(Math.abs))).toBeGreaterThan(30);
  expect(Math.max(...(angles?.truth ?? []).map(Math.abs))).toBeLessThan(45.001);
  const shifts = scatter.find(({ parameter }) => parameter === "right");
  expect(shifts?.unit).toBe("px");
  expect(Math.max(...(shifts?.truth ?? []).map(Math.abs))).toBeLessThan((16 * 10) / 224 + 1e-3);

  const { train, validation, test: held } = result.split;
  expect(new Set([...train, ...validation, ...held]).size).toBe(160);
  const fractions = progress.map(([, fraction]) => fraction);
  expect(fractions).toEqual([...fractions].sort((a, b) => a - b));
  expect(progress.at(-1)).toEqual(["done", 1]);

  const again = await evaluate({});
  expect(again.split).toEqual(result.split);
  expect(again.records.map(({ r2 }) => r2)).toEqual(result.records.map(({ r2 }) => r2));
}, 60_000);

test("one protocol and the class token can be asked for; what makes no sense is named", async () => {
  const { records } = await evaluate({ protocols: ["leak-free-disc"], features: "cls", repeats: 1 });
  expect(records.map(({ protocol, features }) => [protocol, features])).toEqual([["leak-free-disc", "cls"]]);
  expect(records[0]?.r2.rotation.std).toBe(0);

  await expect(evaluate({ trainPairs: 150 })).rejects.toThrow(
    "needs 210 images (150 train + 20 validation + 40 test), synthetic has 200",
  );
  await expect(evaluate({ repeats: 0 })).rejects.toThrow("repeats is 0");
  await expect(evaluate({ protocols: [] })).rejects.toThrow("expected paper-zero-fill or leak-free-disc");
  const headless = visionTransformerConfig({ ...tinyConfig, classToken: false });
  await expect(evaluate({ encoder: randomEncoder(headless, 0), features: "cls" })).rejects.toThrow(
    'encoder "random" has no class token',
  );
});

test("weights that are not the architecture's are named", async () => {
  const encoder = randomEncoder(tinyConfig, 0);
  const { "norm.weight": norm, ...rest } = encoder.weights;
  await expect(FeatureExtractor.create(device, { ...encoder, weights: rest })).rejects.toThrow(
    '"norm.weight" is float32[16] in its architecture, and is not among its weights',
  );
  const wide = {
    ...rest,
    "norm.weight": { dtype: "float32", shape: [8], data: new Float32Array(8) } as const,
  };
  await expect(FeatureExtractor.create(device, { ...encoder, weights: wide })).rejects.toThrow(
    "and float32[8] in its weights",
  );
  expect(norm?.shape).toEqual([16]);
});

test("a pair's parameters depend on seed and sample alone", async () => {
  const dataset = await synthetic(20);
  const encoder = randomEncoder(tinyConfig, 0);
  const options = {
    device,
    encoder,
    dataset,
    kind: "mean",
    protocols: ["paper-zero-fill"],
    seed: 4,
  } as const;
  const one = await extractPairs({ ...options, parts: { a: Uint32Array.of(3, 9), b: Uint32Array.of(11) } });
  const other = await extractPairs({ ...options, parts: { a: Uint32Array.of(11, 3) }, batchSize: 1 });
  const rows = (values: Float32Array | undefined, width: number, row: number) =>
    [...(values ?? [])].slice(row * width, (row + 1) * width);
  const [ofOne, ofOther] = [one.a?.targets.color.data, other.a?.targets.color.data];
  expect(rows(ofOne, 4, 0)).toEqual(rows(ofOther, 4, 1));
  expect(rows(one.b?.targets.color.data, 4, 0)).toEqual(rows(ofOther, 4, 0));
  expect(rows(ofOne, 4, 0)).not.toEqual(rows(ofOne, 4, 1));
  const [featuresOne, featuresOther] = [one, other].map((pairs) =>
    pairs.a?.features("rotation", "paper-zero-fill"),
  );
  rows(featuresOne?.data, 32, 0).forEach((value, i) => {
    expect(value).toBeCloseTo(rows(featuresOther?.data, 32, 1)[i] as number, 4);
  });
});

test("nothing from beyond the border comes into the leak-free disc, whatever the parameters", async () => {
  const size = 32;
  const reach = 10 / 224;
  const program = await device.compile({
    name: "white",
    inputs: {
      angle: { dtype: "float32", shape: [9, 1] },
      right: { dtype: "float32", shape: [9, 1] },
      down: { dtype: "float32", shape: [9, 1] },
      images: { dtype: "float32", shape: [9, 3, size, size] },
    },
    trace: ({ images, angle, right, down }) => ({
      outputs: {
        rotated: rigidWarp(images as Tensor, { angle: angle as Tensor }),
        disc: leakFreeDisc(size),
        shifted: rigidWarp(images as Tensor, { right: right as Tensor, down: down as Tensor }),
      },
    }),
  });
  const column = (values: number[]) =>
    ({ dtype: "float32", shape: [9, 1], data: Float32Array.from(values) }) as const;
  const three = [-1, 0, 1];
  const { rotated, shifted, disc } = await program.run({
    angle: column([-45, -33.3, -20, -7, 0, 12, 27, 40, 45]),
    right: column(three.flatMap((x) => three.map(() => x * reach))),
    down: column(three.flatMap(() => three.map((y) => y * reach))),
    images: {
      dtype: "float32",
      shape: [9, 3, size, size],
      data: new Float32Array(9 * 3 * size * size).fill(1),
    },
  });
  const inside = disc?.data as Float32Array;
  expect(inside.reduce((total, value) => total + value, 0)).toBeGreaterThan(0.55 * size * size);
  for (const moved of [rotated, shifted]) {
    const values = moved?.data as Float32Array;
    // White images stay white inside the disc, and the border has come in elsewhere.
    const dark = [...values].map((value, i) => value < 1 - 1e-5 && inside[i % (size * size)] === 1);
    expect(dark.includes(true)).toBe(false);
    expect(values.some((value) => value < 0.5)).toBe(true);
  }
  expect(transformation("translation").components.map(({ high }) => high)).toEqual([reach, reach]);
});

test("patch features side by side: their mean is the mean feature, and too many are refused", async () => {
  const options = {
    device,
    encoder: randomEncoder(tinyConfig, 0),
    dataset: await synthetic(12),
    protocols: ["paper-zero-fill"] as const,
    parts: { all: Uint32Array.from({ length: 12 }, (_, i) => i) },
    seed: 0,
  };
  const features = async (kind: "mean" | "patches") =>
    (await extractPairs({ ...options, kind })).all?.features("rotation", "paper-zero-fill");
  const [mean, patches] = [await features("mean"), await features("patches")];
  const { embedDim, imageSize, patchSize } = tinyConfig;
  const tokens = (imageSize / patchSize) ** 2;
  expect(mean?.columns).toBe(2 * embedDim);
  expect(patches).toMatchObject({ rows: 12, columns: 2 * tokens * embedDim });
  for (let i = 0; i < 12 * 2 * embedDim; i++) {
    const [row, column] = [Math.floor(i / embedDim), i % embedDim];
    let sum = 0;
    for (let t = 0; t < tokens; t++) sum += patches?.data[(row * tokens + t) * embedDim + column] as number;
    expect(sum / tokens).toBeCloseTo(mean?.data[i] as number, 5);
  }
  const { records } = await evaluate({ features: "patches", protocols: ["paper-zero-fill"] });
  expect(records[0]).toMatchObject({ features: "patches", encoder: "random" });
  const large = visionTransformerConfig({ ...tinyConfig, imageSize: 512, patchSize: 4 });
  await expect(
    extractPairs({ ...options, encoder: randomEncoder(large, 0), kind: "patches" }),
  ).rejects.toThrow(/16384 x \d+ features, more than the 8192 that are probed; use "mean"/);
});
