/** @file Oracle table: reductions, reshaping, slicing, padding, products, fused functions, differentiation. */

import fc from "fast-check";
import {
  barrier,
  broadcastTo,
  concat,
  cumsum,
  expandDims,
  flip,
  gelu,
  geluAgain,
  layerNorm,
  logSoftmax,
  matmul,
  max,
  mean,
  min,
  mul,
  pad,
  reshape,
  slice,
  softmax,
  split,
  squeeze,
  stack,
  standardize,
  stopGradient,
  sum,
  sumTo,
  swapAxes,
  transpose,
  variance,
} from "#src/graph/index.js";
import { casesOf, noKernel, type OracleEntry } from "./operator-oracle.js";
import {
  broadcastable,
  dim,
  shapeAndAxes,
  shapeAndAxis,
  shapes,
  unaryExamples,
} from "./oracle-arbitraries.js";

const reductions: readonly OracleEntry[] = [
  {
    operator: "sum",
    torch: { sum: ([x]) => sum(x), "sum/axes": ([x]) => sum(x, [0, 2], { keepDims: true }) },
    differences: fc.tuple(shapeAndAxes(), fc.boolean()).map(([{ shape, axes }, keepDims]) => ({
      inputs: [{ shape }],
      build: ([x]) => sum(x, axes, { keepDims }),
    })),
  },
  {
    operator: "mean",
    torch: { mean: ([x]) => mean(x), "mean/axis": ([x]) => mean(x, [-2]) },
    differences: fc.tuple(shapeAndAxes(), fc.boolean()).map(([{ shape, axes }, keepDims]) => ({
      inputs: [{ shape }],
      build: ([x]) => mean(x, axes, { keepDims }),
    })),
  },
  {
    operator: "max",
    torch: { max: ([x]) => max(x), "max/ties": ([x]) => max(x, [0, 2]) },
    differences: shapeAndAxes().map(({ shape, axes }) => ({
      inputs: [{ shape }],
      build: ([x]) => max(x, axes),
    })),
  },
  {
    operator: "min",
    torch: { min: ([x]) => min(x, [1], { keepDims: true }), "min/ties": ([x]) => min(x, [1]) },
    differences: shapeAndAxes().map(({ shape, axes }) => ({
      inputs: [{ shape }],
      build: ([x]) => min(x, axes),
    })),
  },
  {
    operator: "variance",
    torch: {
      variance: ([x]) => variance(x, [0, 2]),
      "variance/biased": ([x]) => variance(x, [-1], { correction: 0, keepDims: true }),
    },
    differences: shapeAndAxes().map(({ shape, axes }) => ({
      inputs: [{ shape }],
      build: ([x]) => variance(x, axes, { correction: 0 }),
    })),
  },
  {
    operator: "cumsum",
    torch: {
      cumsum: ([x]) => cumsum(x, 1),
      "cumsum/reverse": ([x]) => cumsum(x, 0, { reverse: true }),
      "cumsum/exclusive": ([x]) => cumsum(x, -1, { exclusive: true }),
    },
    differences: fc
      .tuple(shapeAndAxis(), fc.boolean(), fc.boolean())
      .map(([{ shape, axis }, exclusive, reverse]) => ({
        inputs: [{ shape }],
        build: ([x]) => cumsum(x, axis, { exclusive, reverse }),
      })),
  },
];

