/** @file The execution providers, and what each can lower. */

import { availableParallelism } from "node:os";
import type { Target } from "../graph/index.js";

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

/** All providers, the one that always starts first. */
export const providerNames = Object.keys(targets) as ProviderName[];

/** A provider could not start on this machine. */
export class ProviderError extends Error {
  override readonly name = "ProviderError";
}

export function defaultThreads(): number {
  return availableParallelism();
}
