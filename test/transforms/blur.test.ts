/** @file Gaussian blur against torchvision's `gaussian_blur` on float tensors. */

import { expect, test } from "vitest";
import { constant, type Tensor } from "#src/graph/index.js";
import { float32 } from "#src/runtime/index.js";
import { gaussianBlur } from "#src/transforms/index.js";
import { largestDifference, readFixture, type StoredArray, stored, useDevice } from "./helpers.js";

interface BlurFixture {
  readonly square: StoredArray;
  readonly wide: StoredArray;
  readonly cases: readonly {
    readonly images: "square" | "wide";
    readonly kernelSize: number;
    readonly parameters: readonly [StoredArray];
    readonly output: StoredArray;
  }[];
}

const fixture = readFixture<BlurFixture>("blur.json");
const evaluate = useDevice();

test.each(fixture.cases.map((item) => [item.images, item.kernelSize, item] as const))(
  "%s images, kernel %i",
  async (name, kernelSize, item) => {
    const result = await evaluate({ images: stored(fixture[name]), sigma: stored(item.parameters[0]) }, (t) =>
      gaussianBlur(t.images as Tensor, t.sigma as Tensor, kernelSize),
    );
    expect(largestDifference(result, stored(item.output))).toBeLessThan(2e-6);
  },
);

test("sigma 0 is the identity, and a tiny sigma is no NaN", async () => {
  const images = stored(fixture.square);
  const sigma = float32(Float32Array.of(0, 1e-8, 0.02), [3, 1]);
  const result = await evaluate({ images, sigma }, (t) =>
    gaussianBlur(t.images as Tensor, t.sigma as Tensor, 17),
  );
  expect(largestDifference(result, images)).toBe(0);
});

test("an even kernel and an image smaller than the reflection are refused", () => {
  const images = constant(new Float32Array(3 * 4 * 8), [1, 3, 4, 8]);
  const sigma = constant([1], [1]);
  expect(() => gaussianBlur(images, sigma, 4)).toThrow("the kernel size must be odd and positive, got 4");
  expect(() => gaussianBlur(images, sigma, 9)).toThrow("over a 4x8 image and its reflection; use at most 7");
});
