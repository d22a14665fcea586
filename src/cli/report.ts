/** @file `inbetween report`: one HTML file of a run, of several compared, or of encoders beside the paper's tables. */

import { join } from "node:path";
import type { Command } from "commander";
import { explainError } from "../files.js";
import type { RunData } from "../reports/index.js";
import {
  checkPageName,
  comparisonOf,
  isEncoderFolder,
  isFolder,
  loadReports,
  readRunOrEncoder,
  writePageOf,
  written,
} from "./comparison.js";
import { addJsonOption } from "./options.js";
import { CommandError, printResult } from "./output.js";

interface ReportFlags {
  readonly compare: boolean;
  readonly baseline?: string;
  readonly out?: string;
  readonly json: boolean;
}

export function addReport(program: Command): void {
  const command = program
    .command("report")
    .description(
      "Write the report of a run, or of several compared: curves, pictures, tables beside the paper's, configuration, " +
        "in one HTML file that loads nothing. With --compare, of runs and encoders: the paper's Tables 2, 3, 4 and 6 with " +
        "their rows beside the published ones, differences to a baseline, and the record of every figure.",
    )
    .argument("<run...>", "run folders; with --compare also folders of exported or imported encoders")
    .option("--compare", "make the tables of what `inbetween evaluate` measured", false)
    .option(
      "--baseline <name>",
      'with --compare: the method or folder that differences are taken to, or "random" (default: of each Ours(X, …) its own X, else the first)',
    )
    .option("--out <file.html>", "file to write (default: report/report.html in a single run's folder)");
  addJsonOption(command).addHelpText(
    "after",
    `
Examples:
  inbetween report runs/photos
  inbetween report runs/vicreg runs/inbetween --out comparison.html
  inbetween report --compare ./dino ./ibot runs/inbetween --baseline ./dino --out tables.html`,
  );
  command.action(async (runs: readonly string[], { compare, baseline, out, json }: ReportFlags) => {
    if (compare) return compared(runs, { baseline, out, json });
    if (baseline !== undefined) {
      throw new CommandError("--baseline is what --compare takes differences to; give both, or neither");
    }
    const file = out ?? defaultFile(runs);
    checkPageName(file);
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
    if (!isFolder(run)) {
      throw new CommandError(
        `${run} is no folder; name the folder that was given to --out of \`inbetween pretrain\``,
      );
    }
    if (isEncoderFolder(run)) {
      throw new CommandError(
        `${run} is an encoder, without the run that trained it; --compare makes tables of its evaluations`,
      );
    }
  }
  const { readRun, writeReport } = await loadReports();
  const data = runs.map((run) => {
    try {
      return readRun(run);
    } catch (error) {
      throw new CommandError(explainError(error), { cause: error });
    }
  });
  return written(file, "report", () => writeReport({ runs: data }, file));
}

async function compared(
  folders: readonly string[],
  {
    baseline,
    out,
    json,
  }: Pick<ReportFlags, "json"> & { baseline?: string | undefined; out?: string | undefined },
): Promise<void> {
  if (out === undefined) {
    throw new CommandError("a comparison belongs to none of its folders; name its file with --out FILE.html");
  }
  checkPageName(out);
  const runs = await Promise.all(folders.map(readRunOrEncoder));
  for (const run of runs) checkHasRecords(run);
  const { paperTables } = await loadReports();
  const comparison = await comparisonOf(runs, baseline);
  const page = await writePageOf(comparison, out, baseline);
  const tables = paperTables(comparison).tables.map(({ id, title, unit, columns, rows }) => ({
    id,
    title,
    unit,
    columns: Object.fromEntries(columns),
    rows: rows.map(({ label, detail, published, figures }) => ({
      label,
      detail,
      published,
      figures: Object.fromEntries(
        Object.entries(figures).map(([column, { value, std, text, note, from }]) => [
          column,
          { value, ...(Number.isFinite(std) ? { std } : {}), text, note, record: from?.id },
        ]),
      ),
    })),
  }));
  printResult(json, { page, tables }, page);
}

/** @throws CommandError with the commands that measure something, when nothing was. */
function checkHasRecords({ folder, isEncoder, evaluations, classifications }: RunData): void {
  if (evaluations.length + classifications.length > 0) return;
  const named = `${isEncoder ? "--encoder" : "--run"} ${folder}`;
  throw new CommandError(
    `${folder} has not been evaluated; first run one of\n` +
      `  inbetween evaluate transformations ${named} --data IMAGES\n` +
      `  inbetween evaluate linear ${named} --train IMAGES --test IMAGES\n` +
      `  inbetween evaluate knn ${named} --train IMAGES --test IMAGES`,
  );
}
