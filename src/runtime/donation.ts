/**
 * @file Decides which state a program may overwrite while it runs. The runtime does not know that a state's old and
 * new value share a buffer, so this is allowed only where every reader of the old value must have finished, or is
 * itself the element-wise node that writes the new one. A state that the program does not read has no readers.
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
 * @param updates New values by state name. @param states Old values (graph inputs) of the states that are read, by name.
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
  const readersOf = (state: Tensor): Node[] => finalReaders(state, readers);
  const precedence = new Precedence(nodes, [...states.values()].flatMap(readersOf));
  const safe = new Set<string>();
  for (const [name, update] of updates) {
    const old = states.get(name);
    if (!old) {
      // Nobody reads what the program overwrites, as a gradient of the step before.
      safe.add(name);
      continue;
    }
    if (update === old || (published.get(update) ?? 0) > 1 || published.has(old)) continue;
    const writer = update.producer;
    if (transparent.has(writer.operator) || writer.inputs.length === 0) continue;
    const isSafe = readersOf(old).every(
      (reader) =>
        precedence.isBefore(reader, writer) ||
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

/** Which of some nodes must run before which node: a row of bits for each, the union of its operands' rows and operands. */
class Precedence {
  readonly #rowOf: ReadonlyMap<Node, number>;
  readonly #columnOf: ReadonlyMap<Node, number>;
  readonly #words: number;
  readonly #rows: Uint32Array;

  /** @param nodes In the order of a run. @param asked The nodes that `isBefore` is asked for. */
  constructor(nodes: readonly Node[], asked: Iterable<Node>) {
    this.#rowOf = new Map(nodes.map((node, i) => [node, i]));
    this.#columnOf = new Map([...new Set(asked)].map((node, i) => [node, i]));
    this.#words = Math.ceil(this.#columnOf.size / 32);
    this.#rows = new Uint32Array(nodes.length * this.#words);
    for (const node of nodes) {
      const row = this.#row(node);
      for (const { producer } of node.inputs) {
        this.#row(producer).forEach((word, k) => {
          (row[k] as number) |= word;
        });
        const column = this.#columnOf.get(producer);
        if (column !== undefined) (row[column >>> 5] as number) |= 1 << (column & 31);
      }
    }
  }

  /** Whether `first`, one of those asked for, must have run when `second` begins. */
  isBefore(first: Node, second: Node): boolean {
    const column = this.#columnOf.get(first) as number;
    return ((this.#row(second)[column >>> 5] as number) & (1 << (column & 31))) !== 0;
  }

  #row(node: Node): Uint32Array {
    const start = (this.#rowOf.get(node) as number) * this.#words;
    return this.#rows.subarray(start, start + this.#words);
  }
}
