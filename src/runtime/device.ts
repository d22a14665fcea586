/** @file A device: one execution provider in a worker thread, the state it holds, and the programs compiled for it. */

import { randomUUID } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { detached, type HostValue, ownBuffers } from "./host-value.js";
import type { ProfileRow } from "./profile.js";
import { type CompiledProgram, compileProgram, type ProgramDefinition } from "./program.js";
import { type Call, type Reply, STARTED, type WorkerSettings } from "./protocol.js";
import { type Adapter, checkProvider, nodesOnCpu } from "./provider-check.js";
import { type DeviceSettings, defaultThreads, ProviderError, targets } from "./providers.js";
import type { LoadOptions, RunResult } from "./session-host.js";

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

/** All WebGPU sessions of a process share one context, which crashes when two threads use it at the same time. */
const webgpuLock = new SharedArrayBuffer(4);

type Send = (
  method: Call["method"],
  args: readonly unknown[],
  transfer?: readonly ArrayBuffer[],
) => Promise<unknown>;

/**
 * Runs programs on one execution provider. Calls run one after another in the order in which they were made. An open
 * device that has nothing to do does not keep the process alive; close it to free its memory.
 */
export class Device {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #calls = 0;
  #failure: Error | undefined;
  #closing: Promise<void> | undefined;

  private constructor(
    readonly settings: DeviceSettings,
    /** The GPU, where the system tells it. */
    readonly adapter: Adapter | undefined,
  ) {
    const lock = settings.provider === "webgpu" ? webgpuLock : undefined;
    const workerData: WorkerSettings = { ...settings, lock };
    this.#worker = new Worker(new URL("./worker.js", import.meta.url), { workerData });
    this.#worker.on("message", (reply: Reply) => this.#settle(reply));
    this.#worker.on("error", (error: Error) => this.#fail(`failed: ${error.message}`, error));
    this.#worker.on("exit", (code) => this.#fail(`ended unexpectedly (exit code ${code})`));
  }

  /** Starts a provider. @throws ProviderError when it cannot run on this machine, with the reason. */
  static async open({ provider = "cpu", threads = defaultThreads() }: DeviceOptions = {}): Promise<Device> {
    if (!Object.hasOwn(targets, provider)) {
      throw new ProviderError(`no provider "${provider}"; there are ${Object.keys(targets).join(" and ")}`);
    }
    const settings = { provider, threads };
    const device = new Device(settings, await checkProvider(settings));
    try {
      await device.#reply(STARTED);
    } catch (error) {
      await device.close();
      throw new ProviderError((error as Error).message, { cause: error });
    }
    return device;
  }

  /** Traces, lowers and loads a program. @throws Error naming the program when the provider does not load it. */
  async compile(definition: ProgramDefinition, options: ProgramOptions = {}): Promise<Program> {
    return this.load(compileProgram(definition, targets[this.settings.provider]), options);
  }

  /** Loads a program that was compiled before. */
  async load(
    program: CompiledProgram,
    { profile = false, optimize = true }: ProgramOptions = {},
  ): Promise<Program> {
    const options: LoadOptions = {
      optimize,
      ...(profile ? { profilePrefix: join(tmpdir(), `inbetween-profile-${randomUUID()}`) } : {}),
    };
    const number = (await this.#call("load", [program, options])) as number;
    return new Program(program, (method, args, transfer) => this.#call(method, [number, ...args], transfer));
  }

  /** Sets state by name; a new name is added. @throws TypeError when a name is known with another type. */
  async setState(
    values: Readonly<Record<string, HostValue>>,
    { transfer = false }: TransferOptions = {},
  ): Promise<void> {
    await this.#call("setState", [detached(values)], transfer ? ownBuffers(values) : []);
  }

  /** Copies of the current values of state. @throws TypeError when a name is not known. */
  async getState(names: readonly string[]): Promise<Record<string, HostValue>> {
    return (await this.#call("getState", [names])) as Record<string, HostValue>;
  }

  /**
   * The nodes of a program that run on the CPU although the device is another, as `Type (name)`: the provider has no
   * kernel for them, and their operands are copied back and forth in every run. Loads the program in a process aside.
   */
  async nodesOnCpu({ compiled }: Program): Promise<string[]> {
    return nodesOnCpu(compiled, this.settings);
  }

  /** Waits for the calls made so far, frees everything and ends the worker. Later calls are rejected. */
  close(): Promise<void> {
    this.#closing ??= this.#end();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #end(): Promise<void> {
    const released = this.#call("release", []).catch(() => undefined);
    this.#failure ??= new Error("the device is closed");
    await released;
    await this.#worker.terminate();
  }

  async #call(
    method: Call["method"],
    args: readonly unknown[],
    transfer?: readonly ArrayBuffer[],
  ): Promise<unknown> {
    if (this.#failure) throw this.#failure;
    const id = this.#calls++;
    this.#worker.postMessage({ id, method, args } satisfies Call, [...(transfer ?? [])]);
    return this.#reply(id);
  }

  #reply(id: number): Promise<unknown> {
    this.#worker.ref();
    return new Promise((resolve, reject) => this.#pending.set(id, { resolve, reject }));
  }

  #settle({ id, result, error }: Reply): void {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    if (this.#pending.size === 0) this.#worker.unref();
    if (error) pending?.reject(error);
    else pending?.resolve(result);
  }

  #fail(what: string, cause?: Error): void {
    this.#failure ??= new Error(`the device's worker ${what}; open a new device`, { cause });
    for (const { reject } of this.#pending.values()) reject(this.#failure);
    this.#pending.clear();
  }
}

export interface TransferOptions {
  /**
   * Hand the values' buffers over instead of copying them: the caller can no longer use them. A view into a larger
   * buffer is copied all the same.
   */
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
    private readonly send: Send,
  ) {}

  /**
   * Runs once on the current state and returns the outputs; state updates stay on the device.
   * @throws TypeError when an input is missing or of another type.
   * @throws Error when the provider fails; state that is updated in place may then be partly new.
   */
  async run(
    inputs: Readonly<Record<string, HostValue>> = {},
    { transfer = false }: TransferOptions = {},
  ): Promise<Record<string, HostValue>> {
    const buffers = transfer ? ownBuffers(inputs) : [];
    const result = (await this.send("run", [detached(inputs)], buffers)) as RunResult;
    this.transfers.toDevice = result.bytesToDevice;
    this.transfers.fromDevice = result.bytesFromDevice;
    this.seconds = result.seconds;
    return { ...result.outputs };
  }

  /** The time of each node over all runs so far, longest first; ends the profile. */
  async endProfiling(): Promise<ProfileRow[]> {
    return (await this.send("endProfiling", [])) as ProfileRow[];
  }

  /** Frees the program's session; the state it used stays. The program can no longer run. */
  async release(): Promise<void> {
    await this.send("unload", []);
  }
}
