/** @file `inbetween compare`: runs side by side, those that differ by the seed alone as one. */

import { statSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { explainError, systemErrorCode } from "../files.js";
import { addJsonOption } from "./options.js";
import { CommandError, printResult } from "./output.js";

interface CompareFlags {
  readonly out?: string;
  readonly baseline?: string;
  readonly markdown: boolean;
  readonly json: boolean;
}

export function addCompare(program: Command): void {
  const command = program
    .command("compare")
    .description(
      "Runs side by side: a table with mean and deviation over seeds, bars against a baseline, scores over a setting. " +
        "Evaluate the runs first; a sweep does so.",
    )
    .argument("<run...>", "run folders")
    .option("--out <file.html>", "also write a page with charts")
    .option("--baseline <label>", "the setting that differences are taken to (default: the first)")
    .option("--markdown", "print the tables as Markdown", false);
  addJsonOption(command).addHelpText(
    "after",
    `
Examples:
  inbetween compare runs/vicreg-* runs/inbetween-*
  inbetween compare runs/lambda/* --baseline VICReg --out lambda.html`,
  );
  command.action(async (folders: readonly string[], { out, baseline, markdown, json }: CompareFlags) => {
    if (out !== undefined && !/\.html?$/i.test(out)) {
      throw new CommandError(`--out ${out}: the comparison is a web page; give a name that ends in .html`);
    }
    // Charts take a while to load, which the other commands need not wait for.
    const reports = await import("../reports/index.js");
    // A shell's `runs/*` names files of a sweep too.
    const runs = folders
      .filter((folder) => isFolder(folder))
      .map((folder) => readRunOf(folder, reports.readRun));
    if (runs.length === 0) throw new CommandError(`${folders.join(", ")}: no run folder among them`);
    const comparison = reports.compareRuns(runs);
    try {
      reports.findGroup(comparison, baseline);
    } catch (error) {
      throw new CommandError(`--baseline: ${explainError(error)}`, { cause: error });
    }
    const page =
      out === undefined
        ? undefined
        : write(
            () =>
              reports.writeComparison(comparison, out, { ...(baseline === undefined ? {} : { baseline }) }),
            out,
          );
    const result = {
      ...(page === undefined ? {} : { page }),
      groups: comparison.groups.map(({ label, settings, scores, knn, runs: own }) => {
        return { label, settings, runs: own.length, scores, ...(knn ? { knn } : {}) };
      }),
    };
    const tables = markdown ? reports.markdownComparison(comparison) : reports.terminalComparison(comparison);
    printResult(json, result, [tables, ...(page === undefined ? [] : [page])].join("\n\n"));
  });
}

function isFolder(path: string): boolean {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (!stats) throw new CommandError(`${path} does not exist; name run folders`);
  return stats.isDirectory() && statSync(join(path, "config.json"), { throwIfNoEntry: false }) !== undefined;
}

function readRunOf<Run>(folder: string, read: (folder: string) => Run): Run {
  try {
    return read(folder);
  } catch (error) {
    throw new CommandError(explainError(error), { cause: error });
  }
}

function write(run: () => string, file: string): string {
  try {
    return run();
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    throw new CommandError(`the comparison ${file} could not be written: ${explainError(error)}`, {
      cause: error,
    });
  }
}
