/** @file Reshape and transpose: the same elements under other indices. */

import { GraphError, showShape } from "../errors.js";
import { normalizeAxis, type Shape, sameShape, sizeOf } from "../shape.js";
import { applyOne, at, type Operator, type Tensor } from "../tensor.js";

const reshapeOperator: Operator<{ readonly shape: Shape }> = {
  name: "reshape",
  infer: (inputs, { shape }) => {
    const x = at(inputs, 0);
    if (sizeOf(shape) !== x.size) {
      throw new GraphError(
        `reshape: ${x} has ${x.size} elements, the shape ${showShape(shape)} asks for ${sizeOf(shape)}`,
      );
    }
    return { dtype: x.dtype, shape };
  },
  lower: (emit, [x], { attributes }) => emit.node("Reshape", [x as string, emit.shape(attributes.shape)]),
  vjp: ({ inputs }, [g]) => [g && reshape(g, at(inputs, 0).shape)],
};

/**
 * The same elements in row-major order under another shape.
 * @param shape One dimension may be -1: it takes what is left.
 */
export function reshape(x: Tensor, shape: Shape): Tensor {
  const known = shape.reduce((product, dim) => (dim === -1 ? product : product * dim), 1);
  const full = shape.map((dim) => (dim === -1 ? x.size / known : dim));
  if (shape.filter((dim) => dim === -1).length > 1 || full.some((dim) => !Number.isInteger(dim))) {
    throw new GraphError(`reshape: ${x} does not fit the shape ${showShape(shape)}`);
  }
  if (sameShape(x.shape, full)) return x;
  // A chain of reshapes is one reshape.
  const source = x.producer.operator === "reshape" ? at(x.producer.inputs, 0) : x;
  return sameShape(source.shape, full) ? source : applyOne(reshapeOperator, [source], { shape: full });
}

const transposeOperator: Operator<{ readonly permutation: readonly number[] }> = {
  name: "transpose",
  infer: (inputs, { permutation }) => {
    const x = at(inputs, 0);
    return { dtype: x.dtype, shape: permutation.map((axis) => at(x.shape, axis)) };
  },
  lower: (emit, inputs, { attributes }) =>
    emit.node("Transpose", inputs, { perm: { ints: attributes.permutation } }),
  vjp: ({ attributes: { permutation } }, [g]) => {
    const inverse = permutation.map((_, i) => permutation.indexOf(i));
    return [g && transpose(g, inverse)];
  },
};

/** Dimensions in another order: `result.shape[i] = x.shape[permutation[i]]`. */
export function transpose(x: Tensor, permutation: readonly number[]): Tensor {
  const axes = permutation.map((axis) => normalizeAxis("transpose", axis, x.rank));
  if (axes.length !== x.rank || new Set(axes).size !== x.rank) {
    throw new GraphError(`transpose: [${permutation.join(", ")}] does not order the dimensions of ${x}`);
  }
  return axes.every((axis, i) => axis === i) ? x : applyOne(transposeOperator, [x], { permutation: axes });
}

/** `x` with two dimensions exchanged. */
export function swapAxes(x: Tensor, first: number, second: number): Tensor {
  const [i, j] = [normalizeAxis("swapAxes", first, x.rank), normalizeAxis("swapAxes", second, x.rank)];
  return transpose(
    x,
    x.shape.map((_, axis) => (axis === i ? j : axis === j ? i : axis)),
  );
}

/** `x` with a dimension of size 1 inserted before `axis` (-1: at the end). */
export function expandDims(x: Tensor, axis: number): Tensor {
  const place = normalizeAxis("expandDims", axis, x.rank + 1);
  return reshape(x, [...x.shape.slice(0, place), 1, ...x.shape.slice(place)]);
}

/** `x` without the dimension `axis`, which must be 1. */
export function squeeze(x: Tensor, axis: number): Tensor {
  const place = normalizeAxis("squeeze", axis, x.rank);
  if (x.shape[place] !== 1) throw new GraphError(`squeeze: dimension ${axis} of ${x} is not 1`);
  return reshape(
    x,
    x.shape.filter((_, i) => i !== place),
  );
}
