/**
 * @file Algebra that gradients leave behind: products with one, sums with zero, chains of scales,
 * transposes and scales that a matrix product can take in.
 */

import { fromFloat16Bits } from "../dtype.js";
import { type Graph, rewrite } from "../graph.js";
import { add, mul } from "../operators/elementwise.js";
import { type MatmulOptions, matmul } from "../operators/matmul.js";
import { constantOf, scalar } from "../operators/source.js";
import { sameShape } from "../shape.js";
import { at, type Node, type Tensor, type TensorType } from "../tensor.js";

export function simplify(graph: Graph): Graph {
  return rewrite(graph, (node, inputs) => {
    const result = simplified(node, inputs);
    return result && [result];
  });
}

function simplified(node: Node, inputs: readonly Tensor[]): Tensor | undefined {
  switch (node.operator) {
    case "mul":
      return simplifiedProduct(at(inputs, 0), at(inputs, 1), at(node.outputs, 0));
    case "add":
      return simplifiedSum(at(inputs, 0), at(inputs, 1), at(node.outputs, 0));
    case "sub":
      return withoutNeutral(at(inputs, 0), at(inputs, 1), 0, at(node.outputs, 0));
    case "div":
      return withoutNeutral(at(inputs, 0), at(inputs, 1), 1, at(node.outputs, 0));
    case "matmul":
      return simplifiedMatmul(at(inputs, 0), at(inputs, 1), node.attributes as Required<MatmulOptions>);
    default:
      return undefined;
  }
}

/** The value of a constant whose elements are all equal (also behind a broadcast). */
function uniform(tensor: Tensor): number | undefined {
  const source = tensor.producer.operator === "broadcastTo" ? at(tensor.producer.inputs, 0) : tensor;
  const known = constantOf(source);
  if (known?.data.length !== 1) return undefined;
  const value = Number(known.data[0]);
  return known.dtype === "float16" ? fromFloat16Bits(value) : value;
}

/** `[factor, rest]` of a product with a uniform constant. */
function scaleOf(tensor: Tensor): [factor: number, rest: Tensor] | undefined {
  const { operator, inputs } = tensor.producer;
  if (operator !== "mul") return undefined;
  for (const [constant, rest] of [
    [at(inputs, 0), at(inputs, 1)],
    [at(inputs, 1), at(inputs, 0)],
  ] as const) {
    const factor = uniform(constant);
    if (factor !== undefined && sameShape(rest.shape, tensor.shape)) return [factor, rest];
  }
  return undefined;
}

function simplifiedProduct(a: Tensor, b: Tensor, type: TensorType): Tensor | undefined {
  for (const [constant, other] of [
    [a, b],
    [b, a],
  ] as const) {
    const factor = uniform(constant);
    if (factor === undefined || !sameShape(other.shape, type.shape)) continue;
    if (factor === 1) return other;
    const inner = scaleOf(other);
    if (inner) return mul(inner[1], scalar(factor * inner[0], type.dtype));
    // A broadcast of one number is that number.
    if (constant.rank > 0) return mul(other, scalar(factor, type.dtype));
  }
  return undefined;
}

function simplifiedSum(a: Tensor, b: Tensor, type: TensorType): Tensor | undefined {
  for (const [constant, other] of [
    [a, b],
    [b, a],
  ] as const) {
    const term = uniform(constant);
    if (term === undefined || !sameShape(other.shape, type.shape)) continue;
    if (term === 0) return other;
    if (constant.rank > 0) return add(other, scalar(term, type.dtype));
  }
  return undefined;
}

/**
 * `a` where `b` is the neutral number of a difference or quotient. A runtime that dropped such a node itself would
 * let the node's readers read `a`, which may be a state that is overwritten in place: then we must know of it.
 */
function withoutNeutral(a: Tensor, b: Tensor, neutral: number, type: TensorType): Tensor | undefined {
  return uniform(b) === neutral && sameShape(a.shape, type.shape) ? a : undefined;
}

/** Takes transposes of the last two dimensions and uniform scales of the operands into the product. */
function simplifiedMatmul(a: Tensor, b: Tensor, options: Required<MatmulOptions>): Tensor | undefined {
  let [left, right] = [a, b];
  let { transposeA, transposeB, scale } = options;
  const scaleA = scaleOf(left);
  if (scaleA) [scale, left] = [scale * scaleA[0], scaleA[1]];
  const scaleB = scaleOf(right);
  if (scaleB) [scale, right] = [scale * scaleB[0], scaleB[1]];
  if (swapsLastTwo(left)) [transposeA, left] = [!transposeA, at(left.producer.inputs, 0)];
  if (swapsLastTwo(right)) [transposeB, right] = [!transposeB, at(right.producer.inputs, 0)];
  return left === a && right === b ? undefined : matmul(left, right, { transposeA, transposeB, scale });
}

function swapsLastTwo({ producer, rank }: Tensor): boolean {
  if (producer.operator !== "transpose") return false;
  const { permutation } = producer.attributes as { readonly permutation: readonly number[] };
  return permutation.every((axis, i) => axis === (i < rank - 2 ? i : i === rank - 2 ? rank - 1 : rank - 2));
}
