/** @file Oracle table: element-wise arithmetic, comparisons and functions. */

import fc from "fast-check";
import {
  abs,
  add,
  cast,
  ceil,
  clamp,
  cos,
  div,
  equal,
  erf,
  exp,
  floor,
  greater,
  greaterEqual,
  less,
  lessEqual,
  log,
  logicalAnd,
  logicalNot,
  logicalOr,
  maximum,
  minimum,
  mul,
  neg,
  pow,
  reciprocal,
  relu,
  round,
  sigmoid,
  sign,
  sin,
  softplus,
  sqrt,
  square,
  sub,
  tanh,
  where,
} from "#src/graph/index.js";
import { type Build, casesOf, noKernel, type OracleEntry } from "./operator-oracle.js";
import { binaryExamples, broadcastable, unaryExamples } from "./oracle-arbitraries.js";

const notDifferentiable = "its values are not floating point";

const unary: readonly OracleEntry[] = (
  [
    ["neg", neg, {}],
    ["abs", abs, {}],
    ["sign", sign, {}],
    ["floor", floor, { low: -3, high: 3 }],
    ["ceil", ceil, { low: -3, high: 3 }],
    ["round", round, { low: -3, high: 3 }],
    ["exp", exp, {}],
    ["log", log, { low: 0.3, high: 4 }],
    ["sqrt", sqrt, { low: 0.3, high: 4 }],
    ["reciprocal", reciprocal, { low: 0.5, high: 3 }],
    ["sin", sin, { low: -4, high: 4 }],
    ["cos", cos, { low: -4, high: 4 }],
    ["tanh", tanh, { low: -2, high: 2 }],
    ["sigmoid", sigmoid, { low: -4, high: 4 }],
    ["relu", relu, {}],
    ["square", square, {}],
  ] as const
).map(([operator, apply, range]) => {
  const build: Build = ([x]) => apply(x);
  return { operator, torch: casesOf(operator, build), differences: unaryExamples(build, range) };
});

const binary: readonly OracleEntry[] = Object.entries({ add, sub, mul, div, maximum, minimum }).map(
  ([operator, apply]) => {
    const build: Build = ([a, b]) => apply(a, b);
    const divisor = operator === "div" ? { low: 0.5, high: 2 } : {};
    return { operator, torch: casesOf(operator, build), differences: binaryExamples(build, {}, divisor) };
  },
);

const comparisons: readonly OracleEntry[] = Object.entries({
  equal,
  less,
  lessEqual,
  greater,
  greaterEqual,
  logicalAnd,
  logicalOr,
}).map(([operator, apply]) => ({
  operator,
  torch: casesOf(operator, ([a, b]) => apply(a, b)),
  differences: notDifferentiable,
}));

const positive = { low: 0.5, high: 2 };

export const elementwiseEntries: readonly OracleEntry[] = [
  ...unary,
  ...binary,
  ...comparisons,
  {
    operator: "erf",
    torch: casesOf("erf", ([x]) => erf(x)),
    differences: noKernel("Erf"),
  },
  {
    operator: "softplus",
    torch: casesOf("softplus", ([x]) => softplus(x)),
    differences: noKernel("Softplus"),
  },
  {
    operator: "logicalNot",
    torch: casesOf("logicalNot", ([x]) => logicalNot(x)),
    differences: notDifferentiable,
  },
  {
    operator: "pow",
    torch: { pow: ([a, b]) => pow(a, b), "pow/square": ([x]) => pow(x, 2) },
    differences: binaryExamples(([a, b]) => pow(a, b), positive, { low: -2, high: 2 }),
  },
  {
    operator: "where",
    torch: casesOf("where", ([condition, yes, no]) => where(condition, yes, no)),
    differences: fc.tuple(broadcastable(3), fc.boolean()).map(([[condition, yes, no], isNumber]) => ({
      inputs: [
        { shape: condition as number[], dtype: "bool" },
        { shape: yes as number[] },
        { shape: no as number[] },
      ],
      build: ([c, a, b]) => where(c, a, isNumber ? 0.5 : b),
    })),
  },
  {
    operator: "clamp",
    torch: casesOf("clamp", ([x]) => clamp(x, -0.5, 1)),
    differences: unaryExamples(([x]) => clamp(x, -0.5, 0.25)),
  },
  {
    operator: "cast",
    torch: casesOf("cast", ([x]) => cast(x, "int64")),
    differences: unaryExamples(([x]) => cast(cast(x, "float64"), "float64")),
  },
];
