/** @file Random shapes and examples for the oracle tables. */

import fc from "fast-check";
import type { Build, Example, InputSpec } from "./operator-oracle.js";

export function dim(low: number, high: number): fc.Arbitrary<number> {
  return fc.integer({ min: low, max: high });
}

/** A shape of `minRank` to `maxRank` dimensions of 1 to 4. */
export function shapes(minRank = 0, maxRank = 4): fc.Arbitrary<number[]> {
  return fc.array(dim(1, 4), { minLength: minRank, maxLength: maxRank });
}

/** A shape and one of its axes, counted from either end. */
export function shapeAndAxis(minRank = 1): fc.Arbitrary<{ shape: number[]; axis: number; dim: number }> {
  return shapes(minRank).chain((shape) =>
    dim(-shape.length, shape.length - 1).map((axis) => ({ shape, axis, dim: shape.at(axis) as number })),
  );
}

/** A shape and some of its axes. */
export function shapeAndAxes(): fc.Arbitrary<{ shape: number[]; axes: number[] }> {
  return shapes(1).chain((shape) => {
    const all = shape.map((_, i) => i);
    return fc.record({ shape: fc.constant(shape), axes: fc.subarray(all, { minLength: 1 }) });
  });
}

/** Shapes that broadcast to `shape`: dimensions become 1, leading ones are dropped. */
function narrowed(shape: readonly number[]): fc.Arbitrary<number[]> {
  return fc
    .tuple(dim(0, shape.length), fc.array(fc.boolean(), { minLength: shape.length, maxLength: shape.length }))
    .map(([drop, ones]) => shape.map((size, i) => (ones[i] ? 1 : size)).slice(drop));
}

/** `count` shapes that broadcast with each other. */
export function broadcastable(count: number): fc.Arbitrary<number[][]> {
  return shapes().chain((shape) => fc.tuple(...Array.from({ length: count }, () => narrowed(shape))));
}

/** Examples of a function of one tensor. */
export function unaryExamples(build: Build, spec: Omit<InputSpec, "shape"> = {}): fc.Arbitrary<Example> {
  return shapes().map((shape) => ({ inputs: [{ shape, ...spec }], build }));
}

/** Examples of a function of two tensors that broadcast. */
export function binaryExamples(
  build: Build,
  first: Omit<InputSpec, "shape"> = {},
  second = first,
): fc.Arbitrary<Example> {
  return broadcastable(2).map(([a, b]) => ({
    inputs: [
      { shape: a as number[], ...first },
      { shape: b as number[], ...second },
    ],
    build,
  }));
}
