/** @file Colour transforms against torchvision's functional transforms on float tensors. */

import { describe, expect, test } from "vitest";
import { constant, type Tensor } from "#src/graph/index.js";
import { float32 } from "#src/runtime/index.js";
import * as transforms from "#src/transforms/index.js";
import { largestDifference, readFixture, type StoredArray, stored, useDevice } from "./helpers.js";

interface Case {
  readonly parameters: readonly [StoredArray];
  readonly output: StoredArray;
}

interface ColorFixture {
  readonly images: StoredArray;
  readonly brightness: readonly Case[];
  readonly contrast: readonly Case[];
  readonly saturation: readonly Case[];
  readonly hue: readonly Case[];
  readonly solarize: readonly Case[];
  readonly grayscale: StoredArray;
  readonly normalize: StoredArray;
}

const TOLERANCE = 2e-6;
const fixture = readFixture<ColorFixture>("color.json");
const images = stored(fixture.images);
const evaluate = useDevice();

describe.each([
  ["brightness", transforms.adjustBrightness],
  ["contrast", transforms.adjustContrast],
  ["saturation", transforms.adjustSaturation],
  ["hue", transforms.adjustHue],
  ["solarize", transforms.solarize],
] as const)("%s equals torchvision's", (name, adjust) => {
  test.each(fixture[name].map((item, i) => [i, item] as const))("parameters %i", async (_, item) => {
    const result = await evaluate({ images, factor: stored(item.parameters[0]) }, (t) =>
      adjust(t.images as Tensor, t.factor as Tensor),
    );
    expect(largestDifference(result, stored(item.output))).toBeLessThan(TOLERANCE);
  });
});

test("grayscale equals torchvision's where the amount is 1 and keeps the image where it is 0", async () => {
  const amount = float32(Float32Array.of(1, 0, 1), [3]);
  const result = await evaluate({ images, amount }, (t) =>
    transforms.grayscale(t.images as Tensor, t.amount as Tensor),
  );
  const expected = stored(fixture.grayscale);
  const size = images.data.length / 3;
  expected.data.set(images.data.subarray(size, 2 * size), size);
  expect(largestDifference(result, expected)).toBeLessThan(TOLERANCE);
});

test("solarize keeps an image whose threshold is above 1", async () => {
  const threshold = float32(Float32Array.of(2, 2, 2), [3, 1]);
  const result = await evaluate({ images, threshold }, (t) =>
    transforms.solarize(t.images as Tensor, t.threshold as Tensor),
  );
  expect(largestDifference(result, images)).toBe(0);
});

test("normalize equals torchvision's, and denormalize inverts it", async () => {
  const normal = await evaluate({ images }, (t) => transforms.normalize(t.images as Tensor));
  expect(largestDifference(normal, stored(fixture.normalize))).toBeLessThan(TOLERANCE);
  const back = await evaluate({ normal }, (t) => transforms.denormalize(t.normal as Tensor));
  expect(largestDifference(back, images)).toBeLessThan(TOLERANCE);
});

test("toUnitRange maps bytes to [0, 1]", async () => {
  const bytes = { dtype: "uint8", shape: [2, 1, 1, 2], data: Uint8Array.of(0, 51, 128, 255) } as const;
  const result = await evaluate({ bytes }, (t) => transforms.toUnitRange(t.bytes as Tensor));
  expect(Array.from(result.data)).toEqual([0, 51 / 255, 128 / 255, 1].map(Math.fround));
});

test("hue survives black, grey and tiny differences without NaN", async () => {
  const levels = float32(Float32Array.of(0, 1, 0.5, 1e-30, 0, 1, 0.5, 0, 0, 1, 0.5, 1e-38), [1, 3, 1, 4]);
  const shift = float32(Float32Array.of(0.3), [1]);
  const result = await evaluate({ levels, shift }, (t) =>
    transforms.adjustHue(t.levels as Tensor, t.shift as Tensor),
  );
  expect(largestDifference(result, levels)).toBeLessThan(1e-7);
});

test("a number of factors that is not the number of images is refused", () => {
  const batch = constant(new Float32Array(24), [2, 3, 2, 2]);
  const factors = constant([1, 1, 1], [3]);
  expect(() => transforms.adjustBrightness(batch, factors)).toThrow(
    "adjustBrightness: expected one number for each image of float32[2, 3, 2, 2], got float32[3]",
  );
  expect(() => transforms.adjustHue(constant([1, 2], [1, 1, 1, 2]), factors)).toThrow(
    "expected floating point images [B, 3, H, W], got float32[1, 1, 1, 2]",
  );
});
