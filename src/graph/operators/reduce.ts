/** @file Reductions and their transpose, broadcasting. */

import { type DType, type HostArray, hostArray } from "../dtype.js";
import { GraphError, showShape } from "../errors.js";
import { broadcastShapes, normalizeAxes, type Shape, sameShape, sizeOf } from "../shape.js";
import {
  applyOne,
  at,
  type NodeView,
  type Operator,
  requireFloat,
  type Tensor,
  type Vjp,
} from "../tensor.js";
import { cast, div, equal, mul, square, sub } from "./elementwise.js";
import { reshape } from "./reshape.js";

interface ReduceAttributes {
  /** Counted from the front, ascending. */
  readonly axes: readonly number[];
  readonly keepDims: boolean;
}

export interface ReduceOptions {
  /** Keep reduced dimensions as 1. */
  readonly keepDims?: boolean;
}

function reducedShape(shape: Shape, axes: readonly number[], keepDims: boolean): number[] {
  return shape.flatMap((dim, i) => (axes.includes(i) ? (keepDims ? [1] : []) : [dim]));
}

/** The shape of `x` after a reduction with the reduced dimensions kept, whatever the reduction kept itself. */
function keptShape({ inputs, attributes }: NodeView<ReduceAttributes>): Shape {
  return reducedShape(at(inputs, 0).shape, attributes.axes, true);
}

type Lower = Operator<ReduceAttributes>["lower"];

function lowerAs(type: string): Lower {
  return (emit, inputs, { attributes }) =>
    emit.node(type, [...inputs, emit.ints(attributes.axes)], {
      keepdims: { int: attributes.keepDims ? 1 : 0 },
    });
}

function reduction(name: string, vjp: Vjp<ReduceAttributes>, lower: Lower) {
  const operator: Operator<ReduceAttributes> = {
    name,
    infer: (inputs, { axes, keepDims }) => {
      const x = at(inputs, 0);
      return { dtype: x.dtype, shape: reducedShape(x.shape, axes, keepDims) };
    },
    lower,
    vjp,
  };
  return (x: Tensor, axes?: readonly number[], { keepDims = false }: ReduceOptions = {}): Tensor => {
    const normal = normalizeAxes(name, axes, x.rank);
    if (normal.length === 0) return x;
    return applyOne(operator, [x], { axes: normal, keepDims });
  };
}

/** Below so many rows a sum over them is no product: short sums stay exact where they are exact. */
const ROWS_OF_PRODUCT = 128;

/**
 * The sum of a matrix's rows (a bias's gradient) as a product with ones: half the time of the CPU's ReduceSum, which
 * keeps to one thread there.
 */
const lowerSum: Lower = (emit, names, node) => {
  const { dtype, shape, rank } = at(node.inputs, 0);
  const { axes, keepDims } = node.attributes;
  const rows = shape[0] ?? 0;
  const isColumnSum = rank === 2 && axes.length === 1 && axes[0] === 0 && rows >= ROWS_OF_PRODUCT;
  const hasKernel = emit.target.provider === "cpu" && (dtype === "float32" || dtype === "float64");
  if (!isColumnSum || !hasKernel) {
    return lowerAs("ReduceSum")(emit, names, node);
  }
  const ones = emit.constant(dtype, [1, rows], onesOf(dtype, rows));
  const product = emit.node("MatMul", [ones, at(names, 0)]);
  return keepDims ? product : emit.node("Reshape", [product, emit.shape(at(node.outputs, 0).shape)]);
};

/** One array for each length, so that a model holds it once. */
const ones = new Map<string, HostArray>();

function onesOf(dtype: DType, length: number): HostArray {
  const key = `${dtype} ${length}`;
  const known =
    ones.get(key) ??
    hostArray(
      dtype,
      Array.from({ length }, () => 1),
    );
  ones.set(key, known);
  return known;
}

/** Sum over `axes` (all when omitted). */
export const sum = reduction(
  "sum",
  (node, [g]) => {
    if (!g) return [];
    return [broadcastTo(reshape(g, keptShape(node)), at(node.inputs, 0).shape)];
  },
  lowerSum,
);

/** Mean over `axes` (all when omitted). */
export const mean = reduction(
  "mean",
  (node, [g]) => {
    if (!g) return [];
    const x = at(node.inputs, 0);
    const count = x.size / at(node.outputs, 0).size;
    return [broadcastTo(reshape(mul(g, 1 / count), keptShape(node)), x.shape)];
  },
  lowerAs("ReduceMean"),
);

/** An extremum's gradient goes to its places, shared equally among ties (as PyTorch's amax and amin do). */
const extremumVjp: Vjp<ReduceAttributes> = (node, [g]) => {
  if (!g) return [];
  const x = at(node.inputs, 0);
  const kept = keptShape(node);
  const isThere = cast(equal(x, reshape(at(node.outputs, 0), kept)), x.dtype);
  const ties = sum(isThere, node.attributes.axes, { keepDims: true });
  return [mul(isThere, div(reshape(g, kept), ties))];
};

/** Maximum over `axes` (all when omitted). */
export const max = reduction("max", extremumVjp, lowerAs("ReduceMax"));
/** Minimum over `axes` (all when omitted). */
export const min = reduction("min", extremumVjp, lowerAs("ReduceMin"));

/**
 * Variance over `axes`.
 * @param correction Subtracted from the count in the divisor: 1 (unbiased, PyTorch's default) or 0.
 */
export function variance(
  x: Tensor,
  axes?: readonly number[],
  { keepDims = false, correction = 1 }: ReduceOptions & { readonly correction?: number } = {},
): Tensor {
  requireFloat("variance", x);
  const normal = normalizeAxes("variance", axes, x.rank);
  const count = normal.reduce((product, axis) => product * at(x.shape, axis), 1);
  if (count <= correction) {
    throw new GraphError(`variance: ${count} values with correction ${correction} have no variance (${x})`);
  }
  const centred = sub(x, mean(x, normal, { keepDims: true }));
  return mul(sum(square(centred), normal, { keepDims }), 1 / (count - correction));
}

const broadcastOperator: Operator<{ readonly shape: Shape }> = {
  name: "broadcastTo",
  infer: (inputs, { shape }) => {
    const x = at(inputs, 0);
    if (!sameShape(broadcastShapes("broadcastTo", x.shape, shape), shape)) {
      throw new GraphError(`broadcastTo: ${x} does not broadcast to ${showShape(shape)}`);
    }
    return { dtype: x.dtype, shape };
  },
  lower: (emit, [x], { attributes }) => emit.node("Expand", [x as string, emit.shape(attributes.shape)]),
  vjp: (_, [g]) => [g], // the walk sums it back to the input's shape
};

/** `x` repeated along dimensions of size 1 (and new leading ones) to `shape`. */
export function broadcastTo(x: Tensor, shape: Shape): Tensor {
  return sameShape(x.shape, shape) ? x : applyOne(broadcastOperator, [x], { shape });
}

/** The transpose of broadcasting: sums `x` to `shape`. */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  const lead = x.rank - shape.length;
  const axes = x.shape.flatMap((dim, i) => (i < lead || (shape[i - lead] === 1 && dim !== 1) ? [i] : []));
  const summed = axes.length === 0 ? x : sum(x, axes);
  if (sizeOf(shape) !== summed.size) {
    throw new GraphError(`internal: ${x} does not sum to ${showShape(shape)}`);
  }
  return reshape(summed, shape);
}
