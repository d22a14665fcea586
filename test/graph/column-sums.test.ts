/** @file Sums over many rows, which the CPU computes as products: exact where the terms are whole numbers. */

import { expect, it } from "vitest";
import { sum } from "#src/graph/index.js";
import { Device, hostValue } from "#src/runtime/index.js";

it.each(["float32", "float64"] as const)("columns of a long %s matrix", async (dtype) => {
  await using device = await Device.open({ threads: 2 });
  const [rows, columns] = [1000, 3];
  const numbers = Array.from({ length: rows * columns }, (_, i) => Math.floor(i / columns) * (i % columns));
  const x =
    dtype === "float32"
      ? hostValue(dtype, Float32Array.from(numbers), [rows, columns])
      : hostValue(dtype, Float64Array.from(numbers), [rows, columns]);
  const program = await device.compile({
    name: "sums",
    inputs: { x },
    trace: ({ x }) => ({
      outputs: { plain: sum(x as never, [0]), kept: sum(x as never, [0], { keepDims: true }) },
    }),
  });
  const { plain, kept } = await program.run({ x });
  // 0 + 1 + ... + 999, times the column.
  const expected = [0, 499500, 999000];
  expect(Array.from(plain?.data as ArrayLike<number>)).toEqual(expected);
  expect(plain?.shape).toEqual([columns]);
  expect(Array.from(kept?.data as ArrayLike<number>)).toEqual(expected);
  expect(kept?.shape).toEqual([1, columns]);
});
