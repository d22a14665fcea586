/** @file Merges nodes that compute the same: one operator, equal attributes, the same inputs. */

import { type Graph, rewrite } from "../graph.js";
import type { Node, Tensor } from "../tensor.js";

/** Contents of constants are compared up to this many elements, larger ones by identity. */
const COMPARED_ELEMENTS = 4096;

export function eliminateCommonSubexpressions(graph: Graph): Graph {
  const numbers = new Map<object, number>();
  const numberOf = (item: object): number => {
    const known = numbers.get(item);
    if (known !== undefined) return known;
    numbers.set(item, numbers.size);
    return numbers.size - 1;
  };
  const seen = new Map<string, readonly Tensor[]>();
  return rewrite(graph, (node, inputs) => {
    const key = `${node.operator}(${inputs.map(numberOf).join()})${attributeKey(node, numberOf)}`;
    const known = seen.get(key);
    if (known) return known;
    const isChanged = inputs.some((tensor, i) => tensor !== node.inputs[i]);
    const outputs = isChanged ? node.rebuild(inputs) : node.outputs;
    seen.set(key, outputs);
    return outputs;
  });
}

function attributeKey(node: Node, numberOf: (item: object) => number): string {
  return JSON.stringify(node.attributes, (_, value: unknown) => {
    if (typeof value === "function") return `function ${numberOf(value)}`;
    if (typeof value === "bigint") return `${value}n`;
    if (typeof value === "number" && !Number.isFinite(value)) return String(value);
    if (ArrayBuffer.isView(value)) {
      const data = value as unknown as ArrayLike<number | bigint>;
      return data.length > COMPARED_ELEMENTS ? `array ${numberOf(value)}` : Array.from(data, String).join();
    }
    return value;
  });
}
