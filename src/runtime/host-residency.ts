/** @file State in the worker's memory, for the CPU. */

import type * as Ort from "onnxruntime-node";
import { sizeOf, type TensorType, zeros } from "../graph/index.js";
import type { HostValue } from "./host-value.js";
import type { StateUpdate } from "./program.js";
import { type Residency, requireType, unknownState } from "./residency.js";

interface Slot {
  readonly type: TensorType;
  /** Allocated when it is first used. */
  current: Ort.Tensor | undefined;
  /** The second buffer of a state that cannot be written in place. */
  spare: Ort.Tensor | undefined;
}

/** State in the worker's memory. A run writes over the old value where that is safe, else into a second buffer. */
export class HostResidency implements Residency {
  readonly #slots = new Map<string, Slot>();

  constructor(private readonly ort: typeof Ort) {}

  declare(name: string, type: TensorType): void {
    const known = this.#slots.get(name);
    if (known) requireType(name, known.type, type);
    else this.#slots.set(name, { type, current: undefined, spare: undefined });
  }

  sessionOptions(): Partial<Ort.InferenceSession.SessionOptions> {
    return {};
  }

  async current(name: string): Promise<Ort.Tensor> {
    return this.#value(this.#slot(name));
  }

  target(update: StateUpdate): Ort.Tensor {
    const slot = this.#slot(update.name);
    if (update.inPlace) return this.#value(slot);
    slot.spare ??= this.#allocate(slot.type);
    return slot.spare;
  }

  commit(update: StateUpdate, written: Ort.Tensor): void {
    if (update.inPlace) return;
    const slot = this.#slot(update.name);
    slot.spare = slot.current;
    slot.current = written;
  }

  isResident(): boolean {
    return true;
  }

  async detach(): Promise<void> {}

  async write(values: Readonly<Record<string, HostValue>>): Promise<void> {
    for (const [name, { dtype, shape }] of Object.entries(values)) this.declare(name, { dtype, shape });
    // The arrays came in a message, so nobody else holds them; two names of one array get one each.
    const taken = new Set<ArrayBufferLike>();
    for (const [name, { dtype, shape, data }] of Object.entries(values)) {
      const own = taken.has(data.buffer) ? data.slice() : data;
      taken.add(own.buffer);
      this.#slot(name).current = new this.ort.Tensor(dtype as Ort.Tensor.Type, own as never, shape);
    }
  }

  async read(names: readonly string[]): Promise<Record<string, HostValue>> {
    return Object.fromEntries(
      names.map((name) => {
        const slot = this.#slot(name);
        const data = (this.#value(slot).data as unknown as { slice(): never }).slice();
        return [name, { dtype: slot.type.dtype, shape: slot.type.shape, data }];
      }),
    );
  }

  async release(): Promise<void> {
    this.#slots.clear();
  }

  #value(slot: Slot): Ort.Tensor {
    slot.current ??= this.#allocate(slot.type);
    return slot.current;
  }

  #allocate({ dtype, shape }: TensorType): Ort.Tensor {
    return new this.ort.Tensor(dtype as Ort.Tensor.Type, zeros(dtype, sizeOf(shape)) as never, shape);
  }

  #slot(name: string): Slot {
    const slot = this.#slots.get(name);
    if (!slot) throw unknownState(name);
    return slot;
  }
}
