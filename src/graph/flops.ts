/** @file How much arithmetic a graph asks for, from its shapes. */

import { type Graph, nodesOf } from "./graph.js";
import type { MatmulAttributes } from "./operators/matmul.js";
import { at, type Node } from "./tensor.js";

/**
 * Floating point operations of a graph's matrix products and convolutions, a multiplication and an addition counted
 * as two; everything else is not counted. This is what benchmarks call a model's FLOPs: element-wise work takes
 * time, but is limited by memory.
 */
export function countFlops(graph: Graph): number {
  return nodesOf(graph).reduce((total, node) => total + flopsOf(node), 0);
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
