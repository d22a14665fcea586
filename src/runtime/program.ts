/** @file A compiled graph: what it is fed, which state it reads and writes, what it returns. */

import {
  type Graph,
  input,
  inputName,
  makeGraph,
  type PassName,
  printGraph,
  runPasses,
  type Target,
  type Tensor,
  type TensorType,
  type TileOptions,
  tile,
  writeOnnx,
} from "../graph/index.js";
import { mapKeys, mapValues } from "../records.js";
import { donatable } from "./donation.js";

/** What a traced function gives back. */
export interface Traced {
  /** Returned to the host after each run. */
  readonly outputs?: Readonly<Record<string, Tensor>>;
  /** New values of state, which stay on the device. */
  readonly state?: Readonly<Record<string, Tensor>>;
}

export interface ProgramDefinition {
  /** For messages and profiles. */
  readonly name: string;
  /** Fed at every run. */
  readonly inputs?: Readonly<Record<string, TensorType>>;
  /** Held on the device between runs, by name; shared by all programs of the device. */
  readonly state?: Readonly<Record<string, TensorType>>;
  readonly trace: (
    inputs: Readonly<Record<string, Tensor>>,
    state: Readonly<Record<string, Tensor>>,
  ) => Traced;
  /** The graph passes to run (default: all). */
  readonly passes?: readonly PassName[];
  /** How large activations are cut into blocks on the CPU; `false` leaves them whole. */
  readonly tile?: TileOptions | false;
}

/** One state that a program writes. */
export interface StateUpdate extends TensorType {
  readonly name: string;
  /** The ONNX output that holds the new value. */
  readonly output: string;
  /** Whether the new value may be written over the old one. */
  readonly inPlace: boolean;
}

/** A program ready for a session: plain data, which can be sent to a worker. */
export interface CompiledProgram {
  readonly name: string;
  readonly model: Uint8Array;
  /**
   * The model's first output is an empty sequence of this name: results are read where they were written, instead of
   * from the copies that the runtime's binding makes of all of them (`session-host.ts`).
   */
  readonly emptySequence?: string;
  readonly inputs: Readonly<Record<string, TensorType>>;
  readonly reads: Readonly<Record<string, TensorType>>;
  readonly updates: readonly StateUpdate[];
  readonly outputs: Readonly<Record<string, TensorType>>;
}

const plainType = ({ dtype, shape }: TensorType): TensorType => ({ dtype, shape: [...shape] });

/** The traced and simplified graph of a definition, before it is lowered. */
export function traceProgram(definition: ProgramDefinition) {
  const inputs = mapValues(definition.inputs ?? {}, (type, name) => input(name, type.shape, type.dtype));
  const state = mapValues(definition.state ?? {}, (type, name) => input(name, type.shape, type.dtype));
  const traced = definition.trace(inputs, state);
  const outputs = traced.outputs ?? {};
  const updates = traced.state ?? {};
  for (const [name, update] of Object.entries(updates)) {
    const old = definition.state?.[name];
    if (old && (old.dtype !== update.dtype || old.shape.join() !== update.shape.join())) {
      throw new TypeError(
        `program "${definition.name}": state "${name}" is ${old.dtype}[${old.shape.join(", ")}], ` +
          `its new value ${update}; a state keeps its type`,
      );
    }
  }
  const named = { ...mapKeys(updates, updateName), ...outputs };
  const graph = runPasses(
    makeGraph(named, [...Object.values(inputs), ...Object.values(state)]),
    definition.passes,
  );
  return { graph, outputNames: Object.keys(outputs), stateNames: Object.keys(updates), state };
}

/** No name of an output or a state. */
const EMPTY = "empty sequence";

/** The ONNX output that carries the new value of a state. */
function updateName(name: string): string {
  return `next:${name}`;
}

/** Traces, simplifies and lowers a program. */
export function compileProgram(definition: ProgramDefinition, target: Target): CompiledProgram {
  const { graph, outputNames, stateNames, state } = traceProgram(definition);
  const { tile: tiling = {} } = definition;
  const isTiled = tiling !== false && target.provider === "cpu";
  const used = withoutUnusedInputs(isTiled ? tile(graph, tiling) : graph);
  const updated = new Map(stateNames.map((name) => [name, used.outputs[updateName(name)] as Tensor]));
  const inPlace = donatable(used, new Map(Object.entries(state)), updated);
  const usedNames = new Set(used.inputs.map(inputName));
  const withSequence = target.provider === "cpu" && stateNames.length > 0 ? { emptySequence: EMPTY } : {};
  return {
    name: definition.name,
    model: writeOnnx(used, { target, ...withSequence }),
    ...withSequence,
    inputs: mapValues(pick(definition.inputs ?? {}, usedNames), plainType),
    reads: mapValues(pick(definition.state ?? {}, usedNames), plainType),
    updates: [...updated].map(([name, tensor]) => ({
      ...plainType(tensor),
      name,
      output: updateName(name),
      inPlace: inPlace.has(name),
    })),
    outputs: Object.fromEntries(outputNames.map((name) => [name, plainType(used.outputs[name] as Tensor)])),
  };
}

/** The listing of a program's graph after the passes. */
export function printProgram(definition: ProgramDefinition): string {
  return printGraph(traceProgram(definition).graph);
}

/** A model must not declare inputs that nothing reads: the runtime drops them and then rejects the feed. */
function withoutUnusedInputs(graph: Graph): Graph {
  return makeGraph(graph.outputs);
}

function pick<T>(record: Readonly<Record<string, T>>, names: ReadonlySet<string>): Record<string, T> {
  return Object.fromEntries(Object.entries(record).filter(([name]) => names.has(name)));
}