const shaping: readonly OracleEntry[] = [
  {
    operator: "broadcastTo",
    torch: casesOf("broadcastTo", ([x]) => broadcastTo(x, [2, 3, 4])),
    differences: broadcastable(2).map(([a, b]) => {
      const rank = Math.max(a?.length ?? 0, b?.length ?? 0);
      const size = (shape: readonly number[] = [], i: number) => shape[i - rank + shape.length] ?? 1;
      const shape = Array.from({ length: rank }, (_, i) => Math.max(size(a, i), size(b, i)));
      return { inputs: [{ shape: a as number[] }], build: ([x]) => broadcastTo(x, shape) };
    }),
  },
  {
    operator: "sumTo",
    torch: casesOf("sumTo", ([x]) => sumTo(x, [3, 1])),
    differences: shapeAndAxes().map(({ shape, axes }) => ({
      inputs: [{ shape }],
      build: ([x]) =>
        sumTo(
          x,
          shape.map((size, i) => (axes.includes(i) ? 1 : size)),
        ),
    })),
  },
  {
    operator: "reshape",
    torch: casesOf("reshape", ([x]) => reshape(x, [4, -1])),
    differences: shapes().map((shape) => ({
      inputs: [{ shape }],
      build: ([x]) => reshape(reshape(mul(x, x), [...shape].reverse()), [-1]),
    })),
  },
  {
    operator: "transpose",
    torch: casesOf("transpose", ([x]) => transpose(x, [2, 0, 3, 1])),
    differences: shapes(1)
      .chain((shape) => {
        const axes = shape.map((_, i) => i);
        return fc.tuple(
          fc.constant(shape),
          fc.shuffledSubarray(axes, { minLength: axes.length, maxLength: axes.length }),
        );
      })
      .map(([shape, order]) => ({ inputs: [{ shape }], build: ([x]) => transpose(x, order) })),
  },
  {
    operator: "swapAxes",
    torch: casesOf("swapAxes", ([x]) => swapAxes(x, 0, -1)),
    differences: shapeAndAxis().map(({ shape, axis }) => ({
      inputs: [{ shape }],
      build: ([x]) => swapAxes(x, 0, axis),
    })),
  },
  {
    operator: "expandDims",
    torch: casesOf("expandDims", ([x]) => expandDims(x, 1)),
    differences: unaryExamples(([x]) => expandDims(expandDims(x, 0), -1)),
  },
  {
    operator: "squeeze",
    torch: casesOf("squeeze", ([x]) => squeeze(x, 1)),
    differences: shapes(0, 3).map((shape) => ({
      inputs: [{ shape: [...shape, 1] }],
      build: ([x]) => squeeze(x, -1),
    })),
  },
];

const parts: readonly OracleEntry[] = [
  {
    operator: "slice",
    torch: { slice: ([x]) => slice(x, 1, 1, -1), "slice/step": ([x]) => slice(x, -1, 1, 7, 3) },
    differences: fc
      .tuple(shapes(0, 2), shapes(0, 2), dim(0, 3), dim(1, 6), dim(0, 2), dim(1, 3))
      .map(([lead, rest, start, length, after, step]) => ({
        inputs: [{ shape: [...lead, start + length + after, ...rest] }],
        build: ([x]) => slice(x, lead.length, start, start + length, step),
      })),
  },
  {
    operator: "split",
    torch: casesOf("split", ([x]) => split(x, 1, [1, 3, 2])),
    differences: fc
      .tuple(shapes(0, 2), shapes(0, 1), fc.array(dim(1, 3), { minLength: 1, maxLength: 4 }), fc.boolean())
      .map(([lead, rest, sizes, isPartial]) => ({
        inputs: [{ shape: [...lead, sizes.reduce((a, b) => a + b), ...rest] }],
        // Part of the outputs unused: their cotangents are then missing.
        build: ([x]) => split(x, lead.length, sizes).slice(isPartial ? -1 : 0),
      })),
  },
  {
    operator: "concat",
    torch: casesOf("concat", (inputs) => concat(inputs.slice(0, 3), 1)),
    differences: fc.tuple(shapes(0, 2), dim(1, 3), dim(1, 3)).map(([shape, first, second]) => ({
      inputs: [{ shape: [...shape, first, 2] }, { shape: [...shape, second, 2] }],
      build: ([a, b]) => concat([a, b, a], -2),
    })),
  },
  {
    operator: "stack",
    torch: casesOf("stack", ([a, b]) => stack([a, b], -1)),
    differences: shapes(0, 3).map((shape) => ({
      inputs: [{ shape }, { shape }],
      build: ([a, b]) => stack([a, b]),
    })),
  },
  {
    operator: "flip",
    torch: casesOf("flip", ([x]) => flip(x, 1)),
    differences: shapeAndAxis().map(({ shape, axis }) => ({
      inputs: [{ shape }],
      build: ([x]) => flip(x, axis),
    })),
  },
  {
    operator: "pad",
    torch: {
      pad: ([x]) => pad(x, { axis: 1, before: 2, after: 1 }),
      "pad/reflect": ([x]) => pad(x, { axis: 2, before: 3, after: 2, mode: "reflect" }),
      "pad/edge": ([x]) => pad(x, { axis: 2, before: 3, after: 2, mode: "edge" }),
    },
    differences: fc
      .tuple(shapeAndAxis(), dim(0, 3), dim(0, 3), fc.constantFrom("zero", "reflect", "edge"))
      .map(([{ shape, axis, dim: size }, before, after, mode]) => ({
        inputs: [{ shape }],
        build: ([x]) => {
          const most = mode === "reflect" ? size - 1 : 3;
          return pad(x, { axis, before: Math.min(before, most), after: Math.min(after, most), mode });
        },
      })),
  },
];

