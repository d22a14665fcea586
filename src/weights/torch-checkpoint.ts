/** @file The tensors of a checkpoint, whatever they are nested in, under dotted names. */

import { FormatError, PickleGlobal, PickleObject, type PickleValue, quoted } from "../pickle/index.js";
import { TorchTensor } from "./torch-tensor.js";

export type Facts = ReadonlyMap<string, string | number | boolean>;

/** State dictionaries lie two or three deep; a pickle may nest without end, or hold itself. */
const MAX_DEPTH = 12;
/** Values looked at: shared containers would otherwise let a small file ask for work without end. */
const MAX_VALUES = 2_000_000;
/** Longer names are no names, and millions of them would fill the memory. */
const MAX_NAME_LENGTH = 1000;

export interface Checkpoint {
  readonly tensors: ReadonlyMap<string, TorchTensor>;
  readonly facts: Facts;
}

/** @throws FormatError when two tensors get the same name, or there is no end of values. */
export function flattenCheckpoint(root: PickleValue): Checkpoint {
  const tensors = new Map<string, TorchTensor>();
  const facts = new Map<string, string | number | boolean>();
  let visited = 0;
  const visit = (value: PickleValue, name: string, depth: number): void => {
    if (++visited > MAX_VALUES) throw new FormatError(`it holds more than ${MAX_VALUES} values`);
    if (name.length > MAX_NAME_LENGTH) return;
    if (value instanceof TorchTensor) {
      if (tensors.has(name)) throw new FormatError(`two of its tensors are called ${quoted(name)}`);
      tensors.set(name, value);
    } else if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") {
      facts.set(name, value);
    } else if (depth < MAX_DEPTH) {
      for (const [key, each] of children(value)) visit(each, name === "" ? key : `${name}.${key}`, depth + 1);
    }
  };
  visit(root, "", 0);
  return { tensors, facts };
}

function* children(value: PickleValue): Generator<readonly [string, PickleValue]> {
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) yield [String(i), value[i] as PickleValue];
    return;
  }
  const map = value instanceof Map ? value : value instanceof PickleObject ? value.attributes : undefined;
  if (!map || value instanceof PickleGlobal) return;
  for (const [key, each] of map) {
    if (typeof key === "string" || typeof key === "number") yield [String(key), each];
  }
}
