/** @file Conformance cases: products, reductions, reshaping, slicing, differentiation. */

import type { Tensor } from "../../graph/index.js";
import { type ConformanceCase, positive, wave } from "./case.js";

/** Both operands, transposed or not, plain and batched. */
const products = [false, true].flatMap((transposeA) =>
  [false, true].flatMap((transposeB) =>
    [[], [2, 3]].map((batch): ConformanceCase => {
      const turned = `${transposeA ? "Aᵀ" : "A"} ${transposeB ? "Bᵀ" : "B"}`;
      return {
        name: `matmul, ${batch.length > 0 ? "batched " : ""}${turned}`,
        inputs: {
          a: wave([...batch, ...(transposeA ? [5, 4] : [4, 5])]),
          b: wave([...batch, ...(transposeB ? [6, 5] : [5, 6])], { phase: 1 }),
        },
        trace: (g, [a, b]) => g.matmul(a as Tensor, b as Tensor, { transposeA, transposeB, scale: 0.5 }),
      };
    }),
  ),
);

const reductions = (["sum", "mean", "max", "min", "variance"] as const).flatMap((name): ConformanceCase[] => [
  { name, inputs: { x: wave([3, 4, 5]) }, trace: (g, [x]) => g[name](x as Tensor) },
  {
    name: `${name} over axes`,
    inputs: { x: wave([3, 4, 5]) },
    trace: (g, [x]) => [g[name](x as Tensor, [0, -1]), g[name](x as Tensor, [1], { keepDims: true })],
  },
]);

const x = { x: wave([3, 4, 5]) };

const shaping: readonly ConformanceCase[] = [
  {
    name: "broadcastTo",
    inputs: { x: wave([3, 1]) },
    trace: (g, [a]) => g.broadcastTo(a as Tensor, [2, 3, 4]),
  },
  { name: "sumTo", inputs: x, trace: (g, [a]) => g.sumTo(a as Tensor, [4, 1]) },
  { name: "reshape", inputs: x, trace: (g, [a]) => g.exp(g.reshape(a as Tensor, [5, -1])) },
  { name: "transpose", inputs: x, trace: (g, [a]) => g.transpose(a as Tensor, [2, 0, 1]) },
  {
    name: "transpose of rank 5",
    inputs: { x: wave([2, 3, 3, 2, 4]) },
    trace: (g, [a]) => g.transpose(a as Tensor, [2, 0, 3, 1, 4]),
  },
  { name: "swapAxes", inputs: x, trace: (g, [a]) => g.swapAxes(a as Tensor, 0, 2) },
  { name: "expandDims", inputs: x, trace: (g, [a]) => g.exp(g.expandDims(a as Tensor, 1)) },
  { name: "squeeze", inputs: { x: wave([3, 1, 5]) }, trace: (g, [a]) => g.exp(g.squeeze(a as Tensor, 1)) },
  { name: "slice", inputs: x, trace: (g, [a]) => g.slice(a as Tensor, 2, 1, 4) },
  { name: "slice with a step", inputs: x, trace: (g, [a]) => g.slice(a as Tensor, 2, 0, 5, 2) },
  {
    name: "split",
    inputs: x,
    // The middle part has no cotangent of its own.
    trace: (g, [a]) => {
      const [first, , last] = g.split(a as Tensor, 2, [1, 2, 2]);
      return [g.exp(first as Tensor), last as Tensor];
    },
  },
  {
    name: "concat",
    inputs: { a: wave([2, 3]), b: wave([2, 1], { phase: 1 }), c: wave([2, 2], { phase: 2 }) },
    trace: (g, parts) => g.concat(parts, 1),
  },
  {
    name: "stack",
    inputs: { a: wave([2, 3]), b: wave([2, 3], { phase: 1 }) },
    trace: (g, parts) => g.stack(parts, 1),
  },
  { name: "pad", inputs: x, trace: (g, [a]) => g.pad(a as Tensor, { axis: 1, before: 2, after: 1 }) },
  { name: "flip", inputs: x, trace: (g, [a]) => g.flip(a as Tensor, -1) },
  { name: "constant", inputs: x, trace: (g, [a]) => g.mul(a as Tensor, g.constant([1, 2, 3, 4, 5], [5])) },
  { name: "scalar", inputs: x, trace: (g, [a]) => g.mul(a as Tensor, g.scalar(2.5)) },
];

const differentiation: readonly ConformanceCase[] = [
  {
    name: "stopGradient",
    inputs: x,
    trace: (g, [a]) => g.mul(a as Tensor, g.stopGradient(g.exp(a as Tensor))),
  },
  {
    name: "checkpoint",
    inputs: { x: wave([4, 4]), w: wave([4, 4], { phase: 1 }) },
    trace: (g, [a, w]) =>
      g.checkpoint(
        (h) => g.tanh(g.matmul(g.tanh(g.matmul(h as Tensor, w as Tensor)), w as Tensor)),
        a as Tensor,
      ),
  },
  {
    name: "gradient of a gradient",
    inputs: { x: positive([3]) },
    trace: (g, [a]) => {
      const [first] = g.grad(g.sum(g.mul(g.exp(a as Tensor), g.square(a as Tensor))), [a as Tensor]);
      return first as Tensor;
    },
  },
];

export const tensorCases: readonly ConformanceCase[] = [
  ...products,
  ...reductions,
  ...shaping,
  ...differentiation,
];