const fused: readonly OracleEntry[] = [
  {
    operator: "matmul",
    torch: {
      matmul: ([a, b]) => matmul(a, b),
      "matmul/batch": ([a, b]) => matmul(a, b),
      "matmul/transposed": ([a, b]) => matmul(a, b, { transposeA: true, transposeB: true, scale: 0.5 }),
    },
    differences: fc
      .tuple(broadcastable(2), dim(1, 4), dim(1, 4), dim(1, 4), fc.boolean(), fc.boolean())
      .map(([[a, b], rows, inner, columns, transposeA, transposeB]) => ({
        inputs: [
          { shape: [...(a as number[]), ...(transposeA ? [inner, rows] : [rows, inner])] },
          { shape: [...(b as number[]), ...(transposeB ? [columns, inner] : [inner, columns])] },
        ],
        build: ([x, y]) => matmul(x, y, { transposeA, transposeB, scale: 0.5 }),
      })),
  },
  {
    operator: "softmax",
    torch: { softmax: ([x]) => softmax(x), "softmax/first": ([x]) => softmax(x, 0) },
    differences: shapeAndAxis().map(({ shape, axis }) => ({
      inputs: [{ shape }],
      build: ([x]) => softmax(x, axis),
    })),
  },
  {
    operator: "logSoftmax",
    torch: casesOf("logSoftmax", ([x]) => logSoftmax(x, 1)),
    differences: shapeAndAxis().map(({ shape, axis }) => ({
      inputs: [{ shape }],
      build: ([x]) => logSoftmax(x, axis),
    })),
  },
  {
    operator: "layerNorm",
    torch: casesOf("layerNorm", ([x, w, b]) => layerNorm(x, w, b, 1e-6)),
    differences: fc.tuple(shapes(0, 3), dim(2, 6)).map(([lead, width]) => ({
      inputs: [{ shape: [...lead, width] }, { shape: [width] }, { shape: [width] }],
      build: ([x, w, b]) => layerNorm(x, w, b, 1e-2),
    })),
  },
  {
    operator: "standardize",
    torch: casesOf("standardize", ([x]) => standardize(x, 1e-6).normal),
    differences: fc.tuple(shapes(0, 3), dim(2, 6)).map(([lead, width]) => ({
      inputs: [{ shape: [...lead, width] }],
      build: ([x]) => standardize(x, 1e-2).normal,
    })),
  },
  { operator: "gelu", torch: casesOf("gelu", ([x]) => gelu(x)), differences: noKernel("Gelu") },
  {
    operator: "geluAgain",
    torch: casesOf("gelu", ([x]) => geluAgain(x).value),
    differences: noKernel("Erf"),
  },
  {
    operator: "stopGradient",
    torch: casesOf("stopGradient", ([x]) => mul(x, stopGradient(x))),
    differences: "its gradient is not the derivative, by design",
  },
  {
    operator: "barrier",
    torch: casesOf("barrier", ([x]) => barrier(x, x)),
    differences: unaryExamples(([x]) => barrier(mul(x, x), x)),
  },
];

export const shapeEntries: readonly OracleEntry[] = [...reductions, ...shaping, ...parts, ...fused];
