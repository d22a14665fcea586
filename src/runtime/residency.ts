/** @file Where state lives between runs: what a session host needs of it. */

import type * as Ort from "onnxruntime-node";
import type { TensorType } from "../graph/index.js";
import { type HostValue, showType } from "./host-value.js";
import type { CompiledProgram, StateUpdate } from "./program.js";

/** State that stays with the execution provider between runs. */
export interface Residency {
  /** Makes `name` known; a new state starts at zero. @throws TypeError when it is known with another type. */
  declare(name: string, type: TensorType): void;
  /** Session options that keep a program's new states on the device. */
  sessionOptions(program: CompiledProgram): Partial<Ort.InferenceSession.SessionOptions>;
  /** The current value, to be fed. */
  current(name: string): Promise<Ort.Tensor>;
  /** Where a run writes a new value; `null` lets the provider allocate it. */
  target(update: StateUpdate): Ort.Tensor | null;
  /** Makes the value that a run wrote the current one. */
  commit(update: StateUpdate, written: Ort.Tensor): void;
  /** Whether a state's tensor is where the provider computes: feeding or fetching it moves no bytes. */
  isResident(tensor: Ort.Tensor): boolean;
  /** Called before a program's session is released: what it wrote must outlive it. */
  detach(program: CompiledProgram): Promise<void>;
  write(values: Readonly<Record<string, HostValue>>): Promise<void>;
  read(names: readonly string[]): Promise<Record<string, HostValue>>;
  /** Frees everything; called before the sessions are released. */
  release(): Promise<void>;
}

/** @throws TypeError unless `given` is of the declared type. */
export function requireType(name: string, declared: TensorType, given: TensorType): void {
  if (declared.dtype === given.dtype && declared.shape.join() === given.shape.join()) return;
  throw new TypeError(
    `state "${name}" is ${showType(declared)}, not ${showType(given)}; one name stands for one type on a device`,
  );
}

export function unknownState(name: string): TypeError {
  return new TypeError(`no state "${name}" on this device; set it or compile a program that uses it`);
}
