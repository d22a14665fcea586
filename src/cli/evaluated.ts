/** @file What all subcommands of `evaluate` share. */

import { type Encoder, randomEncoder } from "../evaluation/index.js";
import { explainError, systemErrorCode } from "../files.js";
import type { RecordOrigin } from "../reports/index.js";
import { architectureText } from "./load-encoder.js";
import { commandLine, printWarning } from "./output.js";

/** The same architecture with weights as they start: the row that every table shows first. */
export function baselineOf({ config, trained }: Encoder, seed: number): Encoder {
  return randomEncoder(config, seed, trained);
}

/** The seed of procedural images that no run has trained on: runs use small seeds. */
export function unseenSeed(seed: number): number {
  return 1_000_000 + seed;
}

/** What was asked to be evaluated: the folder that keeps the records; a recipe's random encoder has none. */
export interface RecordPlace {
  readonly run?: string | undefined;
  readonly encoder?: string | undefined;
}

/**
 * Keeps a record in the folder of the run or encoder that was evaluated, with how it came to be. Where that folder cannot
 * be written it is said so: the figures, which took long to compute, are still printed.
 */
export function keepRecord(
  { run, encoder: folder = run }: RecordPlace,
  encoder: Encoder,
  append: (folder: string, origin: RecordOrigin) => void,
): void {
  if (folder === undefined) return;
  const origin = {
    architecture: architectureText(encoder),
    command: commandLine(),
    writtenAt: new Date().toISOString(),
  };
  try {
    append(folder, origin);
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    printWarning(`the record could not be kept in ${folder}: ${explainError(error)}; save what is printed`);
  }
}

const PROGRESS_SECONDS = 5;

/** Lines on stderr, one per stage, and one every few seconds in which it got on. */
export function evaluationProgress(label: string): (text: string, fraction: number) => void {
  let [lastText, lastShown, time] = ["", "", 0];
  return (text, fraction) => {
    const shown = `${label}: ${text} (${Math.round(100 * fraction)} %)\n`;
    const isSoon = performance.now() - time < 1000 * PROGRESS_SECONDS;
    if (shown === lastShown || (text === lastText && isSoon)) return;
    [lastText, lastShown, time] = [text, shown, performance.now()];
    process.stderr.write(shown);
  };
}
