/** @file Loads ONNX Runtime, and the session options that every session of a provider shares. */

import type * as Ort from "onnxruntime-node";
import { type DeviceSettings, ProviderError } from "./providers.js";

export type OrtModule = typeof Ort;

/** @throws ProviderError when its native library cannot be loaded. */
export async function loadOrt(): Promise<OrtModule> {
  try {
    return (await import("onnxruntime-node")) as unknown as OrtModule;
  } catch (cause) {
    throw new ProviderError(
      `onnxruntime-node could not be loaded on ${process.platform}/${process.arch}: ${(cause as Error).message}. ` +
        "Install it with `npm install onnxruntime-node --ignore-scripts`.",
      { cause },
    );
  }
}

export function sessionOptions({ provider, threads }: DeviceSettings): Ort.InferenceSession.SessionOptions {
  return {
    executionProviders: [provider],
    intraOpNumThreads: threads,
    graphOptimizationLevel: "all",
    logSeverityLevel: 3,
    // Planning one block for a whole step keeps every value's place for the whole step: without it a training
    // graph's peak is about a third lower, at the same speed.
    enableMemPattern: false,
    extra: {
      session: {
        // Values below 1e-38 are exact zeros: they arise in softmax and second moments and compute slowly.
        set_denormal_as_zero: "1",
        // Between runs the threads sleep, so that the loader has the cores.
        force_spinning_stop: "1",
      },
    },
  };
}
