/** @file Position embeddings: interpolation against PyTorch, sine-cosine against the published formula. */

import { expect, test } from "vitest";
import { input, reshape, slice, type Tensor } from "#src/graph/index.js";
import { interpolatePositions, positionInterpolations, sinCosPositions } from "#src/nn/index.js";
import { StoredModel } from "../models/helpers.js";
import { evaluate, expectClose } from "./helpers.js";

interface Case {
  readonly name: string;
  readonly kind: "dino" | "size" | "antialias";
  readonly side: number;
  readonly rows: number;
  readonly columns: number;
  /** Leading rows that are no patches. */
  readonly prefix: number;
}

/** The published models by how they resize. */
const models = {
  dino: ["dino"],
  size: ["transformers"],
  antialias: ["timm", "dinov2Registers"],
} as const;

test("interpolation is that of the published models, growing, shrinking and neither", async () => {
  const stored = await StoredModel.open("position_embedding");
  for (const { name, kind, side, rows, columns, prefix } of stored.config.cases as readonly Case[]) {
    const table = stored.get(`${name}.input`);
    const output = stored.stored(`${name}.output`);
    const features = table.shape[2] as number;
    for (const model of models[kind]) {
      const { resized } = await evaluate({ table }, (t) => {
        const patches = reshape(slice(t.table as Tensor, 1, prefix), [side * side, features]);
        const from = { rows: side, columns: side };
        return {
          resized: interpolatePositions(patches, from, { rows, columns }, positionInterpolations[model]),
        };
      });
      const expected = { shape: [rows * columns, features], data: output.data.slice(prefix * features) };
      expectClose(resized, expected, 1e-5, `${name} as ${model}`);
    }
  }
});

const square = { rows: 5, columns: 5 };

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
