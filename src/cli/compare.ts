/** @file `inbetween compare`: runs and encoders side by side, runs that differ by the seed alone as one. */

import { existsSync } from "node:fs";
import type { Command } from "commander";
import {
  checkPageName,
  comparisonOf,
  isRunOrEncoder,
  loadReports,
  readRunOrEncoder,
  writePageOf,
} from "./comparison.js";
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
      "Runs and encoders side by side: a table with mean and deviation over seeds. Evaluate them first; a sweep does so. " +
        "With --out also the page of `report --compare`: the paper's tables, bars against a baseline, scores over a setting.",
    )
    .argument("<folder...>", "run or encoder folders")
    .option("--out <file.html>", "also write a page with charts")
    .option(
      "--baseline <name>",
      "the setting or folder that differences are taken to (default: of each Ours(X, …) its own X, else the first)",
    )
    .option("--markdown", "print the tables as Markdown", false);
  addJsonOption(command).addHelpText(
    "after",
    `
Examples:
  inbetween compare runs/vicreg-* runs/inbetween-*
  inbetween compare runs/lambda/* --baseline VICReg --out lambda.html`,
  );
  command.action(async (folders: readonly string[], { out, baseline, markdown, json }: CompareFlags) => {
    if (out !== undefined) checkPageName(out);
    const absent = folders.find((folder) => !existsSync(folder));
    if (absent !== undefined) throw new CommandError(`${absent} does not exist; name run or encoder folders`);
    // A shell's `runs/*` names files of a sweep too.
    const runs = await Promise.all(folders.filter(isRunOrEncoder).map(readRunOrEncoder));
    if (runs.length === 0) {
      throw new CommandError(`${folders.join(", ")}: no run or encoder folder among them`);
    }
    const { markdownComparison, terminalComparison } = await loadReports();
    const comparison = await comparisonOf(runs, baseline);
    const page = out === undefined ? undefined : await writePageOf(comparison, out, baseline);
    const result = {
      ...(page === undefined ? {} : { page }),
      groups: comparison.groups.map(({ label, settings, scores, knn, runs: own }) => {
        return { label, settings, runs: own.length, scores, ...(knn ? { knn } : {}) };
      }),
    };
    const tables = markdown ? markdownComparison(comparison) : terminalComparison(comparison);
    printResult(json, result, [tables, ...(page === undefined ? [] : [page])].join("\n\n"));
  });
}
