/** @file Where state lives between runs: the interface, and the CPU's way. */

import type * as Ort from "onnxruntime-node";
import { sizeOf, type TensorType, zeros } from "../graph/index.js";
import type { HostValue } from "./host-value.js";
import type { CompiledProgram, StateUpdate } from "./program.js";

/** State that stays with the execution provider between runs. */
export interface Residency {
  /** Makes `name` known; a new state starts at zero. @throws TypeError when it is known with another type. */
  declare(name: string, type: TensorType): Promise<void>;
  /** Session options that keep a program's new states on the device. */
  sessionOptions(program: CompiledProgram): Partial<Ort.InferenceSession.SessionOptions>;
  /** The current value, to be fed. */
  tensor(name: string): Ort.Tensor;
  /** Where a run writes a new value; `null` lets the provider allocate it. */
  target(update: StateUpdate): Ort.Tensor | null;
  /** Makes the value that a run wrote the current one. */
  commit(update: StateUpdate, written: Ort.Tensor): void;
  write(values: Readonly<Record<string, HostValue>>): Promise<void>;
  read(names: readonly string[]): Promise<Record<string, HostValue>>;
  release(): void;
}

/** @throws TypeError unless `given` is of the declared type. */
export function requireType(name: string, declared: TensorType | undefined, given: TensorType): void {
  if (!declared || (declared.dtype === given.dtype && declared.shape.join() === given.shape.join())) return;
  throw new TypeError(
    `state "${name}" is ${declared.dtype}[${declared.shape.join(", ")}], ` +
      `not ${given.dtype}[${given.shape.join(", ")}]; one name stands for one type on a device`,
  );
}

interface Slot {
  readonly type: TensorType;
  current: Ort.Tensor;
  /** The second buffer of a state that cannot be written in place. */
  spare: Ort.Tensor | undefined;
}

/** State in the worker's memory. A run writes over the old value where that is safe, else into a second buffer. */
export class HostResidency implements Residency {
  readonly #slots = new Map<string, Slot>();

  constructor(private readonly ort: typeof Ort) {}

  async declare(name: string, type: TensorType): Promise<void> {
    const known = this.#slots.get(name);
    if (known) requireType(name, known.type, type);
    else this.#slots.set(name, { type, current: this.#allocate(type), spare: undefined });
  }

  sessionOptions(): Partial<Ort.InferenceSession.SessionOptions> {
    return {};
  }

  tensor(name: string): Ort.Tensor {
    return this.#slot(name).current;
  }

  target(update: StateUpdate): Ort.Tensor {
    const slot = this.#slot(update.name);
    if (update.inPlace) return slot.current;
    slot.spare ??= this.#allocate(slot.type);
    return slot.spare;
  }

  commit(update: StateUpdate, written: Ort.Tensor): void {
    if (update.inPlace) return;
    const slot = this.#slot(update.name);
    slot.spare = slot.current;
    slot.current = written;
  }

  async write(values: Readonly<Record<string, HostValue>>): Promise<void> {
    for (const [name, value] of Object.entries(values)) {
      await this.declare(name, { dtype: value.dtype, shape: value.shape });
      (this.tensor(name).data as unknown as { set(data: unknown): void }).set(value.data);
    }
  }

  async read(names: readonly string[]): Promise<Record<string, HostValue>> {
    return Object.fromEntries(
      names.map((name) => {
        const { type, current } = this.#slot(name);
        const data = (current.data as unknown as { slice(): never }).slice();
        return [name, { dtype: type.dtype, shape: type.shape, data }];
      }),
    );
  }

  release(): void {
    this.#slots.clear();
  }

  #allocate({ dtype, shape }: TensorType): Ort.Tensor {
    return new this.ort.Tensor(dtype as Ort.Tensor.Type, zeros(dtype, sizeOf(shape)) as never, shape);
  }

  #slot(name: string): Slot {
    const slot = this.#slots.get(name);
    if (!slot) throw new TypeError(`no state "${name}" on this device; set it or compile a program that writes it`);
    return slot;
  }
}
