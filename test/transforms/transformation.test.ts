/** @file The transformations g: identity, paths, ranges, draws, regression targets. */

import { describe, expect, test } from "vitest";
import { mul, type Tensor } from "#src/graph/index.js";
import { randomStream } from "#src/random.js";
import { float32 } from "#src/runtime/index.js";
import {
  drawBatch,
  normalizeTheta,
  type Transformation,
  transformation,
  transformationNames,
} from "#src/transforms/index.js";
import { largestDifference, readFixture, type StoredArray, stored, useDevice } from "./helpers.js";

const images = stored(readFixture<{ images: StoredArray }>("color.json").images); // [3, 3, 12, 16]
const evaluate = useDevice();

/** The image is wide enough for the blur's kernel when sigma is at most 1.25. */
const make = (name: (typeof transformationNames)[number]): Transformation =>
  transformation(name, name === "blur" ? { ranges: { sigma: [0.1, 1.25] } } : {});

const draw = (g: Transformation, key = "theta") =>
  drawBatch(
    g,
    [0, 1, 2].map((sample) => randomStream(7, key, sample)),
  );

describe.each(transformationNames)("%s", (name) => {
  const g = make(name);

  test("theta 0 and fraction 0 are the identity", async () => {
    const theta = float32(new Float32Array(3 * g.components.length), [3, g.components.length]);
    const still = await evaluate({ images, theta }, (t) => g.apply(t.images as Tensor, t));
    expect(largestDifference(still, images)).toBeLessThan(2e-6);
    const start = await evaluate({ images, ...draw(g) }, (t) => g.path(t.images as Tensor, t, 0));
    expect(largestDifference(start, images)).toBeLessThan(2e-6);
  });

  test("the path ends in the full transformation and is taken by scaling theta", async () => {
    const full = await evaluate({ images, ...draw(g) }, (t) => g.apply(t.images as Tensor, t));
    expect(largestDifference(full, images)).toBeGreaterThan(0.01);
    const end = await evaluate({ images, ...draw(g) }, (t) => g.path(t.images as Tensor, t, 1));
    expect(largestDifference(end, full)).toBe(0);
    const third = await evaluate({ images, ...draw(g) }, (t) => g.path(t.images as Tensor, t, 1 / 3));
    const scaled = await evaluate({ images, ...draw(g) }, (t) =>
      g.apply(t.images as Tensor, { theta: mul(t.theta as Tensor, 1 / 3) }),
    );
    expect(largestDifference(third, scaled)).toBe(0);
    expect(largestDifference(third, full)).toBeGreaterThan(0.01);
  });

  test("values stay in [0, 1]", async () => {
    const result = await evaluate({ images, ...draw(g) }, (t) => g.apply(t.images as Tensor, t));
    expect(Math.min(...result.data)).toBeGreaterThanOrEqual(-1e-6);
    expect(Math.max(...result.data)).toBeLessThanOrEqual(1 + 1e-6);
  });

  test("10,000 draws fill the ranges evenly, and depend on the stream alone", () => {
    const standard = transformation(name);
    const n = 10_000;
    const streams = Array.from({ length: n }, (_, i) => randomStream(3, name, i));
    const { theta } = drawBatch(standard, streams);
    expect(theta?.shape).toEqual([n, standard.components.length]);
    const targets = normalizeTheta(standard, theta?.data ?? []);
    standard.components.forEach(({ low, high }, i) => {
      const drawn = Array.from(
        { length: n },
        (_, row) => theta?.data[row * standard.components.length + i] as number,
      );
      const scaled = drawn.map((_, row) => targets[row * standard.components.length + i] as number);
      expect(Math.min(...drawn)).toBeGreaterThanOrEqual(low - 1e-6);
      expect(Math.max(...drawn)).toBeLessThanOrEqual(high + 1e-6);
      expect(Math.min(...scaled)).toBeLessThan(-0.99);
      expect(Math.min(...scaled)).toBeGreaterThanOrEqual(-1 - 1e-6);
      expect(Math.max(...scaled)).toBeGreaterThan(0.99);
      expect(Math.max(...scaled)).toBeLessThanOrEqual(1 + 1e-6);
      // Uniform on [-1, 1]: mean 0 and variance 1/3, within 5 standard errors.
      expect(Math.abs(scaled.reduce((a, b) => a + b) / n)).toBeLessThan(5 * Math.sqrt(1 / 3 / n));
      const square = scaled.reduce((a, b) => a + b * b, 0) / n;
      expect(Math.abs(square - 1 / 3)).toBeLessThan(5 * Math.sqrt(4 / 45 / n));
    });
    const again = drawBatch(standard, [randomStream(3, name, 41), randomStream(3, name, 17)]);
    const width = standard.components.length;
    expect(again.theta?.data).toEqual(
      Float32Array.of(
        ...(theta?.data.subarray(41 * width, 42 * width) ?? []),
        ...(theta?.data.subarray(17 * width, 18 * width) ?? []),
      ),
    );
  });
});

test("the ranges are those of the paper's Table 1", () => {
  const ranges = (name: (typeof transformationNames)[number]) =>
    transformation(name).components.map((component) => [component.name, component.low, component.high]);
  expect(ranges("se2")).toEqual([
    ["angle", -45, 45],
    ["right", -10 / 224, 10 / 224],
    ["down", -10 / 224, 10 / 224],
  ]);
  expect(ranges("color")).toEqual([
    ["brightness", -0.4, 0.4],
    ["contrast", -0.4, 0.4],
    ["saturation", -0.1, 0.1],
    ["hue", -0.1, 0.1],
  ]);
  expect(ranges("blur")).toEqual([["sigma", 0.1, 2]]);
});

test("an in-between blur weaker than the smallest drawn one is no NaN", async () => {
  const g = make("blur");
  const theta = float32(Float32Array.of(0.1, 0.1, 0.1), [3, 1]);
  const result = await evaluate({ images, theta }, (t) => g.path(t.images as Tensor, t, 1 / 3));
  expect(largestDifference(result, images)).toBeLessThan(1e-6);
});

test("normalizeTheta maps ranges to [-1, 1], and a range of one value to 0", () => {
  const g = transformation("se2", { ranges: { angle: [0, 20], down: [0, 0] } });
  const targets = normalizeTheta(g, [0, -10 / 224, 0, 15, 10 / 224, 0]);
  expect(targets).toEqual(Float32Array.of(-1, -1, 0, 0.5, 1, 0));
  expect(() => normalizeTheta(g, [1, 2])).toThrow("2 numbers are no rows of se2's 3 components");
});

test("unknown components and empty ranges are refused", () => {
  expect(() => transformation("blur", { ranges: { angle: [0, 1] } })).toThrow(
    'blur has no component "angle"; it has sigma',
  );
  expect(() => transformation("rotation", { ranges: { angle: [1, -1] } })).toThrow("1 to -1, is empty");
});
