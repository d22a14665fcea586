/** @file A step whose loss or gradient is not finite: kept with everything needed to run it again. */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomic } from "../files.js";
import { mapValues } from "../records.js";
import type { Device, HostValue } from "../runtime/index.js";
import { type HostTensor, openSafetensors, writeSafetensors } from "../weights/index.js";
import type { Gradients } from "./step.js";
import type { StepInputs } from "./step-inputs.js";

/** The loss or a gradient of a step is NaN or infinite; the parameters were not updated. */
export class NonFiniteError extends Error {
  override readonly name = "NonFiniteError";

  constructor(
    /** Counted from 0. */
    readonly step: number,
    readonly gradients: Gradients,
    readonly inputs: StepInputs,
  ) {
    super(
      `step ${step + 1}: ${describeNonFinite(gradients)}; the parameters were left as they were before it`,
    );
  }
}

/** Which parts are not finite, in words. */
export function describeNonFinite({ losses, norms }: Gradients): string {
  const bad = (record: Readonly<Record<string, number>>) =>
    Object.entries(record).filter(([, value]) => !Number.isFinite(value));
  const ofLoss = bad(losses).map(([name, value]) => `${name} = ${value}`);
  const ofGradient = bad(norms).map(([name]) => name);
  const parts = [
    ofLoss.length > 0 ? `loss ${ofLoss.join(", ")}` : "",
    ofGradient.length > 0
      ? `gradient of ${ofGradient.slice(0, 3).join(", ")}${ofGradient.length > 3 ? ` and ${ofGradient.length - 3} more` : ""} is not finite`
      : "",
  ].filter((part) => part !== "");
  return parts.length === 0 ? "all finite" : parts.join("; ");
}

const INPUTS_FILE = "inputs.safetensors";
const STATE_FILE = "state.safetensors";

/** Writes a step's inputs and the state before it into `folder`/step-…; returns the dump's path. */
export async function writeDump(
  folder: string,
  { step, gradients, inputs }: NonFiniteError,
  device: Device,
  stateNames: readonly string[],
): Promise<string> {
  const path = join(folder, `step-${String(step + 1).padStart(8, "0")}`);
  mkdirSync(path, { recursive: true });
  await writeSafetensors(
    join(path, INPUTS_FILE),
    new Map(Object.entries(inputs as Record<string, HostTensor>)),
  );
  const state = (await device.getState(stateNames)) as Record<string, HostTensor>;
  await writeSafetensors(join(path, STATE_FILE), new Map(Object.entries(state)));
  const what = { step, what: describeNonFinite(gradients), losses: mapValues(gradients.losses, String) };
  writeFileAtomic(join(path, "dump.json"), `${JSON.stringify(what, null, 2)}\n`);
  return path;
}

/** Reads a dump back. @throws SafetensorsError when a file is missing or damaged. */
export async function readDump(
  path: string,
): Promise<{ inputs: Record<string, HostValue>; state: Record<string, HostValue> }> {
  return { inputs: await readAll(join(path, INPUTS_FILE)), state: await readAll(join(path, STATE_FILE)) };
}

async function readAll(path: string): Promise<Record<string, HostValue>> {
  await using file = await openSafetensors(path);
  return Object.fromEntries(await file.readAll()) as Record<string, HostValue>;
}
