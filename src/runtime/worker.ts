/** @file The worker thread in which sessions run, so that a run does not block the program's own thread. */

import { parentPort, workerData } from "node:worker_threads";
import { createSessionHost, type DeviceSettings } from "./providers.js";
import type { SessionHost } from "./session-host.js";

/** A call of one of the host's methods. */
export interface Call {
  readonly id: number;
  readonly method: "load" | "run" | "endProfiling" | "setState" | "getState" | "release";
  readonly args: readonly unknown[];
}

export interface Reply {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: Error;
}

const port = parentPort;
if (port) {
  const host: Promise<SessionHost> = createSessionHost(workerData as DeviceSettings);
  host.then(
    () => port.postMessage({ id: -1 } satisfies Reply),
    (error: Error) => port.postMessage({ id: -1, error } satisfies Reply),
  );
  // Calls run one after another, in the order in which they came.
  let last: Promise<void> = Promise.resolve();
  port.on("message", (call: Call) => {
    last = last.then(() => answer(call));
  });
  const answer = async ({ id, method, args }: Call): Promise<void> => {
    try {
      const target = (await host) as unknown as Record<Call["method"], (...args: readonly unknown[]) => unknown>;
      const result = await target[method](...args);
      port.postMessage({ id, result } satisfies Reply);
    } catch (error) {
      port.postMessage({ id, error: error instanceof Error ? error : new Error(String(error)) } satisfies Reply);
    }
  };
}
