/** @file Options that several commands share, and how their values are read. */

import { type Command, InvalidArgumentError, Option } from "commander";
import type { ProviderName } from "../runtime/index.js";
import { ONNX_PRECISIONS, type OnnxPrecision } from "../weights/index.js";

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

/** `--onnx`: the models written beside an encoder's weights. @param initial Those written when it is not given. */
export function addOnnxOption(command: Command, initial: readonly OnnxPrecision[]): Command {
  const text = `ONNX models to write: ${ONNX_PRECISIONS.join(", ")} or "none"`;
  return command.option("--onnx <list>", text, precisions, [...initial]);
}

function precisions(text: string): OnnxPrecision[] {
  const names = text === "none" ? [] : text.split(",").map((name) => name.trim());
  const known = new Set<string>(ONNX_PRECISIONS);
  const wrong = names.find((name) => !known.has(name));
  if (wrong !== undefined) {
    throw new InvalidArgumentError(
      `"${wrong}" is none of ${ONNX_PRECISIONS.join(", ")}; separate several by commas, or say "none".`,
    );
  }
  return ONNX_PRECISIONS.filter((precision) => names.includes(precision));
}
