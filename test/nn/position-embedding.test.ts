/** @file Position embeddings: interpolation against PyTorch, sine-cosine against the published formula. */

import { expect, test } from "vitest";
import { input } from "#src/graph/index.js";
import { interpolatePositions, positionInterpolations, sinCosPositions } from "#src/nn/index.js";
import { expectCase, fixture, get } from "./helpers.js";

const square = { rows: 5, columns: 5 };

test.each(fixture.interpolation)(
  "from 5x5 to $rows x $columns as $way",
  async ({ way, rows, columns, ...stored }) => {
    const how = positionInterpolations[way as keyof typeof positionInterpolations];
    await expectCase(stored, (t) => interpolatePositions(get(t, "table"), square, { rows, columns }, how));
  },
);

test("the same grid is left alone, another size of table refused", () => {
  const table = input("table", [25, 3]);
  expect(interpolatePositions(table, square, square, positionInterpolations.dino)).toBe(table);
  expect(() =>
    interpolatePositions(input("t", [24, 3]), square, { rows: 2, columns: 2 }, positionInterpolations.dino),
  ).toThrow("does not hold one row for each of 5x5 patches");
});

test("sine-cosine embeddings: both axis orders", () => {
  const columnFirst = sinCosPositions({ rows: 2, columns: 3 }, 8, "columnFirst");
  // Row 1, column 2; frequencies 1 and 1/100.
  const half = (c: number) => [Math.sin(c), Math.sin(c / 100), Math.cos(c), Math.cos(c / 100)];
  expect([...columnFirst.subarray(5 * 8)]).toEqual([...half(2), ...half(1)]);
  const rowFirst = sinCosPositions({ rows: 2, columns: 3 }, 8, "rowFirst");
  expect([...rowFirst.subarray(5 * 8)]).toEqual([...half(1), ...half(2)]);
  expect(() => sinCosPositions(square, 6, "rowFirst")).toThrow("a multiple of 4 features, got 6");
});
