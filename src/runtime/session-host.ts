/** @file Owns ONNX Runtime sessions and the state they share. Lives in the worker: a run blocks its thread. */

import type * as Ort from "onnxruntime-node";
import { bytesPerElement, type HostArray, sizeOf, type TensorType, zeros } from "../graph/index.js";
import { type HostValue, showType } from "./host-value.js";
import { type ProfileRow, readProfile } from "./profile.js";
import type { CompiledProgram } from "./program.js";
import type { ProviderName } from "./providers.js";
import type { Residency } from "./residency.js";

export interface LoadOptions {
  /** Collect a profile until `endProfiling`; the prefix of its temporary file. */
  readonly profilePrefix?: string;
  /** Run the runtime's own graph optimiser (default) or lower exactly what was written. */
  readonly optimize?: boolean;
}

export interface RunResult {
  readonly outputs: Readonly<Record<string, HostValue>>;
  /** Seconds inside the native run. */
  readonly seconds: number;
  readonly bytesToDevice: number;
  readonly bytesFromDevice: number;
}

interface Loaded {
  readonly program: CompiledProgram;
  readonly session: Ort.InferenceSession;
  /** The profile being collected. */
  profilePrefix: string | undefined;
}

export class SessionHost {
  readonly #loaded = new Map<number, Loaded>();
  #count = 0;

  constructor(
    private readonly ort: typeof Ort,
    private readonly provider: ProviderName,
    private readonly options: Ort.InferenceSession.SessionOptions,
    private readonly state: Residency,
  ) {}

  /** Creates a session; returns the program's number. */
  async load(
    program: CompiledProgram,
    { profilePrefix, optimize = true }: LoadOptions = {},
  ): Promise<number> {
    for (const [name, { dtype, shape }] of Object.entries(program.reads))
      this.state.declare(name, { dtype, shape });
    for (const { name, dtype, shape } of program.updates) this.state.declare(name, { dtype, shape });
    const session = await this.ort.InferenceSession.create(program.model, {
      ...this.options,
      ...this.state.sessionOptions(program),
      ...(optimize ? {} : { graphOptimizationLevel: "disabled" as const }),
      ...(profilePrefix === undefined ? {} : { enableProfiling: true, profileFilePrefix: profilePrefix }),
    }).catch((cause: Error) => {
      throw new Error(
        `program "${program.name}" could not be loaded on "${this.provider}": ${cause.message} ` +
          "(printProgram(definition) lists its graph)",
        { cause },
      );
    });
    const number = this.#count++;
    this.#loaded.set(number, { program, session, profilePrefix });
    return number;
  }

  async run(number: number, inputs: Readonly<Record<string, HostValue>>): Promise<RunResult> {
    const { program, session } = this.#get(number);
    const bytes = { toDevice: 0, fromDevice: 0 };
    const feeds: Record<string, Ort.Tensor> = {};
    for (const [name, type] of Object.entries(program.inputs)) {
      feeds[name] = this.#feed(program, name, type, inputs[name]);
      bytes.toDevice += sizeInBytes(type);
    }
    for (const [name, type] of Object.entries(program.reads)) {
      const current = await this.state.current(name);
      if (!this.state.isResident(current)) bytes.toDevice += sizeInBytes(type);
      feeds[name] = current;
    }
    const fetches: Record<string, Ort.Tensor | null> = {};
    for (const [name, type] of Object.entries(program.outputs)) {
      fetches[name] = program.emptySequence === undefined ? null : this.#allocate(type);
    }
    for (const update of program.updates) fetches[update.output] = this.state.target(update);
    const start = performance.now();
    const results = await run(session, feeds, fetches, program.emptySequence).catch((cause: Error) => {
      throw new Error(`program "${program.name}" failed on "${this.provider}": ${cause.message}`, { cause });
    });
    const seconds = (performance.now() - start) / 1000;
    for (const update of program.updates) {
      const written = results[update.output] as Ort.Tensor;
      if (!this.state.isResident(written)) bytes.fromDevice += sizeInBytes(update);
      this.state.commit(update, written);
    }
    const outputs: Record<string, HostValue> = {};
    for (const [name, type] of Object.entries(program.outputs)) {
      const data = (results[name] as Ort.Tensor).data as unknown as HostArray;
      bytes.fromDevice += data.byteLength;
      outputs[name] = { ...type, data } as HostValue;
    }
    return { outputs, seconds, bytesToDevice: bytes.toDevice, bytesFromDevice: bytes.fromDevice };
  }

