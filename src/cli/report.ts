/** @file `inbetween report`: one HTML file of a run, or of several compared. */

import { statSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { explainError, systemErrorCode } from "../files.js";
import { addJsonOption } from "./options.js";
import { CommandError, printResult } from "./output.js";

interface ReportFlags {
  readonly out?: string;
  readonly json: boolean;
}

export function addReport(program: Command): void {
  const command = program
    .command("report")
    .description(
      "Write the report of a run, or of several compared: curves, pictures, tables beside the paper's, configuration, " +
        "in one HTML file that loads nothing.",
    )
    .argument("<run...>", "run folders")
    .option("--out <file.html>", "file to write (default: report/report.html in a single run's folder)");
  addJsonOption(command).addHelpText(
    "after",
    `
Examples:
  inbetween report runs/photos
  inbetween report runs/vicreg runs/inbetween --out comparison.html`,
  );
  command.action(async (runs: readonly string[], { out, json }: ReportFlags) => {
    const file = out ?? defaultFile(runs);
    if (!/\.html?$/i.test(file)) {
      throw new CommandError(`--out ${file}: the report is a web page; give a name that ends in .html`);
    }
    const report = await write(runs, file);
    printResult(json, { report, runs }, report);
  });
}

function defaultFile(runs: readonly string[]): string {
  const [run] = runs;
  if (runs.length === 1 && run !== undefined) return join(run, "report", "report.html");
  throw new CommandError(
    `a report of ${runs.length} runs belongs to none of them; name its file with --out FILE.html`,
  );
}

async function write(runs: readonly string[], file: string): Promise<string> {
  for (const run of runs) {
    if (!statSync(run, { throwIfNoEntry: false })?.isDirectory()) {
      throw new CommandError(
        `${run} is no folder; name the folder that was given to --out of \`inbetween pretrain\``,
      );
    }
  }
  // Charts take a while to load, which the other commands need not wait for.
  const { readRun, writeReport } = await import("../reports/index.js");
  const data = runs.map((run) => {
    try {
      return readRun(run);
    } catch (error) {
      throw new CommandError(explainError(error), { cause: error });
    }
  });
  try {
    return writeReport({ runs: data }, file);
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    throw new CommandError(`the report ${file} could not be written: ${explainError(error)}`, {
      cause: error,
    });
  }
}
