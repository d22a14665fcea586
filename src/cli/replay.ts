/** @file `inbetween replay`: runs a step again whose loss or gradient was not finite, and finds where that began. */

import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import type { Command } from "commander";
import type { Method } from "../methods/index.js";
import { mapValues } from "../records.js";
import { Device, type HostValue } from "../runtime/index.js";
import {
  buildMethod,
  describeNonFinite,
  divided,
  GradientStep,
  gradientProgram,
  hasBatchDraws,
  joinedInputTypes,
  parseConfig,
  type RunConfig,
  readDump,
  readRunRecord,
  readTypes,
  type StepInputs,
} from "../training/index.js";
import { addDeviceOptions, addJsonOption, type DeviceFlags } from "./options.js";
import { CommandError, printResult } from "./output.js";
import { findNonFinite, type NonFinite, type Range, rangeOf } from "./replay/non-finite.js";

interface ReplayFlags extends DeviceFlags {
  readonly json: boolean;
}

export function addReplay(program: Command): void {
  const command = program
    .command("replay")
    .description(
      "Run a step again that stopped a pretraining because its loss or gradient was NaN or infinite: which parts of the " +
        "loss, and the first operation whose result is not finite.",
    )
    .argument("<dump>", "folder of the step, as the error named it: RUN/dumps/step-…");
  addJsonOption(addDeviceOptions(command)).addHelpText(
    "after",
    `
Examples:
  inbetween replay runs/photos/dumps/step-00000120
  inbetween replay runs/photos/dumps/step-00000120 --json`,
  );
  command.action(async (dump: string, flags: ReplayFlags) => {
    const { device: provider, threads } = flags;
    const { method, config, inputs, state } = await loadStep(dump);
    await using device = await Device.open({ provider, ...(threads === undefined ? {} : { threads }) });
    await device.setState(state);
    const step = await GradientStep.compile(device, method, config.batchSize, config.accumulate);
    const gradients = await step.run(inputs);
    const what = describeNonFinite(gradients);
    const notFinite = [...Object.entries(inputs), ...Object.entries(state)]
      .map(([name, value]) => rangeOf(name, value))
      .filter(({ nan, infinite }) => nan + infinite > 0);
    // The step may have changed what the method carries from step to step.
    await device.setState(state);
    const found = await findInStep(device, method, config, inputs);
    // JSON has no NaN.
    const losses = mapValues(gradients.losses, (loss) => (Number.isFinite(loss) ? loss : String(loss)));
    printResult(flags.json, { dump, what, losses, notFinite, ...found }, asText(what, notFinite, found));
  });
}

/**
 * Looks for the first node in the whole batch's graph; where a micro-batch has draws of its own (masks), in the graph of
 * one micro-batch after the other.
 */
async function findInStep(
  device: Device,
  method: Method,
  { batchSize, accumulate }: RunConfig,
  inputs: StepInputs,
): Promise<NonFinite> {
  const parts = hasBatchDraws(method) ? accumulate : 1;
  const program = gradientProgram(method, batchSize / parts);
  let found: NonFinite | undefined;
  for (const part of divided(inputs, parts)) {
    found = await findNonFinite(device, program, part);
    if (found.first) return found;
  }
  if (!found) throw new Error("internal: a step of no micro-batch");
  return found;
}

/** Reads a dump and the configuration of the run that it lies in. @throws CommandError when it is no dump of the run. */
async function loadStep(dump: string) {
  if (!existsSync(join(dump, "inputs.safetensors"))) {
    throw new CommandError(
      `${dump} holds no step: it has no inputs.safetensors; give the folder that the error named, RUN/dumps/step-…`,
    );
  }
  const run = dirname(dirname(resolve(dump)));
  const config = parseConfig(readRunRecord(run).config, join(run, "config.json"));
  const { method } = buildMethod(config);
  const { inputs, state } = await readDump(dump);
  for (const [types, values] of [
    [joinedInputTypes(method, config.batchSize, config.accumulate), inputs],
    [readTypes(method), state],
  ] as const) {
    for (const [name, { dtype, shape }] of Object.entries(types)) {
      const value = values[name];
      if (value?.dtype === dtype && value.shape.join() === shape.join()) continue;
      const got = value ? `${value.dtype}[${value.shape.join(", ")}]` : "nothing";
      throw new CommandError(
        `${dump} is of another configuration than ${run}/config.json: "${name}" is ${dtype}[${shape.join(", ")}] ` +
          `there, the step has ${got}; put the run's own config.json back`,
      );
    }
  }
  const needed = Object.keys(readTypes(method)).map((name): [string, HostValue] => [
    name,
    state[name] as HostValue,
  ]);
  return { config, method, inputs, state: Object.fromEntries(needed) };
}

function asText(what: string, notFinite: readonly Range[], { first, sources, affected }: NonFinite): string {
  const lines = [what];
  if (notFinite.length > 0) {
    lines.push("Not finite before the step began:", ...notFinite.map((range) => `  ${showRange(range)}`));
  }
  if (first) {
    const more = sources > 1 ? `, the first of ${sources} that do so` : "";
    lines.push(
      `The operation "${first.operator}" makes it of finite numbers${more}, near ${first.near.join(", ")}:`,
      ...first.inputs.map((range) => `  input   ${showRange(range)}`),
      `  result  ${showRange(first.output)}`,
      `${affected} results are not finite in all.`,
    );
  } else if (notFinite.length === 0) {
    lines.push(
      affected === 0
        ? "Every operation gives finite numbers this time: the cause is not in the numbers but in how they were computed. " +
            "Try the device and the threads of the run."
        : "No operation makes it of finite numbers.",
    );
  }
  return lines.join("\n");
}

function showRange({ source, shape, min, max, nan, infinite }: Range): string {
  const number = (value: number) => value.toPrecision(4);
  const range =
    min === undefined || max === undefined ? "nothing finite" : `${number(min)} to ${number(max)}`;
  const bad = [nan > 0 ? `${nan} NaN` : "", infinite > 0 ? `${infinite} infinite` : ""].filter(
    (text) => text !== "",
  );
  return `${source} [${shape.join(", ")}]: ${[range, ...bad].join(", ")}`;
}
