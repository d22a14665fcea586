/** @file Owns ONNX Runtime sessions and the state they share. Lives in the worker: a run blocks its thread. */

import type * as Ort from "onnxruntime-node";
import type { DType, HostArray, TensorType } from "../graph/index.js";
import type { HostValue } from "./host-value.js";
import { type ProfileRow, readProfile } from "./profile.js";
import type { CompiledProgram } from "./program.js";
import type { Residency } from "./residency.js";

export interface SessionOptions {
  readonly executionProviders: readonly string[];
  readonly threads: number;
}

export interface CompileOptions {
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
  readonly profilePrefix: string | undefined;
}

export class SessionHost {
  readonly #loaded: Loaded[] = [];

  constructor(
    private readonly ort: typeof Ort,
    private readonly options: SessionOptions,
    private readonly state: Residency,
  ) {}

  /** Creates a session; returns the program's number. */
  async load(program: CompiledProgram, { profilePrefix, optimize = true }: CompileOptions = {}): Promise<number> {
    for (const [name, type] of [...Object.entries(program.reads), ...program.updates.map(named)]) {
      await this.state.declare(name, type);
    }
    const session = await this.ort.InferenceSession.create(program.model, {
      executionProviders: [...this.options.executionProviders],
      intraOpNumThreads: this.options.threads,
      graphOptimizationLevel: optimize ? "all" : "disabled",
      logSeverityLevel: 3,
      ...this.state.sessionOptions(program),
      ...(profilePrefix === undefined ? {} : { enableProfiling: true, profileFilePrefix: profilePrefix }),
    });
    this.#loaded.push({ program, session, profilePrefix });
    return this.#loaded.length - 1;
  }

  async run(number: number, inputs: Readonly<Record<string, HostValue>>): Promise<RunResult> {
    const { program, session } = this.#get(number);
    const feeds: Record<string, Ort.Tensor> = {};
    let bytesToDevice = 0;
    for (const [name, type] of Object.entries(program.inputs)) {
      const value = inputs[name];
      if (!value) throw new TypeError(`program "${program.name}": input "${name}" (${show(type)}) was not fed`);
      if (value.dtype !== type.dtype || value.shape.join() !== type.shape.join()) {
        throw new TypeError(`program "${program.name}": input "${name}" is ${show(type)}, got ${show(value)}`);
      }
      feeds[name] = this.tensor(value);
      bytesToDevice += value.data.byteLength;
    }
    for (const name of Object.keys(program.reads)) feeds[name] = this.state.tensor(name);
    const fetches: Record<string, Ort.Tensor | null> = {};
    for (const name of Object.keys(program.outputs)) fetches[name] = null;
    for (const update of program.updates) fetches[update.output] = this.state.target(update);
    const start = performance.now();
    const results = await session.run(feeds, fetches);
    const seconds = (performance.now() - start) / 1000;
    for (const update of program.updates) this.state.commit(update, results[update.output] as Ort.Tensor);
    let bytesFromDevice = 0;
    const outputs: Record<string, HostValue> = {};
    for (const [name, { dtype, shape }] of Object.entries(program.outputs)) {
      const data = (results[name] as Ort.Tensor).data as unknown as HostArray;
      bytesFromDevice += data.byteLength;
      outputs[name] = { dtype, shape, data };
    }
    return { outputs, seconds, bytesToDevice, bytesFromDevice };
  }

  /** Stops profiling a program and returns the time of each node, longest first. */
  async endProfiling(number: number): Promise<ProfileRow[]> {
    const { session, profilePrefix, program } = this.#get(number);
    if (profilePrefix === undefined) throw new Error(`program "${program.name}" was not compiled with a profile`);
    session.endProfiling();
    return readProfile(profilePrefix);
  }

  async setState(values: Readonly<Record<string, HostValue>>): Promise<void> {
    await this.state.write(values);
  }

  async getState(names: readonly string[]): Promise<Record<string, HostValue>> {
    return this.state.read(names);
  }

  async release(): Promise<void> {
    for (const { session } of this.#loaded.splice(0)) await session.release();
    this.state.release();
  }

  tensor({ dtype, data, shape }: HostValue): Ort.Tensor {
    return new this.ort.Tensor(dtype as Ort.Tensor.Type, data as never, shape);
  }

  #get(number: number): Loaded {
    const loaded = this.#loaded[number];
    if (!loaded) throw new Error(`internal: no program ${number}`);
    return loaded;
  }
}

const named = (update: { readonly name: string } & TensorType): [string, TensorType] => [update.name, update];

export function show({ dtype, shape }: { readonly dtype: DType; readonly shape: readonly number[] }): string {
  return `${dtype}[${shape.join(", ")}]`;
}
