/** @file A graph: named outputs and the inputs they need. Walks, rewrites, prints and checks it. */

import { GraphError } from "./errors.js";
import { inputName } from "./operators/source.js";
import { sameShape } from "./shape.js";
import type { Node, Tensor } from "./tensor.js";

export interface Graph {
  /** Made by `input(...)`; their names are unique. */
  readonly inputs: readonly Tensor[];
  /** Results by name. */
  readonly outputs: Readonly<Record<string, Tensor>>;
}

/** A graph of `outputs` over `inputs` (when omitted: every input that the outputs reach). */
export function makeGraph(outputs: Readonly<Record<string, Tensor>>, inputs?: readonly Tensor[]): Graph {
  const reached = reachable(Object.values(outputs))
    .filter((node) => node.operator === "input")
    .flatMap((node) => node.outputs);
  const declared = inputs ?? reached;
  for (const tensor of reached) {
    if (!declared.includes(tensor)) {
      throw new GraphError(
        `input "${inputName(tensor)}" is used by the graph but not among its declared inputs`,
      );
    }
  }
  const names = new Set<string>();
  for (const name of [...declared.map(inputName), ...Object.keys(outputs)]) {
    if (names.has(name))
      throw new GraphError(`the name "${name}" stands for two values of the graph; rename one`);
    names.add(name);
  }
  return { inputs: declared, outputs };
}

/** The nodes that a graph's outputs need, in topological order. */
export function nodesOf(graph: Graph): Node[] {
  return reachable(Object.values(graph.outputs));
}

/**
 * The same nodes in the order of a depth-first walk from the outputs, operands first to last.
 *
 * ONNX Runtime sorts a model's nodes anew: depth first from the last results, of a node's operands the one written last
 * first. Written in this order, a model's results are computed from the last to the first: of gradients, which are
 * listed from the first layer to the last, each as soon as the backward pass has come to its layer, and what it
 * needs is freed. In the order of tracing, passes leave some to the end.
 */
export function writingOrder(graph: Graph): Node[] {
  const seen = new Set<Node>();
  const pending = Object.values(graph.outputs)
    .map((tensor) => ({ node: tensor.producer, isReady: false }))
    .reverse();
  const order: Node[] = [];
  for (let entry = pending.pop(); entry; entry = pending.pop()) {
    const { node, isReady } = entry;
    if (isReady) order.push(node);
    else if (!seen.has(node)) {
      seen.add(node);
      pending.push({ node, isReady: true });
      for (const { producer } of [...node.inputs].reverse()) {
        if (!seen.has(producer)) pending.push({ node: producer, isReady: false });
      }
    }
  }
  return order;
}

function reachable(outputs: readonly Tensor[]): Node[] {
  const seen = new Set<Node>();
  const pending = outputs.map((tensor) => tensor.producer);
  for (let node = pending.pop(); node; node = pending.pop()) {
    if (seen.has(node)) continue;
    seen.add(node);
    for (const input of node.inputs) pending.push(input.producer);
  }
  return [...seen].sort((a, b) => a.id - b.id);
}

/**
 * A new graph in which `replace` may give other outputs for a node (its inputs already rewritten);
 * `undefined` keeps the node. Outputs keep their types.
 */
export function rewrite(
  graph: Graph,
  replace: (node: Node, inputs: readonly Tensor[]) => readonly Tensor[] | undefined,
): Graph {
  const images = new Map<Tensor, Tensor>();
  const imageOf = (tensor: Tensor): Tensor => images.get(tensor) ?? tensor;
  for (const node of nodesOf(graph)) {
    if (node.operator === "input") continue;
    const inputs = node.inputs.map(imageOf);
    const isChanged = inputs.some((tensor, i) => tensor !== node.inputs[i]);
    const outputs = replace(node, inputs) ?? (isChanged ? node.rebuild(inputs) : node.outputs);
    node.outputs.forEach((before, i) => {
      const after = outputs[i];
      if (!after) throw new GraphError(`internal: a pass dropped output ${i} of ${node.operator}`);
      if (after.dtype !== before.dtype || !sameShape(after.shape, before.shape)) {
        throw new GraphError(`internal: a pass turned ${node.operator}'s ${before} into ${after}`);
      }
      images.set(before, after);
    });
  }
  const outputs = Object.fromEntries(
    Object.entries(graph.outputs).map(([name, tensor]) => [name, imageOf(tensor)]),
  );
  return { inputs: graph.inputs, outputs };
}

/** A readable listing, one line a node: `%7 = matmul(%3, %5) : float32[2, 4]`. */
export function printGraph(graph: Graph): string {
  const numbers = new Map<Tensor, string>();
  const lines: string[] = [];
  let count = 0;
  for (const node of nodesOf(graph)) {
    for (const output of node.outputs) {
      numbers.set(output, node.operator === "input" ? inputName(output) : `%${count++}`);
    }
    if (node.operator === "input") continue;
    const names = node.outputs.map((output) => numbers.get(output)).join(", ");
    const operands = node.inputs.map((input) => numbers.get(input)).join(", ");
    lines.push(`${names} = ${node.operator}(${operands}) : ${node.outputs.join(", ")}`);
  }
  const inputs = graph.inputs.map((tensor) => `${inputName(tensor)}: ${tensor}`).join(", ");
  const outputs = Object.entries(graph.outputs).map(([name, tensor]) => `${name} = ${numbers.get(tensor)}`);
  return [`graph(${inputs})`, ...lines.map((line) => `  ${line}`), `  return ${outputs.join(", ")}`].join(
    "\n",
  );
}
