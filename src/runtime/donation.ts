/**
 * @file Decides which state a program may overwrite while it runs. The runtime does not know that a state's old and
 * new value share a buffer, so this is allowed only where every reader of the old value must have finished, or is
 * itself the element-wise node that writes the new one.
 */

import { type Graph, type Node, nodesOf, type Tensor } from "../graph/index.js";

/** Operators that write element i after reading element i of a same-shaped operand and nothing else of it. */
const elementwise = new Set([
  "add",
  "sub",
  "mul",
  "div",
  "maximum",
  "minimum",
  "where",
  "clamp",
  "neg",
  "sqrt",
]);

/** Operators that hand their operand on without computing: readers behind them count as readers of the operand. */
const transparent = new Set(["stopGradient", "reshape", "customVjp"]);

/**
 * The names of states whose new value may be written over the old one.
 * @param updates New values by state name. @param states Old values (graph inputs) by state name.
 */
export function donatable(
  graph: Graph,
  states: ReadonlyMap<string, Tensor>,
  updates: ReadonlyMap<string, Tensor>,
): Set<string> {
  const nodes = nodesOf(graph);
  const readers = new Map<Tensor, Node[]>();
  for (const node of nodes) {
    for (const input of node.inputs) readers.set(input, [...(readers.get(input) ?? []), node]);
  }
  const published = new Map<Tensor, number>();
  for (const output of Object.values(graph.outputs)) published.set(output, (published.get(output) ?? 0) + 1);
  const safe = new Set<string>();
  for (const [name, update] of updates) {
    const old = states.get(name);
    if (!old || update === old || (published.get(update) ?? 0) > 1 || published.has(old)) continue;
    const writer = update.producer;
    if (transparent.has(writer.operator) || writer.inputs.length === 0) continue;
    const before = ancestorsOf(writer);
    const isSafe = finalReaders(old, readers).every(
      (reader) =>
        before.has(reader) ||
        (reader === writer &&
          elementwise.has(writer.operator) &&
          writer.inputs.every((input) => input !== old || input.size === update.size)),
    );
    if (isSafe) safe.add(name);
  }
  return safe;
}

/** The nodes that really read `tensor`, looking through those that only rename it. */
function finalReaders(tensor: Tensor, readers: ReadonlyMap<Tensor, readonly Node[]>): Node[] {
  return (readers.get(tensor) ?? []).flatMap((node) =>
    transparent.has(node.operator)
      ? [node, ...node.outputs.flatMap((output) => finalReaders(output, readers))]
      : [node],
  );
}

/** All nodes that must run before `node`. */
function ancestorsOf(node: Node): Set<Node> {
  const found = new Set<Node>();
  const pending = [...node.inputs];
  for (let tensor = pending.pop(); tensor; tensor = pending.pop()) {
    if (found.has(tensor.producer)) continue;
    found.add(tensor.producer);
    pending.push(...tensor.producer.inputs);
  }
  return found;
}
