/** @file The worker thread in which sessions run, so that a run does not block the program's own thread. */

import { parentPort, workerData } from "node:worker_threads";
import { GpuResidency } from "./gpu-residency.js";
import { HostResidency } from "./host-residency.js";
import { type HostValue, ownBuffers } from "./host-value.js";
import { loadOrt, sessionOptions } from "./ort.js";
import { type Call, type Reply, STARTED, type WorkerSettings } from "./protocol.js";
import type { DeviceSettings } from "./providers.js";
import { SessionHost } from "./session-host.js";
import { ThreadLock } from "./thread-lock.js";

async function createHost(settings: DeviceSettings): Promise<SessionHost> {
  const ort = await loadOrt();
  const options = sessionOptions(settings);
  const residency = settings.provider === "cpu" ? new HostResidency(ort) : new GpuResidency(ort, options);
  return new SessionHost(ort, settings.provider, options, residency);
}

const toError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)));

const port = parentPort;
if (port) {
  const { lock: memory, ...settings } = workerData as WorkerSettings;
  const lock = memory && new ThreadLock(memory);
  const host = createHost(settings);
  const answer = async ({ id, method, args }: Call): Promise<void> => {
    try {
      const methods = (await host) as unknown as Record<
        Call["method"],
        (...args: readonly unknown[]) => unknown
      >;
      const work = async () => methods[method](...args);
      const result = await (lock ? lock.hold(work) : work());
      // State that is read is a copy made for the reply: it is handed over, not copied again.
      const values = method === "getState" ? ownBuffers(result as Record<string, HostValue>) : [];
      port.postMessage({ id, result } satisfies Reply, values);
    } catch (error) {
      port.postMessage({ id, error: toError(error) } satisfies Reply);
    }
  };
  host.then(
    () => port.postMessage({ id: STARTED } satisfies Reply),
    (error: unknown) => port.postMessage({ id: STARTED, error: toError(error) } satisfies Reply),
  );
  // Calls run one after another, in the order in which they came.
  let last: Promise<void> = Promise.resolve();
  port.on("message", (call: Call) => {
    last = last.then(() => answer(call));
  });
}
