/** @file Finds the operations of a program that make NaN or infinity out of finite numbers. */

import {
  concat,
  type Graph,
  inputName,
  makeGraph,
  mul,
  type Node,
  nodesOf,
  reshape,
  runPasses,
  sum,
  type Tensor,
} from "../../graph/index.js";
import type { Device, HostValue, ProgramDefinition } from "../../runtime/index.js";

/** The values of one tensor. */
export interface Range {
  /** What gives them: the name of an input or of state, or an operator. */
  readonly source: string;
  readonly shape: readonly number[];
  /** Of the finite values; undefined when there is none. */
  readonly min?: number;
  readonly max?: number;
  readonly nan: number;
  readonly infinite: number;
}

/** An operation whose inputs are finite and whose result is not. */
export interface Culprit {
  readonly operator: string;
  /** The inputs and the state from which it is the fewest operations away: where in the model it is. */
  readonly near: readonly string[];
  readonly inputs: readonly Range[];
  readonly output: Range;
}

/** What was found. */
export interface NonFinite {
  /** The first such operation, in the order of the graph. */
  readonly first?: Culprit;
  /** How many there are, the first among them. */
  readonly sources: number;
  /** Operations whose result is not finite, for whatever reason. */
  readonly affected: number;
}

/**
 * Runs a program once more, in the device's present state, looking at every value on its way. The runtime's own
 * optimiser is off, so that each operation is computed as it was traced. State is not changed.
 */
export async function findNonFinite(
  device: Device,
  definition: ProgramDefinition,
  inputs: Readonly<Record<string, HostValue>>,
): Promise<NonFinite> {
  // Of each value one number comes back: x * 0 is 0 or NaN, and so is its sum.
  const flags = await runOn(device, definition, inputs, (nodes) => {
    const marks = nodes.map(({ outputs }) => concat(outputs.filter(isFloat).map(mark), 0));
    return {
      flags: concat(
        marks.map((perOutput) => reshape(sum(perOutput), [1])),
        0,
      ),
    };
  });
  const areFinite = [...(flags.values.flags?.data ?? [])].map((flag) => Number(flag) === 0);
  const finiteNodes = new Map(flags.nodes.map((node, i) => [node, areFinite[i] === true]));
  const sources = flags.nodes.flatMap((node, i) => {
    const isMade = node.inputs.every(({ producer }) => finiteNodes.get(producer) !== false);
    return areFinite[i] === false && node.operator !== "input" && isMade ? [i] : [];
  });
  const affected = areFinite.filter((finite) => !finite).length;
  const [place] = sources;
  if (place === undefined) return { sources: 0, affected };

  const { nodes, values } = await runOn(device, definition, inputs, (all) => {
    const node = all[place] as Node;
    return Object.fromEntries(floatsAround(node).map((tensor, i) => [`value ${i}`, copied(tensor)]));
  });
  const node = nodes[place] as Node;
  const ranges = floatsAround(node).map((tensor, i) =>
    rangeOf(sourceName(tensor.producer), values[`value ${i}`] as HostValue),
  );
  const outputs = ranges.slice(node.inputs.filter(isFloat).length);
  const output = outputs.find(({ nan, infinite }) => nan + infinite > 0) ?? outputs[0];
  if (!output) throw new Error("internal: the operation has no floating point output");
  return {
    first: {
      operator: node.operator,
      near: nearestNames(node),
      inputs: ranges.slice(0, ranges.length - outputs.length),
      output,
    },
    sources: sources.length,
    affected,
  };
}

const isFloat = ({ dtype }: Tensor): boolean => dtype === "float32";

const mark = (tensor: Tensor): Tensor => reshape(sum(mul(tensor, 0)), [1]);

/** Under a name of its own also when it is an input. */
const copied = (tensor: Tensor): Tensor => mul(tensor, 1);

const floatsAround = ({ inputs, outputs }: Node): Tensor[] => [...inputs, ...outputs].filter(isFloat);

/** Runs what `select` makes of the program's nodes, which are the same in the same order at every call. */
async function runOn(
  device: Device,
  definition: ProgramDefinition,
  inputs: Readonly<Record<string, HostValue>>,
  select: (nodes: readonly Node[]) => Record<string, Tensor>,
): Promise<{ nodes: readonly Node[]; values: Record<string, HostValue> }> {
  let nodes: readonly Node[] = [];
  const program = await device.compile(
    {
      ...definition,
      name: `${definition.name}, watched`,
      // They have run before the values are picked, and must not touch what picks them.
      passes: [],
      trace: (fed, state) => {
        const traced = definition.trace(fed, state);
        const results = [...Object.values(traced.outputs ?? {}), ...Object.values(traced.state ?? {})];
        const graph: Graph = runPasses(
          makeGraph(Object.fromEntries(results.map((tensor, i) => [`result ${i}`, tensor]))),
          definition.passes,
        );
        nodes = nodesOf(graph).filter(
          ({ operator, outputs }) => operator !== "constant" && outputs.some(isFloat),
        );
        return { outputs: select(nodes) };
      },
    },
    { optimize: false },
  );
  const values = await program.run(inputs);
  await program.release();
  return { nodes, values };
}

function sourceName(node: Node): string {
  const [tensor] = node.outputs;
  return node.operator === "input" && tensor ? inputName(tensor) : node.operator;
}

const NEAR = 3;

/** The names of the inputs that are reached over the fewest operations. */
function nearestNames(node: Node): string[] {
  const names = new Set<string>();
  const seen = new Set<Node>([node]);
  for (let level: readonly Node[] = [node]; level.length > 0 && names.size < NEAR; ) {
    const next = [...new Set(level.flatMap(({ inputs }) => inputs.map(({ producer }) => producer)))].filter(
      (producer) => !seen.has(producer),
    );
    for (const producer of next) {
      seen.add(producer);
      if (producer.operator === "input") names.add(sourceName(producer));
    }
    level = next;
  }
  return [...names].slice(0, NEAR);
}

/** The range of a tensor's values. */
export function rangeOf(source: string, { shape, data }: HostValue): Range {
  let [min, max, nan, infinite] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, 0];
  for (const element of data) {
    const value = Number(element);
    if (Number.isFinite(value)) {
      if (value < min) min = value;
      if (value > max) max = value;
    } else if (Number.isNaN(value)) nan++;
    else infinite++;
  }
  return { source, shape, ...(min <= max ? { min, max } : {}), nan, infinite };
}
