/** @file The execution providers: what each can lower, how its sessions and state are made. */

import { availableParallelism } from "node:os";
import type * as Ort from "onnxruntime-node";
import type { Target } from "../graph/index.js";
import { HostResidency } from "./residency.js";
import { SessionHost } from "./session-host.js";

export type ProviderName = "cpu" | "webgpu";

export interface DeviceSettings {
  readonly provider: ProviderName;
  /** Threads inside one operator (CPU). */
  readonly threads: number;
}

export const targets: Readonly<Record<ProviderName, Target>> = {
  cpu: { provider: "cpu", contrib: true },
  webgpu: { provider: "webgpu", contrib: false },
};

/** A provider could not start on this machine. */
export class ProviderError extends Error {
  override readonly name = "ProviderError";
}

export function defaultThreads(): number {
  return availableParallelism();
}

/** Loads ONNX Runtime and prepares a provider. @throws ProviderError with what is missing. */
export async function createSessionHost({ provider, threads }: DeviceSettings): Promise<SessionHost> {
  const ort = await import("onnxruntime-node").then(
    (module) => module as unknown as typeof Ort,
    (cause: Error) => {
      throw new ProviderError(
        `onnxruntime-node could not be loaded on ${process.platform}/${process.arch}: ${cause.message}. ` +
          "Install it with `npm install onnxruntime-node --ignore-scripts`.",
      );
    },
  );
  return new SessionHost(ort, { executionProviders: [provider], threads }, new HostResidency(ort));
}