  /** Stops profiling a program and returns the time of each node, longest first. */
  async endProfiling(number: number): Promise<ProfileRow[]> {
    const loaded = this.#get(number);
    const { session, profilePrefix, program } = loaded;
    if (profilePrefix === undefined) throw new Error(`program "${program.name}" is not being profiled`);
    loaded.profilePrefix = undefined;
    session.endProfiling();
    return readProfile(profilePrefix);
  }

  /** Frees a program's session; state stays. */
  async unload(number: number): Promise<void> {
    // A profile leaves a file behind until it is read.
    if (this.#get(number).profilePrefix !== undefined) await this.endProfiling(number);
    const { session, program } = this.#get(number);
    this.#loaded.delete(number);
    await this.state.detach(program);
    await session.release();
  }

  async setState(values: Readonly<Record<string, HostValue>>): Promise<void> {
    await this.state.write(values);
  }

  async getState(names: readonly string[]): Promise<Record<string, HostValue>> {
    return this.state.read(names);
  }

  async release(): Promise<void> {
    await this.state.release();
    for (const number of [...this.#loaded.keys()]) await this.unload(number);
  }

  #feed(program: CompiledProgram, name: string, type: TensorType, value: HostValue | undefined): Ort.Tensor {
    const wanted = `program "${program.name}": input "${name}" is ${showType(type)}`;
    if (!value) throw new TypeError(`${wanted}, and was not fed`);
    if (value.dtype !== type.dtype || value.shape.join() !== type.shape.join()) {
      throw new TypeError(`${wanted}, got ${showType(value)}`);
    }
    return new this.ort.Tensor(value.dtype as Ort.Tensor.Type, value.data as never, value.shape);
  }

  #allocate({ dtype, shape }: TensorType): Ort.Tensor {
    return new this.ort.Tensor(dtype as Ort.Tensor.Type, zeros(dtype, sizeOf(shape)) as never, shape);
  }

  #get(number: number): Loaded {
    const loaded = this.#loaded.get(number);
    if (!loaded) throw new Error("the program was released");
    return loaded;
  }
}

type Fetches = Readonly<Record<string, Ort.Tensor | null>>;

/** What onnxruntime-node 1.30 says of an output that is no tensor. */
const NO_TENSOR = "Non tensor type";

/**
 * Runs a session and returns its results. After a run onnxruntime-node copies every output, those written to the
 * caller's tensors too, into a new array: as many bytes as there are parameters, gradients and moments, in every step. It
 * converts outputs in their order and gives up at the first that is no tensor; the run has ended by then. So where
 * the first output is an empty sequence and all others have tensors of ours, these hold the results.
 */
async function run(
  session: Ort.InferenceSession,
  feeds: Readonly<Record<string, Ort.Tensor>>,
  fetches: Fetches,
  emptySequence: string | undefined,
): Promise<Fetches> {
  if (emptySequence === undefined) return session.run(feeds, fetches);
  try {
    await session.run(feeds, { [emptySequence]: null, ...fetches });
  } catch (error) {
    if (!(error as Error).message.startsWith(NO_TENSOR)) throw error;
  }
  return fetches;
}

function sizeInBytes({ dtype, shape }: TensorType): number {
  return sizeOf(shape) * bytesPerElement[dtype];
}
