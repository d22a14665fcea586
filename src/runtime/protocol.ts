/** @file The messages between a device and its worker. */

import type { DeviceSettings } from "./providers.js";

/** What a worker is started with. */
export interface WorkerSettings extends DeviceSettings {
  /** Memory of the lock that is held during each call: some providers are not safe for use from two threads. */
  readonly lock: SharedArrayBuffer | undefined;
}

/** A call of one of the session host's methods. */
export interface Call {
  readonly id: number;
  readonly method: "load" | "run" | "endProfiling" | "unload" | "setState" | "getState" | "release";
  readonly args: readonly unknown[];
}

export interface Reply {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: Error;
}

/** The id of the reply that says whether the provider started. */
export const STARTED = -1;
