/**
 * @file State in GPU buffers. ONNX Runtime's Node binding can keep a session's outputs on the GPU and feed them
 * again, but it can neither upload nor download a buffer by itself: both go through sessions of one Identity node.
 */

import type * as Ort from "onnxruntime-node";
import {
  type HostArray,
  input,
  makeGraph,
  sizeOf,
  type TensorType,
  writeOnnx,
  zeros,
} from "../graph/index.js";
import { type HostValue, showType } from "./host-value.js";
import type { CompiledProgram, StateUpdate } from "./program.js";
import { type Residency, requireType, unknownState } from "./residency.js";

interface Slot {
  readonly type: TensorType;
  /** Uploaded when it is first used. */
  current: Ort.Tensor | undefined;
  /** What made it, when that was a program's run: its session owns the memory. */
  writer: StateUpdate | undefined;
}

const GPU = "gpu-buffer";

/** State in GPU buffers: each run writes a new buffer, and the old one is freed. */
export class GpuResidency implements Residency {
  readonly #slots = new Map<string, Slot>();
  /** Identity sessions by tensor type and where their result goes. */
  readonly #copies = new Map<string, Promise<Ort.InferenceSession>>();

  constructor(
    private readonly ort: typeof Ort,
    private readonly options: Ort.InferenceSession.SessionOptions,
  ) {}

  declare(name: string, type: TensorType): void {
    const known = this.#slots.get(name);
    if (known) requireType(name, known.type, type);
    else this.#slots.set(name, { type, current: undefined, writer: undefined });
  }

  sessionOptions({ updates }: CompiledProgram): Partial<Ort.InferenceSession.SessionOptions> {
    if (updates.length === 0) return {};
    return { preferredOutputLocation: Object.fromEntries(updates.map(({ output }) => [output, GPU])) };
  }

  async current(name: string): Promise<Ort.Tensor> {
    const slot = this.#slot(name);
    const { dtype, shape } = slot.type;
    slot.current ??= await this.#upload({ dtype, shape, data: zeros(dtype, sizeOf(shape)) });
    return slot.current;
  }

  target(): null {
    return null;
  }

  commit(update: StateUpdate, written: Ort.Tensor): void {
    this.#replace(this.#slot(update.name), written, update);
  }

  /** A buffer must not outlive the session that allocated it: copies what the program wrote last. */
  async detach({ updates }: CompiledProgram): Promise<void> {
    for (const update of updates) {
      const slot = this.#slots.get(update.name);
      if (slot?.current && slot.writer === update) {
        this.#replace(slot, await this.#copy(slot.type, slot.current, GPU));
      }
    }
  }

  isResident(tensor: Ort.Tensor): boolean {
    return tensor.location === GPU;
  }

  async write(values: Readonly<Record<string, HostValue>>): Promise<void> {
    for (const [name, { dtype, shape }] of Object.entries(values)) this.declare(name, { dtype, shape });
    for (const [name, value] of Object.entries(values)) {
      this.#replace(this.#slot(name), await this.#upload(value));
    }
  }

  async read(names: readonly string[]): Promise<Record<string, HostValue>> {
    const values: Record<string, HostValue> = {};
    for (const name of names) {
      const { dtype, shape } = this.#slot(name).type;
      const copied = await this.#copy({ dtype, shape }, await this.current(name), "cpu");
      values[name] = { dtype, shape, data: copied.data as unknown as HostArray } as HostValue;
    }
    return values;
  }

  async release(): Promise<void> {
    for (const slot of this.#slots.values()) slot.current?.dispose();
    this.#slots.clear();
    for (const session of this.#copies.values()) await (await session).release();
    this.#copies.clear();
  }

  #upload({ dtype, shape, data }: HostValue): Promise<Ort.Tensor> {
    const tensor = new this.ort.Tensor(dtype as Ort.Tensor.Type, data as never, shape);
    return this.#copy({ dtype, shape }, tensor, GPU);
  }

  async #copy(type: TensorType, tensor: Ort.Tensor, to: "cpu" | typeof GPU): Promise<Ort.Tensor> {
    const key = `${showType(type)} ${to}`;
    let session = this.#copies.get(key);
    if (!session) {
      session = this.#identity(type, to);
      this.#copies.set(key, session);
    }
    const { copy } = await (await session).run({ original: tensor }, { copy: null });
    return copy as Ort.Tensor;
  }

  #identity({ dtype, shape }: TensorType, to: "cpu" | typeof GPU): Promise<Ort.InferenceSession> {
    const graph = makeGraph({ copy: input("original", shape, dtype) });
    const model = writeOnnx(graph, { target: { provider: "webgpu", contrib: false } });
    return this.ort.InferenceSession.create(model, {
      ...this.options,
      preferredOutputLocation: { copy: to },
    });
  }

  #replace(slot: Slot, next: Ort.Tensor, writer?: StateUpdate): void {
    if (slot.current && this.isResident(slot.current)) slot.current.dispose();
    slot.current = next;
    slot.writer = writer;
  }

  #slot(name: string): Slot {
    const slot = this.#slots.get(name);
    if (!slot) throw unknownState(name);
    return slot;
  }
}
