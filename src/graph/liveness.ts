/** @file How much memory a graph's values take at once, from its shapes and the order of its nodes. */

import { bytesPerElement } from "./dtype.js";
import { type Graph, nodesOf } from "./graph.js";
import type { Node, Tensor } from "./tensor.js";

/** Operators whose result is their operand's memory. */
const views = new Set(["reshape", "stopGradient", "customVjp"]);

/** Operators that runtimes compute into an operand that nothing reads afterwards. */
const inPlace = new Set([
  "add",
  "sub",
  "mul",
  "div",
  "neg",
  "sqrt",
  "exp",
  "where",
  "relu",
  "sigmoid",
  "tanh",
]);

/**
 * The largest sum of bytes of computed values that are alive at the same time, when nodes run in the order in which
 * they were traced and a value is freed after its last reader. Inputs, outputs and constants are not counted: they have
 * memory of their own. A runtime may order the nodes otherwise, and its allocator loses some between blocks: this is an
 * estimate.
 */
export function peakActivationBytes(graph: Graph): number {
  const nodes = nodesOf(graph);
  const owners = new Map<Tensor, Tensor>();
  const ownerOf = (tensor: Tensor): Tensor => owners.get(tensor) ?? tensor;
  const lastRead = new Map<Tensor, Node>();
  for (const node of nodes) {
    if (views.has(node.operator)) {
      node.outputs.forEach((output, i) => {
        const source = node.inputs[i];
        if (source) owners.set(output, ownerOf(source));
      });
    }
    for (const operand of node.inputs) lastRead.set(ownerOf(operand), node);
  }
  const published = new Set(Object.values(graph.outputs).map(ownerOf));
  const isCounted = (tensor: Tensor): boolean =>
    ownerOf(tensor) === tensor &&
    !published.has(tensor) &&
    tensor.producer.operator !== "input" &&
    tensor.producer.operator !== "constant";
  const bytes = (tensor: Tensor): number => tensor.size * bytesPerElement[tensor.dtype];
  let alive = 0;
  let peak = 0;
  for (const node of nodes) {
    const born = node.outputs.filter(isCounted);
    const read = new Set(node.inputs.map(ownerOf));
    const freed = [...read].filter((operand) => isCounted(operand) && lastRead.get(operand) === node);
    const release = freed.reduce((sum, tensor) => sum + bytes(tensor), 0);
    // What nothing reads is gone at once, but it is there while the node runs.
    const unread = born.filter((tensor) => !lastRead.has(tensor));
    const need = born.reduce((sum, tensor) => sum + bytes(tensor), 0);
    peak = Math.max(peak, alive + need - (inPlace.has(node.operator) ? Math.min(release, need) : 0));
    alive += need - release - unread.reduce((sum, tensor) => sum + bytes(tensor), 0);
  }
  return peak;
}
