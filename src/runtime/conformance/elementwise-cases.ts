/** @file Conformance cases: element-wise operators, comparisons, casts, activations. */

import type { Tensor } from "../../graph/index.js";
import { bool, type ConformanceCase, int64, type Operators, positive, wave } from "./case.js";

type Unary =
  | (
      | "neg"
      | "abs"
      | "sign"
      | "floor"
      | "ceil"
      | "round"
      | "exp"
      | "log"
      | "sqrt"
      | "reciprocal"
      | "sin"
      | "cos"
    )
  | ("tanh" | "sigmoid" | "relu" | "softplus" | "erf" | "gelu" | "square");

const unaryNames: readonly Unary[] = [
  ...([
    "neg",
    "abs",
    "sign",
    "floor",
    "ceil",
    "round",
    "exp",
    "log",
    "sqrt",
    "reciprocal",
    "sin",
    "cos",
  ] as const),
  ...(["tanh", "sigmoid", "relu", "softplus", "erf", "gelu", "square"] as const),
];

const ofPositive: readonly Unary[] = ["log", "sqrt"];

/** WGSL promises sin and cos to 2⁻¹¹ in [-π, π], and pow as exp2(y log2(x)). */
const inexact = { tolerance: 1e-3 };

const exactness = (name: string) => (["sin", "cos", "pow"].includes(name) ? inexact : {});

const unary = unaryNames.map((name): ConformanceCase => {
  const x = ofPositive.includes(name) ? positive([3, 7]) : wave([3, 7], { scale: 2.4 });
  return { name, inputs: { x }, trace: (g, [a]) => g[name](a as Tensor), ...exactness(name) };
});

const binaryNames = ["add", "sub", "mul", "div", "maximum", "minimum", "pow"] as const;

/** Each with operands of one shape, and with both operands broadcast. */
const binary = binaryNames.flatMap((name): ConformanceCase[] => {
  const make =
    name === "pow" || name === "div" ? positive : (shape: number[], phase = 0) => wave(shape, { phase });
  const trace = (g: Operators, [a, b]: readonly Tensor[]) => g[name](a as Tensor, b as Tensor);
  return [
    { name, inputs: { a: make([3, 5]), b: make([3, 5], 0.9) }, trace, ...exactness(name) },
    {
      name: `${name}, broadcast`,
      inputs: { a: make([2, 1, 5]), b: make([3, 1], 0.9) },
      trace,
      ...exactness(name),
    },
  ];
});

const comparisons = (["equal", "less", "lessEqual", "greater", "greaterEqual"] as const).flatMap(
  (name): ConformanceCase[] => [
    {
      name,
      inputs: { x: wave([2, 3]) },
      trace: (g, [x]) => [
        g[name](x as Tensor, 0.5),
        g.cast(g[name](x as Tensor, g.flip(x as Tensor, 1)), "float32"),
      ],
      differentiate: false,
    },
    {
      name: `${name}, int64`,
      inputs: { a: int64([6], [1, 2, 3, 4, 5, 6]), b: int64([6], [3, 2, 1, 4, 6, 5]) },
      trace: (g, [a, b]) => g[name](a as Tensor, b as Tensor),
    },
  ],
);

const flags = { p: bool([4], [0, 0, 1, 1]), q: bool([4], [0, 1, 0, 1]) };

export const elementwiseCases: readonly ConformanceCase[] = [
  ...unary,
  ...binary,
  {
    name: "pow, rows of four",
    inputs: { a: positive([2, 3, 1]), b: wave([4], { phase: 0.9 }) },
    trace: (g, [a, b]) => g.pow(a as Tensor, b as Tensor),
    ...inexact,
  },
  ...comparisons,
  { name: "logicalAnd", inputs: flags, trace: (g, [p, q]) => g.logicalAnd(p as Tensor, q as Tensor) },
  { name: "logicalOr", inputs: flags, trace: (g, [p, q]) => g.logicalOr(p as Tensor, q as Tensor) },
  { name: "logicalNot", inputs: { p: flags.p }, trace: (g, [p]) => g.logicalNot(p as Tensor) },
  {
    name: "where",
    inputs: { condition: bool([2, 1], [1, 0]), yes: wave([2, 3]), no: wave([3], { phase: 2 }) },
    trace: (g, [condition, yes, no]) => g.where(condition as Tensor, yes as Tensor, no as Tensor),
  },
  { name: "clamp", inputs: { x: wave([4, 5]) }, trace: (g, [x]) => g.clamp(x as Tensor, -0.7, 0.5) },
  {
    name: "cast",
    inputs: { x: wave([8], { scale: 5 }), i: int64([3], [-2, 0, 7]) },
    trace: (g, [x, i]) => [
      g.cast(x as Tensor, "int64"),
      g.cast(x as Tensor, "int32"),
      g.cast(g.cast(x as Tensor, "int32"), "float32"),
      g.cast(i as Tensor, "float32"),
      g.cast(i as Tensor, "bool"),
    ],
    differentiate: false,
  },
  {
    name: "int64 arithmetic",
    inputs: { a: int64([4], [5, -7, 2 ** 33, 3]), b: int64([4], [2, 3, 4, -1]) },
    trace: (g, [a, b]) => [
      g.add(a as Tensor, b as Tensor),
      g.mul(a as Tensor, b as Tensor),
      g.sub(a as Tensor, b as Tensor),
    ],
  },
  {
    name: "softmax",
    inputs: { x: wave([3, 4, 5], { scale: 4 }) },
    trace: (g, [x]) => g.softmax(x as Tensor),
  },
  { name: "softmax, first axis", inputs: { x: wave([3, 4]) }, trace: (g, [x]) => g.softmax(x as Tensor, 0) },
  {
    name: "logSoftmax",
    inputs: { x: wave([3, 5], { scale: 4 }) },
    trace: (g, [x]) => g.logSoftmax(x as Tensor),
  },
  {
    name: "geluAgain",
    inputs: { x: wave([3, 5], { scale: 3 }), cotangent: wave([3, 5], { phase: 1 }) },
    trace: (g, [x, cotangent]) => {
      const { value, pullBack } = g.geluAgain(x as Tensor);
      return g.concat([value, pullBack(cotangent as Tensor)], 0);
    },
  },
  {
    name: "layerNorm",
    inputs: { x: wave([2, 3, 8]), weight: positive([8]), bias: wave([8], { phase: 1 }) },
    trace: (g, [x, weight, bias]) => g.layerNorm(x as Tensor, weight as Tensor, bias as Tensor, 1e-6),
  },
  {
    name: "standardize",
    inputs: { x: wave([2, 3, 8]) },
    trace: (g, [x]) => g.standardize(x as Tensor, 1e-6).normal,
  },
];
