/**
 * @file The conformance suite: small functions over all operators, forward and backward, and a short training. Run on
 * two providers, it tells whether one computes what the other does. `bench/conformance.mjs` runs it from a shell.
 */

import type { Device } from "../device.js";
import type { ConformanceCase } from "./case.js";
import { elementwiseCases } from "./elementwise-cases.js";
import { imageCases } from "./image-cases.js";
import { indexCases } from "./index-cases.js";
import { differences, type Results, runCase } from "./run.js";
import { tensorCases } from "./tensor-cases.js";
import { trainThreeSteps } from "./training.js";

export type { ConformanceCase, Operators } from "./case.js";
export { differences, programOf, type Results, runCase, TOLERANCE } from "./run.js";
export { trainThreeSteps } from "./training.js";

export const conformanceCases: readonly ConformanceCase[] = [
  ...elementwiseCases,
  ...tensorCases,
  ...indexCases,
  ...imageCases,
];

/** Cases that a provider cannot run, with the reason. The only place where this is said. */
export const unsupported: Readonly<Record<Device["settings"]["provider"], Readonly<Record<string, string>>>> =
  {
    cpu: {},
    webgpu: {
      maxPool2d: "WebGPU's MaxPool tells no positions, which the gradient needs",
      "maxPool2d, overlapping": "WebGPU's MaxPool tells no positions, which the gradient needs",
    },
  };

export interface ConformanceResult {
  readonly name: string;
  /** `skipped`: named in `unsupported`. */
  readonly outcome: "agrees" | "differs" | "fails" | "skipped";
  /** What differs, the error, or the reason for skipping. */
  readonly detail: string;
}

/** Runs each case on both devices and compares: `reference` computes exactly what was traced, `device` as usual. */
export async function* checkConformance(
  device: Device,
  reference: Device,
): AsyncGenerator<ConformanceResult> {
  for (const item of conformanceCases) {
    const reason = unsupported[device.settings.provider][item.name];
    if (reason !== undefined) yield { name: item.name, outcome: "skipped", detail: reason };
    else
      yield await compare(
        item.name,
        runCase(device, item),
        runCase(reference, item, { exact: true }),
        item.tolerance,
      );
  }
  yield await compare("three steps of a transformer", trainThreeSteps(device), trainThreeSteps(reference));
}

async function compare(
  name: string,
  found: Promise<Results>,
  expected: Promise<Results>,
  tolerance?: number,
): Promise<ConformanceResult> {
  const [result, reference] = await Promise.allSettled([found, expected]);
  for (const settled of [result, reference]) {
    if (settled.status === "rejected")
      return { name, outcome: "fails", detail: (settled.reason as Error).message };
  }
  const different = differences(
    (result as PromiseFulfilledResult<Results>).value,
    (reference as PromiseFulfilledResult<Results>).value,
    tolerance,
  );
  return { name, outcome: different.length === 0 ? "agrees" : "differs", detail: different.join("; ") };
}
