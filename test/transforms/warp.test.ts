/** @file Rotations and translations against torchvision's `rotate` and `affine` on float tensors. */

import { describe, expect, test } from "vitest";
import type { Tensor } from "#src/graph/index.js";
import { float32 } from "#src/runtime/index.js";
import { inscribedDisc, rigidWarp } from "#src/transforms/index.js";
import { largestDifference, readFixture, type StoredArray, stored, useDevice } from "./helpers.js";

interface GeometryFixture {
  readonly square: StoredArray;
  readonly wide: StoredArray;
  readonly cases: readonly {
    readonly images: "square" | "wide";
    readonly angle: StoredArray;
    readonly shift: StoredArray;
    readonly zeros: StoredArray;
    readonly reflection: StoredArray;
  }[];
}

const TOLERANCE = 1e-5;
const fixture = readFixture<GeometryFixture>("geometry.json");
const evaluate = useDevice();

/** Column `i` of a stored `[B, n]`. */
function column(array: StoredArray, i: number) {
  const { shape, data } = stored(array);
  const [rows, width] = shape as [number, number];
  return float32(
    Float32Array.from({ length: rows }, (_, row) => data[row * width + i] as number),
    [rows],
  );
}

describe.each(["zeros", "reflection"] as const)("beyond the border: %s", (padding) => {
  test.each(fixture.cases.map((item, i) => [item.images, i, item] as const))(
    "%s, case %i",
    async (name, _, item) => {
      const images = stored(fixture[name]);
      const inputs = {
        images,
        angle: stored(item.angle),
        right: column(item.shift, 0),
        down: column(item.shift, 1),
      };
      const result = await evaluate(inputs, ({ images: u, angle, right, down }) =>
        rigidWarp(
          u as Tensor,
          { angle: angle as Tensor, right: right as Tensor, down: down as Tensor },
          padding,
        ),
      );
      expect(largestDifference(result, stored(item[padding]))).toBeLessThan(TOLERANCE);
    },
  );
});

test("a positive angle turns counter-clockwise, a positive shift goes right and down", async () => {
  const images = stored(fixture.square);
  const size = 15;
  const of = (value: number) => float32(Float32Array.of(value, value, value), [3]);
  const turned = await evaluate({ images, angle: of(90) }, (t) =>
    rigidWarp(t.images as Tensor, { angle: t.angle as Tensor }),
  );
  const moved = await evaluate({ images, right: of(2 / size), down: of(3 / size) }, (t) =>
    rigidWarp(t.images as Tensor, { right: t.right as Tensor, down: t.down as Tensor }),
  );
  const pixel = (data: Float32Array, row: number, x: number) => data[row * size + x] as number;
  for (let row = 0; row < size; row++) {
    for (let x = 0; x < size; x++) {
      // The right edge becomes the top one.
      expect(pixel(turned.data, size - 1 - x, row)).toBeCloseTo(pixel(images.data, row, x), 5);
      const source = row >= 3 && x >= 2 ? pixel(images.data, row - 3, x - 2) : 0;
      expect(pixel(moved.data, row, x)).toBeCloseTo(source, 5);
    }
  }
});

test("inside the inscribed disc a rotation shows nothing from beyond the border", async () => {
  for (const [height, width] of [
    [15, 15],
    [12, 16],
  ] as const) {
    const white = float32(new Float32Array(4 * 3 * height * width).fill(1), [4, 3, height, width]);
    const angle = float32(Float32Array.of(45, -31, 7.7, 180), [4]);
    const mask = await evaluate({}, () => inscribedDisc(height, width));
    expect(mask.shape).toEqual([1, 1, height, width]);
    const rotated = await evaluate({ white, angle }, (t) =>
      rigidWarp(t.white as Tensor, { angle: t.angle as Tensor }),
    );
    const inside = Array.from(rotated.data).filter((_, i) => mask.data[i % mask.data.length] === 1);
    expect(Math.min(...inside)).toBeGreaterThan(1 - 1e-5);
    expect(Math.min(...rotated.data)).toBe(0);
    const radius = (Math.min(height, width) - 1) / 2;
    const share = mask.data.reduce((a, b) => a + b) / (Math.PI * radius ** 2);
    expect(Math.abs(share - 1)).toBeLessThan(0.1);
  }
});
