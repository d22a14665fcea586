/** @file What `compare` and `report --compare` share: runs and encoders read, grouped, and written as a page. */

import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { explainError, systemErrorCode } from "../files.js";
import type { Comparison, RunData } from "../reports/index.js";
import { describeEncoder } from "../weights/index.js";
import { architectureText } from "./load-encoder.js";
import { CommandError } from "./output.js";

/** Charts take a while to load, which the other commands need not wait for. */
export const loadReports = () => import("../reports/index.js");

export function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** Runs have a `config.json` too; weights lie in an encoder's folder alone. */
export function isEncoderFolder(folder: string): boolean {
  return existsSync(join(folder, "config.json")) && existsSync(join(folder, "model.safetensors"));
}

/** True of a folder that a run or an encoder may be in. */
export function isRunOrEncoder(folder: string): boolean {
  return isFolder(folder) && existsSync(join(folder, "config.json"));
}

/**
 * What a run or an encoder left behind, its evaluations above all.
 * @throws CommandError when the folder is neither, or a file in it is damaged.
 */
export async function readRunOrEncoder(folder: string): Promise<RunData> {
  const { readEncoderRecords, readRun } = await loadReports();
  if (!isFolder(folder)) {
    throw new CommandError(
      `${folder} is no folder; name the folder that was given to --out of \`inbetween pretrain\`, \`export\` or \`import\``,
    );
  }
  if (!isRunOrEncoder(folder)) {
    throw new CommandError(
      `${folder} is neither a run nor an encoder: expected config.json in it, and of an encoder model.safetensors beside that`,
    );
  }
  try {
    if (!isEncoderFolder(folder)) return readRun(folder);
    const encoder = await describeEncoder(folder);
    const { steps, seed } = encoder.origin ?? {};
    return readEncoderRecords(folder, {
      method: encoder.label,
      model: { name: architectureText(encoder) },
      ...(steps === undefined ? {} : { steps }),
      ...(seed === undefined ? {} : { seed }),
    });
  } catch (error) {
    throw new CommandError(explainError(error), { cause: error });
  }
}

/** @throws CommandError naming the groups when `baseline` is none of them. */
export async function comparisonOf(
  runs: readonly RunData[],
  baseline: string | undefined,
): Promise<Comparison> {
  const { compareRuns, findGroup } = await loadReports();
  const comparison = compareRuns(runs);
  try {
    findGroup(comparison, baseline);
  } catch (error) {
    throw new CommandError(`--baseline: ${explainError(error)}`, { cause: error });
  }
  return comparison;
}

/** Writes the page of a comparison; returns its absolute path. */
export async function writePageOf(
  comparison: Comparison,
  file: string,
  baseline: string | undefined,
): Promise<string> {
  const { writeComparison } = await loadReports();
  return written(file, "comparison", () =>
    writeComparison(comparison, file, baseline === undefined ? {} : { baseline }),
  );
}

/** @throws CommandError when a page's name does not end as one's does. */
export function checkPageName(file: string): void {
  if (/\.html?$/i.test(file)) return;
  throw new CommandError(`--out ${file}: it is a web page; give a name that ends in .html`);
}

/** @throws CommandError when the system refuses to write the file. */
export function written(file: string, what: string, write: () => string): string {
  try {
    return write();
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    throw new CommandError(`the ${what} ${file} could not be written: ${explainError(error)}`, {
      cause: error,
    });
  }
}
