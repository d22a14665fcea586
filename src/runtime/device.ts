/** @file A device: one execution provider in a worker thread, the state it holds, and the programs compiled for it. */

import { randomUUID } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import type { HostValue } from "./host-value.js";
import type { ProfileRow } from "./profile.js";
import { type CompiledProgram, compileProgram, type ProgramDefinition } from "./program.js";
import { type DeviceSettings, defaultThreads, ProviderError, targets } from "./providers.js";
import type { CompileOptions, RunResult } from "./session-host.js";
import type { Call, Reply } from "./worker.js";

export interface DeviceOptions extends Partial<DeviceSettings> {}

export interface ProgramOptions {
  /** Profile every run until `endProfiling`. */
  readonly profile?: boolean;
  /** The runtime's own graph optimiser (default on). */
  readonly optimize?: boolean;
}

/** Bytes that crossed between host and device. */
export interface Transfers {
  toDevice: number;
  fromDevice: number;
}

interface Pending {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

/** Runs programs on one execution provider. Close it when done: it holds a thread and memory. */
export class Device {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #calls = 0;
  #failure: Error | undefined;

  private constructor(readonly settings: DeviceSettings) {
    this.#worker = new Worker(new URL("./worker.js", import.meta.url), { workerData: settings });
    this.#worker.on("message", (reply: Reply) => this.#settle(reply));
    this.#worker.on("error", (error) => this.#fail(error instanceof Error ? error : new Error(String(error))));
    this.#worker.on("exit", (code) => this.#fail(new Error(`the device's worker ended (exit code ${code})`)));
  }

  /** Starts a provider. @throws ProviderError when it cannot run on this machine, with the reason. */
  static async open({ provider = "cpu", threads = defaultThreads() }: DeviceOptions = {}): Promise<Device> {
    const device = new Device({ provider, threads });
    try {
      await new Promise<unknown>((resolve, reject) => device.#pending.set(-1, { resolve, reject }));
    } catch (error) {
      await device.close();
      throw new ProviderError((error as Error).message);
    }
    return device;
  }

  /** Traces, lowers and loads a program. */
  async compile(definition: ProgramDefinition, options: ProgramOptions = {}): Promise<Program> {
    return this.load(compileProgram(definition, targets[this.settings.provider]), options);
  }

  /** Loads a program that was compiled before. */
  async load(program: CompiledProgram, { profile = false, optimize = true }: ProgramOptions = {}): Promise<Program> {
    const compileOptions: CompileOptions = {
      optimize,
      ...(profile ? { profilePrefix: join(tmpdir(), `inbetween-profile-${randomUUID()}`) } : {}),
    };
    const number = (await this.#call("load", [program, compileOptions])) as number;
    return new Program(program, (method, args, transfer) => this.#call(method, [number, ...args], transfer));
  }

  /** Sets state by name (copied); a new name is added. */
  async setState(values: Readonly<Record<string, HostValue>>): Promise<void> {
    await this.#call("setState", [values]);
  }

  /** Copies of the current values of state. */
  async getState(names: readonly string[]): Promise<Record<string, HostValue>> {
    return (await this.#call("getState", [names])) as Record<string, HostValue>;
  }

  async close(): Promise<void> {
    if (!this.#failure) await this.#call("release", []).catch(() => undefined);
    this.#failure ??= new Error("the device is closed");
    await this.#worker.terminate();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #call(method: Call["method"], args: readonly unknown[], transfer: readonly ArrayBuffer[] = []): Promise<unknown> {
    if (this.#failure) return Promise.reject(this.#failure);
    const id = this.#calls++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#worker.postMessage({ id, method, args } satisfies Call, [...transfer]);
    });
  }

  #settle({ id, result, error }: Reply): void {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    if (error) pending?.reject(error);
    else pending?.resolve(result);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const { reject } of this.#pending.values()) reject(this.#failure);
    this.#pending.clear();
  }
}

export interface RunOptions {
  /** Hand the inputs' buffers over instead of copying them: the caller can no longer use them. */
  readonly transfer?: boolean;
}

/** A compiled program on a device. */
export class Program {
  /** Bytes that crossed in the last run. */
  readonly transfers: Transfers = { toDevice: 0, fromDevice: 0 };
  /** Seconds of the last run inside the provider. */
  seconds = 0;

  constructor(
    readonly compiled: CompiledProgram,
    private readonly call: (
      method: "run" | "endProfiling",
      args: readonly unknown[],
      transfer?: readonly ArrayBuffer[],
    ) => Promise<unknown>,
  ) {}

  /**
   * Runs once on the current state and returns the outputs; state updates stay on the device.
   * @throws TypeError when an input is missing or of another type.
   */
  async run(
    inputs: Readonly<Record<string, HostValue>> = {},
    { transfer = false }: RunOptions = {},
  ): Promise<Record<string, HostValue>> {
    const buffers = transfer ? Object.values(inputs).map(({ data }) => data.buffer as ArrayBuffer) : [];
    const result = (await this.call("run", [inputs], [...new Set(buffers)])) as RunResult;
    this.transfers.toDevice = result.bytesToDevice;
    this.transfers.fromDevice = result.bytesFromDevice;
    this.seconds = result.seconds;
    return { ...result.outputs };
  }

  /** The time of each node over all runs so far, longest first; ends the profile. */
  async endProfiling(): Promise<ProfileRow[]> {
    return (await this.call("endProfiling", [])) as ProfileRow[];
  }
}
