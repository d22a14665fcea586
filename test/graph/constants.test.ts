/** @file Constants as they stand in a model. */

import { expect, test } from "vitest";
import { constant, matmul, reshape, sum } from "#src/graph/index.js";
import { evaluate } from "../nn/helpers.js";

test("one array as constants of two shapes keeps both shapes", async () => {
  const values = Float32Array.from({ length: 128 }, (_, i) => i % 7);
  const { product, total } = await evaluate({}, () => ({
    product: matmul(constant(values, [8, 16]), constant(values, [16, 8])),
    total: sum(reshape(constant(values, [128]), [128])),
  }));
  expect(product?.shape).toEqual([8, 8]);
  // Row 0 times column 0, by hand: sum over k of (k mod 7) (8k mod 7), and 8k mod 7 is k mod 7.
  const first = Array.from({ length: 16 }, (_, k) => (k % 7) ** 2).reduce((a, b) => a + b, 0);
  expect(product?.data[0]).toBe(first);
  expect(total?.data[0]).toBe(values.reduce((a, b) => a + b, 0));
});
