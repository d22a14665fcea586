/** @file Order and choice along an axis: the largest elements, sorting, positions of extrema, one-hot codes. */

import type { DType } from "../dtype.js";
import { GraphError } from "../errors.js";
import { normalizeAxis } from "../shape.js";
import { apply, applyOne, at, type Operator, type Tensor } from "../tensor.js";
import { cast, equal } from "./elementwise.js";
import { scatterElements } from "./gather.js";
import { broadcastTo, type ReduceOptions } from "./reduce.js";
import { expandDims } from "./reshape.js";
import { constant, scalar } from "./source.js";

interface TopKAttributes {
  readonly k: number;
  readonly axis: number;
  readonly largest: boolean;
}

const topKOperator: Operator<TopKAttributes> = {
  name: "topK",
  infer: (inputs, { k, axis }) => {
    const x = at(inputs, 0);
    const dim = at(x.shape, axis);
    if (!Number.isInteger(k) || k < 1 || k > dim) {
      throw new GraphError(
        `topK: k = ${k} is not between 1 and the ${dim} elements of dimension ${axis} of ${x}`,
      );
    }
    const shape = x.shape.map((size, i) => (i === axis ? k : size));
    return [
      { dtype: x.dtype, shape },
      { dtype: "int64", shape },
    ];
  },
  lower: (emit, [x], { attributes: { k, axis, largest } }) =>
    emit.nodes(
      "TopK",
      [x as string, emit.ints([k])],
      { axis: { int: axis }, largest: { int: largest ? 1 : 0 }, sorted: { int: 1 } },
      { outputs: 2 },
    ),
  vjp: ({ inputs, outputs, attributes: { axis } }, [g]) => {
    if (!g) return [];
    const zeros = broadcastTo(scalar(0, g.dtype), at(inputs, 0).shape);
    return [scatterElements(zeros, axis, at(outputs, 1), g)];
  },
};

/** Elements in order, and where they stood. */
export interface Selection {
  readonly values: Tensor;
  /** int64, positions along the axis. */
  readonly indices: Tensor;
}

/**
 * The `k` largest (or smallest) elements along `axis`, the most extreme first; among equals the first comes first.
 * Gradients flow to the values.
 */
export function topK(
  x: Tensor,
  k: number,
  { axis = -1, largest = true }: { readonly axis?: number; readonly largest?: boolean } = {},
): Selection {
  const outputs = apply(topKOperator, [x], { k, axis: normalizeAxis("topK", axis, x.rank), largest });
  return { values: at(outputs, 0), indices: at(outputs, 1) };
}

/** All elements in order along `axis`; equal ones keep theirs. */
export function sort(
  x: Tensor,
  { axis = -1, descending = false }: { readonly axis?: number; readonly descending?: boolean } = {},
): Selection {
  const place = normalizeAxis("sort", axis, x.rank);
  return topK(x, at(x.shape, place), { axis: place, largest: descending });
}

function position(name: string, type: string) {
  const operator: Operator<{ readonly axis: number; readonly keepDims: boolean }> = {
    name,
    infer: (inputs, { axis, keepDims }) => {
      const { shape } = at(inputs, 0);
      const kept = keepDims ? [1] : [];
      return { dtype: "int64", shape: [...shape.slice(0, axis), ...kept, ...shape.slice(axis + 1)] };
    },
    lower: (emit, inputs, { attributes: { axis, keepDims } }) =>
      emit.node(type, inputs, { axis: { int: axis }, keepdims: { int: keepDims ? 1 : 0 } }),
    vjp: "zero",
  };
  return (x: Tensor, axis = -1, { keepDims = false }: ReduceOptions = {}): Tensor =>
    applyOne(operator, [x], { axis: normalizeAxis(name, axis, x.rank), keepDims });
}

/** The position of the largest element along `axis` (int64); the first of several. */
export const argmax = position("argmax", "ArgMax");
/** The position of the smallest element along `axis` (int64); the first of several. */
export const argmin = position("argmin", "ArgMin");

/**
 * 1 at the index, 0 elsewhere, along a new last dimension of size `depth`; all 0 for an index outside [0, depth).
 * @param indices int64 or int32.
 */
export function oneHot(indices: Tensor, depth: number, dtype: DType = "float32"): Tensor {
  if (indices.dtype !== "int64" && indices.dtype !== "int32") {
    throw new GraphError(`oneHot: indices must be int64 or int32, got ${indices}; cast them`);
  }
  const classes = constant(
    Array.from({ length: depth }, (_, i) => i),
    [depth],
    indices.dtype,
  );
  return cast(equal(expandDims(indices, -1), classes), dtype);
}
