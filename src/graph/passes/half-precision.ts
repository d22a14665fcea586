/**
 * @file A float32 graph computed in half precision: constants, sums and matrix products become float16, between casts of
 * the inputs and outputs, which stay float32. Softmax, layer norms and means stay in float32, between casts of their
 * own: they sum or square many values, which half precision loses (above 65504) or rounds (below 2^-24).
 */

import { isFloat, toFloat16Bits } from "../dtype.js";
import { GraphError } from "../errors.js";
import { type Graph, nodesOf } from "../graph.js";
import { cast, mul } from "../operators/elementwise.js";
import { type MatmulAttributes, matmul } from "../operators/matmul.js";
import { constantOf, scalar, storedConstant } from "../operators/source.js";
import { at, type Node, type Tensor } from "../tensor.js";

/** Operators that are computed in float32. */
const single: ReadonlySet<string> = new Set([
  "softmax",
  "logSoftmax",
  "layerNorm",
  "mean",
  "sum",
  "variance",
  "exp",
  "log",
]);

/** @throws GraphError when a constant is outside the range of half precision. */
export function toHalfPrecision(graph: Graph): Graph {
  const images = new Map<Tensor, Tensor>();
  const imageOf = (tensor: Tensor): Tensor => images.get(tensor) ?? tensor;
  for (const node of nodesOf(graph)) {
    converted(node, node.inputs.map(imageOf)).forEach((image, i) => {
      images.set(at(node.outputs, i), image);
    });
  }
  const outputs = Object.entries(graph.outputs).map(([name, tensor]): [string, Tensor] => [
    name,
    cast(imageOf(tensor), tensor.dtype),
  ]);
  return { inputs: graph.inputs, outputs: Object.fromEntries(outputs) };
}

/** The outputs of a node on inputs that may be half, half themselves where they were float32. */
function converted(node: Node, inputs: readonly Tensor[]): readonly Tensor[] {
  const { operator, outputs } = node;
  if (operator === "constant") return outputs.map(halfConstant);
  if (operator === "input") return outputs.map(half);
  if (single.has(operator) || operator === "cast") {
    const wide = inputs.map((tensor) => (tensor.dtype === "float16" ? cast(tensor, "float32") : tensor));
    return node.rebuild(wide).map(half);
  }
  const { scale } = node.attributes as MatmulAttributes;
  if (operator === "matmul" && scale !== 1) {
    // Before the product, which may exceed the range that its scaled value keeps.
    const [a, b] = [at(inputs, 0), at(inputs, 1)];
    const options = { ...(node.attributes as MatmulAttributes), scale: 1 };
    return [matmul(mul(a, scalar(scale, a.dtype)), b, options)];
  }
  return node.rebuild(inputs);
}

function half(tensor: Tensor): Tensor {
  return isFloat(tensor.dtype) ? cast(tensor, "float16") : tensor;
}

function halfConstant(tensor: Tensor): Tensor {
  const known = constantOf(tensor);
  if (!(known?.data instanceof Float32Array)) return tensor;
  const bits = new Uint16Array(known.data.length);
  for (let i = 0; i < bits.length; i++) {
    const value = known.data[i] as number;
    bits[i] = toFloat16Bits(value);
    if (Number.isFinite(value) && ((bits[i] as number) & 0x7fff) === 0x7c00) {
      throw new GraphError(
        `half precision: a constant ${tensor} holds ${value}, and float16 ends at 65504; keep the graph in float32`,
      );
    }
  }
  return storedConstant(bits, tensor.shape, "float16");
}
