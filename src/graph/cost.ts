/** @file How much arithmetic and memory traffic a graph asks for, from its shapes. */

import { bytesPerElement } from "./dtype.js";
import { type Graph, nodesOf } from "./graph.js";
import type { MatmulAttributes } from "./operators/matmul.js";
import { at, type Node, type Tensor } from "./tensor.js";

/**
 * Floating point operations of a graph's matrix products and convolutions, a multiplication and an addition counted
 * as two; everything else is not counted. This is what benchmarks call a model's FLOPs: element-wise work takes
 * time, but is limited by memory.
 */
export function countFlops(graph: Graph): number {
  return nodesOf(graph).reduce((total, node) => total + flopsOf(node), 0);
}

/** Operators of which `countFlops` counts the arithmetic. */
const products = new Set(["matmul", "conv2d", "convTranspose2d"]);

/** Operators that move nothing: they name values, or give the same ones another shape. */
const still = new Set(["constant", "input", "reshape", "customVjp", "stopGradient"]);

/** Operators that read no more of an input than they write. */
const selecting = new Set(["slice", "split", "gather"]);

/**
 * Bytes that everything but matrix products and convolutions reads and writes when no two nodes are fused: what limits
 * element-wise work.
 */
export function countMovedBytes(graph: Graph): number {
  return nodesOf(graph).reduce((total, node) => total + movedBytesOf(node), 0);
}

function movedBytesOf({ operator, inputs, outputs }: Node): number {
  if (products.has(operator) || still.has(operator)) return 0;
  const written = totalBytes(outputs);
  const read = selecting.has(operator)
    ? inputs.reduce((sum, input) => sum + Math.min(written, totalBytes([input])), 0)
    : totalBytes(inputs);
  return written + read;
}

function totalBytes(tensors: readonly Tensor[]): number {
  return tensors.reduce((sum, { size, dtype }) => sum + size * bytesPerElement[dtype], 0);
}

function flopsOf({ operator, inputs, outputs, attributes }: Node): number {
  switch (operator) {
    case "matmul": {
      // Every element of the result is a sum over the inner dimension.
      const { transposeA } = attributes as MatmulAttributes;
      const inner = at(at(inputs, 0).shape, at(inputs, 0).rank - (transposeA ? 2 : 1));
      return 2 * at(outputs, 0).size * inner;
    }
    case "conv2d": {
      // Weight [O, C / groups, kh, kw]: each output element is a sum over a window of its group's channels.
      const weight = at(inputs, 1);
      return 2 * at(outputs, 0).size * (weight.size / at(weight.shape, 0));
    }
    case "convTranspose2d": {
      // Weight [C, O / groups, kh, kw]: each input element is spread over a window of its group's channels.
      const weight = at(inputs, 1);
      return 2 * at(inputs, 0).size * (weight.size / at(weight.shape, 0));
    }
    default:
      return 0;
  }
}
