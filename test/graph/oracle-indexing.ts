/** @file Oracle table: gather, scatter, selection. */

import fc from "fast-check";
import {
  argmax,
  argmin,
  cast,
  gather,
  gatherElements,
  mul,
  oneHot,
  scatterAdd,
  scatterElements,
  scatterRows,
  sort,
  topK,
} from "#src/graph/index.js";
import { casesOf, type OracleEntry } from "./operator-oracle.js";
import { dim, shapeAndAxis, shapes } from "./oracle-arbitraries.js";

const notDifferentiable = "its values are indices or constants";

/** `shape` with another size along an axis. */
function resized(shape: readonly number[], axis: number, size: number): number[] {
  const place = axis < 0 ? axis + shape.length : axis;
  return shape.map((old, i) => (i === place ? size : old));
}

export const indexingEntries: readonly OracleEntry[] = [
  {
    operator: "gather",
    torch: {
      gather: ([x, i]) => gather(x, 1, i),
      "gather/first": ([x, i]) => gather(x, 0, cast(i, "int32")),
      "gather/last": ([x, i]) => gather(x, -1, i),
      "gather/number": ([x, i]) => gather(x, 1, i),
    },
    differences: fc.tuple(shapeAndAxis(), shapes(0, 2)).map(([{ shape, axis, dim: size }, places]) => ({
      inputs: [{ shape }, { shape: places, dtype: "int64", low: 0, high: size }],
      build: ([x, i]) => gather(x, axis, i),
    })),
  },
  {
    operator: "gatherElements",
    torch: {
      gatherElements: ([x, i]) => gatherElements(x, 1, i),
      "gatherElements/first": ([x, i]) => gatherElements(x, 0, i),
    },
    differences: fc.tuple(shapeAndAxis(), dim(1, 5)).map(([{ shape, axis, dim: size }, count]) => ({
      inputs: [{ shape }, { shape: resized(shape, axis, count), dtype: "int64", low: 0, high: size }],
      build: ([x, i]) => gatherElements(x, axis, i),
    })),
  },
  {
    operator: "scatterElements",
    torch: casesOf("scatterElements", ([x, i, u]) => scatterElements(x, 1, i, u)),
    // One update per line, so that no place is written twice.
    differences: shapeAndAxis().map(({ shape, axis, dim: size }) => {
      const one = resized(shape, axis, 1);
      return {
        inputs: [{ shape }, { shape: one, dtype: "int64", low: 0, high: size }, { shape: one }],
        build: ([x, i, u]) => scatterElements(x, axis, i, u),
      };
    }),
  },
  {
    operator: "scatterAdd",
    torch: casesOf("scatterAdd", ([x, i, u]) => scatterAdd(x, 2, i, u)),
    differences: fc.tuple(shapeAndAxis(), dim(1, 5)).map(([{ shape, axis, dim: size }, count]) => {
      const updates = resized(shape, axis, count);
      return {
        inputs: [{ shape }, { shape: updates, dtype: "int64", low: 0, high: size }, { shape: updates }],
        build: ([x, i, u]) => scatterAdd(x, axis, i, u),
      };
    }),
  },
  {
    operator: "scatterRows",
    torch: casesOf("scatterRows", ([i, u]) => scatterRows(i, u, 5)),
    differences: fc.tuple(dim(1, 5), dim(1, 4), dim(1, 5)).map(([count, width, rows]) => ({
      inputs: [{ shape: [count], dtype: "int64", low: 0, high: rows }, { shape: [count, width] }],
      build: ([i, u]) => scatterRows(i, mul(u, u), rows),
    })),
  },
  {
    operator: "topK",
    torch: {
      topK: ([x]) => pairOf(topK(x, 3)),
      "topK/smallest": ([x]) => pairOf(topK(x, 2, { axis: 1, largest: false })),
    },
    differences: fc.tuple(shapeAndAxis(), fc.boolean()).map(([{ shape, axis, dim: size }, largest]) => ({
      inputs: [{ shape }],
      build: ([x]) => topK(x, Math.ceil(size / 2), { axis, largest }).values,
    })),
  },
  {
    operator: "sort",
    torch: {
      sort: ([x]) => pairOf(sort(x, { axis: 0 })),
      "sort/descending": ([x]) => pairOf(sort(x, { descending: true })),
    },
    differences: shapeAndAxis().map(({ shape, axis }) => ({
      inputs: [{ shape }],
      build: ([x]) => sort(x, { axis }).values,
    })),
  },
  {
    operator: "argmax",
    torch: { argmax: ([x]) => argmax(x, 1), "argmax/ties": ([x]) => argmax(x, -1, { keepDims: true }) },
    differences: notDifferentiable,
  },
  { operator: "argmin", torch: casesOf("argmin", ([x]) => argmin(x, 0)), differences: notDifferentiable },
  { operator: "oneHot", torch: casesOf("oneHot", ([i]) => oneHot(i, 5)), differences: notDifferentiable },
];

function pairOf({ values, indices }: ReturnType<typeof topK>) {
  return [values, indices];
}
