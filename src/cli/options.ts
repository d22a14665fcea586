/** @file Options that several commands share, and how their values are read. */

import { type Command, InvalidArgumentError, Option } from "commander";
import type { ProviderName } from "../runtime/index.js";

/** A whole number of at least `least`. */
export function wholeNumber(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isSafeInteger(value) || value < least) {
      throw new InvalidArgumentError(`expected a whole number from ${least}.`);
    }
    return value;
  };
}

/** A number above 0. */
export function positiveNumber(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) throw new InvalidArgumentError("expected a number above 0.");
  return value;
}

/** Collects a repeated option. */
export function collected(value: string, previous: readonly string[] = []): string[] {
  return [...previous, value];
}

export interface DeviceFlags {
  readonly device: ProviderName;
  readonly threads?: number;
}

/** `--device` and `--threads`. */
export function addDeviceOptions(command: Command): Command {
  return command
    .addOption(new Option("--device <name>", "where to compute").choices(["cpu", "webgpu"]).default("cpu"))
    .option("--threads <n>", "threads inside one operator (default: all cores)", wholeNumber(1));
}

/** `--split`: which part of a data set. */
export function addSplitOption(command: Command, description: string): Command {
  return command.option(
    "--split <name>",
    `${description}: train, val, test or trainval, where the data set has it`,
  );
}

/** `--json`. */
export function addJsonOption(command: Command): Command {
  return command.option("--json", "print the result as one JSON object on the last line of stdout", false);
}
