/** @file What every command prints: one JSON object on the last line of stdout, or text; errors and progress on stderr. */

import { accessSync, constants, statSync } from "node:fs";
import { dirname } from "node:path";
import { explainError } from "../files.js";
import { stderrColors } from "./colors.js";

/** Prints a command's result: the object as one JSON line, or the text for people. */
export function printResult(asJson: boolean, result: object, text: string): void {
  process.stdout.write(asJson ? `${JSON.stringify(result)}\n` : `${text}\n`);
}

/** Errors whose message says all that a user needs; others are bugs and show where they came from. */
const expected = new Set([
  "CheckpointError",
  "CommandError",
  "ConfigError",
  "DamagedCheckpointError",
  "DataError",
  "EncoderError",
  "EvaluationError",
  "FeatureFileError",
  "GraphError",
  "LockedError",
  "NonFiniteError",
  "NpyError",
  "ProviderError",
  "RunFolderError",
  "SafetensorsError",
  "TorchFileError",
]);

/** The command that was given, as it can be given again. */
export function commandLine(): string {
  return `inbetween ${process.argv.slice(2).join(" ")}`;
}

/** A command cannot do what it was asked; the message says what to do. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}

/** Prints an error as a user should see it. */
export function printError(error: unknown): void {
  const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
  const text = expected.has(name) ? message : (stack ?? message);
  process.stderr.write(`${stderrColors.red("error:")} ${text}\n`);
}

/** A warning on stderr. */
export function printWarning(message: string): void {
  process.stderr.write(`${stderrColors.yellow("warning:")} ${message}\n`);
}

/** @throws CommandError when no file can be written there, before anything is computed. */
export function checkOutputFile(out: string): void {
  const folder = dirname(out);
  try {
    accessSync(folder, constants.W_OK);
    if (!statSync(folder).isDirectory()) throw new Error(`${folder} is a file`);
  } catch (error) {
    throw new CommandError(
      `--out ${out} cannot be written, because of its folder ${folder}: ${explainError(error)}; ` +
        "make the folder, or choose another",
      { cause: error },
    );
  }
  if (statSync(out, { throwIfNoEntry: false })?.isDirectory()) {
    throw new CommandError(`--out ${out} is a folder; give the name of a file`);
  }
}
