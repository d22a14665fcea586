/** @file `inbetween sweep`: a grid of runs, one process after another; what is done is skipped, what was cut off resumed. */

import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import type { Command } from "commander";
import { writeFileAtomic } from "../files.js";
import { terminalTable } from "../reports/index.js";
import { addDeviceOptions, addJsonOption, type DeviceFlags, wholeNumber } from "./options.js";
import { CommandError, printResult } from "./output.js";
import { type Cell, loadSweep, overridesOf, type Sweep } from "./sweep/grid.js";

interface SweepFlags extends DeviceFlags {
  readonly jobs: number;
  readonly dryRun: boolean;
  readonly json: boolean;
}

/** How far a run of the grid is. */
interface Row {
  readonly name: string;
  readonly run: string;
  readonly recipe: string;
  readonly data: string;
  readonly values: Readonly<Record<string, unknown>>;
  readonly status: "waiting" | "done" | "failed" | "interrupted";
  readonly step?: number;
  readonly loss?: Readonly<Record<string, number>>;
  /** What it was evaluated on, and by how many probes. */
  readonly evaluated?: Sweep["evaluate"];
}

/** Kept in the sweep's folder. */
export const SWEEP_FILE = "sweep.json";

export function addSweep(program: Command): void {
  const command = program
    .command("sweep")
    .description(
      "Pretrain every run of a grid, each in a process of its own, and evaluate it. Begun again, it goes on where it " +
        "stopped.",
    )
    .argument("<file>", "YAML file: recipe, data, out, grid (see the example)")
    .option("--dry-run", "list the runs and stop", false)
    .option("--jobs <n>", "runs at once: small models gain from two with --threads 1", wholeNumber(1), 1);
  addJsonOption(addDeviceOptions(command)).addHelpText(
    "after",
    `
A sweep file:
  recipe: small/inbetween-vicreg
  data: ./cifar10/train
  out: runs/lambda
  evaluate:
    data: ./cifar10/test
    repeats: 3
    knn: { train: ./cifar10/train, test: ./cifar10/test }
  set: { steps: 500 }                # for all runs
  grid:                              # every combination
    method.lambda: [0.1, 1, 5]
    method.equivariantDim: [48, 96]
    seed: [0, 1]
  also:                              # further runs: a baseline
    - { recipe: small/vicreg, grid: { seed: [0, 1] } }

Examples:
  inbetween sweep lambda.yaml --dry-run
  inbetween sweep lambda.yaml
  inbetween sweep lambda.yaml --jobs 2 --threads 1
  inbetween compare runs/lambda/*`,
  );
  command.action(async (file: string, flags: SweepFlags) => {
    const sweep = loadSweep(file);
    const rows = new Map<string, Row>(sweep.cells.map((cell) => [cell.name, waiting(cell, sweep)]));
    if (!flags.dryRun) await runAll(sweep, rows, flags);
    const list = [...rows.values()];
    const failed = list.filter(({ status }) => status === "failed").length;
    const text = terminalTable(
      ["Run", "Status", "Steps", "Loss"],
      list.map(({ name, status, step, loss }) => [
        name,
        status,
        step === undefined ? "" : `${step}`,
        loss?.total === undefined ? "" : loss.total.toPrecision(4),
      ]),
    );
    printResult(flags.json, { out: sweep.out, runs: list }, text);
    if (failed > 0)
      throw new CommandError(`${failed} of ${list.length} runs failed; begin again to try them once more`);
    if (list.some(({ status }) => status === "interrupted")) process.exitCode = 130;
  });
}

function waiting({ name, run, recipe, values }: Cell, { data }: Sweep): Row {
  return { name, run, recipe, data, values, status: "waiting" };
}

async function runAll(sweep: Sweep, rows: Map<string, Row>, flags: SweepFlags): Promise<void> {
  mkdirSync(sweep.out, { recursive: true });
  const file = join(sweep.out, SWEEP_FILE);
  const done = finishedRuns(file, [...rows.values()]);
  const keep = (row: Row): void => {
    rows.set(row.name, row);
    writeFileAtomic(file, `${JSON.stringify({ runs: [...rows.values()] }, null, 2)}\n`);
  };
  const left = [...sweep.cells.entries()];
  let isStopped = false;
  const work = async (): Promise<void> => {
    for (let next = left.shift(); next && !isStopped; next = left.shift()) {
      const [i, cell] = next;
      const before = done.get(cell.name);
      process.stderr.write(`[${i + 1}/${sweep.cells.length}] ${cell.name}${before ? ": done before" : ""}\n`);
      const row = before ?? (await pretrainCell(cell, sweep, flags));
      keep(row);
      isStopped ||= row.status === "interrupted";
      if (row.status !== "done" || !sweep.evaluate) continue;
      if (JSON.stringify(row.evaluated) === JSON.stringify(sweep.evaluate)) continue;
      const isEvaluated = await evaluateCell(cell, sweep.evaluate, flags);
      keep(isEvaluated ? { ...row, evaluated: sweep.evaluate } : { ...row, status: "failed" });
    }
  };
  await Promise.all(Array.from({ length: flags.jobs }, work));
}

/**
 * Runs that an earlier call finished; a run whose folder is gone is made again.
 * @throws CommandError when a finished run's recipe, data or values are not those that the sweep asks for now.
 */
function finishedRuns(file: string, wanted: readonly Row[]): Map<string, Row> {
  if (!existsSync(file)) return new Map();
  const { runs } = JSON.parse(readFileSync(file, "utf8")) as { runs: Row[] };
  const isSame = (a: Row, b: Row) =>
    a.recipe === b.recipe && a.data === b.data && JSON.stringify(a.values) === JSON.stringify(b.values);
  for (const row of wanted) {
    const known = runs.find(({ name, status }) => name === row.name && status !== "waiting");
    if (!known || isSame(known, row) || !existsSync(join(known.run, "config.json"))) continue;
    throw new CommandError(
      `${known.run} was made with another recipe, data or values than the sweep now has; give the sweep another "out", ` +
        "or remove that folder",
    );
  }
  const finished = runs.filter(
    ({ status, run }) => status !== "waiting" && existsSync(join(run, "config.json")),
  );
  return new Map(finished.filter(({ status }) => status === "done").map((row) => [row.name, row]));
}

async function pretrainCell(cell: Cell, sweep: Sweep, flags: SweepFlags): Promise<Row> {
  const { set = [], ...flagged } = overridesOf(cell.values);
  const begun = existsSync(join(cell.run, "config.json"));
  const { code, result } = await inbetween(
    [
      ...["pretrain", sweep.data, "--out", cell.run, "--recipe", cell.recipe],
      ...Object.entries(flagged).flatMap(([key, value]) =>
        value === undefined ? [] : [`--${key}`, `${value}`],
      ),
      ...set.flatMap((assignment) => ["--set", assignment]),
      ...(begun ? ["--resume"] : []),
      ...deviceArguments(flags),
    ],
    cell.run,
    flags,
  );
  const { step, loss } = result as Pick<Row, "step" | "loss">;
  const status = code === 0 ? "done" : code === 130 ? "interrupted" : "failed";
  return {
    ...waiting(cell, sweep),
    status,
    ...(step === undefined ? {} : { step }),
    ...(loss === undefined ? {} : { loss }),
  };
}

/** Evaluates a run; true unless that failed. */
async function evaluateCell(
  { run }: Cell,
  { data, split, repeats, hidden, knn }: NonNullable<Sweep["evaluate"]>,
  flags: SweepFlags,
): Promise<boolean> {
  const commands = [
    [
      ...["transformations", "--data", data, "--repeats", `${repeats}`],
      ...(split === undefined ? [] : ["--split", split]),
      ...(hidden === undefined ? [] : ["--hidden", `${hidden}`]),
    ],
    ...(knn ? [["knn", "--train", knn.train, ...(knn.test === undefined ? [] : ["--test", knn.test])]] : []),
  ];
  for (const args of commands) {
    const { code } = await inbetween(
      [...["evaluate", ...args, "--run", run, "--no-baseline"], ...deviceArguments(flags)],
      run,
      flags,
    );
    if (code !== 0) return false;
  }
  return true;
}

function deviceArguments({ device, threads }: DeviceFlags): string[] {
  return ["--device", device, ...(threads === undefined ? [] : ["--threads", `${threads}`])];
}

/** Another command of this program in a process of its own: its memory goes with it. */
function inbetween(
  args: readonly string[],
  run: string,
  { jobs }: SweepFlags,
): Promise<{ code: number; result: object }> {
  const [, launcher] = process.argv;
  if (launcher === undefined) throw new Error("internal: the program does not know its own file");
  const child = spawn(process.execPath, [launcher, ...args, "--json"], {
    stdio: ["ignore", "pipe", jobs > 1 ? "pipe" : "inherit"],
  });
  // Several runs share the terminal: each line says whose it is.
  if (child.stderr) {
    createInterface(child.stderr).on("line", (line) => process.stderr.write(`${basename(run)}: ${line}\n`));
  }
  let stdout = "";
  child.stdout?.on("data", (chunk: Buffer) => {
    stdout += chunk;
  });
  // Ctrl-C reaches the child too, which stops with a checkpoint: wait for it.
  const ignore = () => undefined;
  process.on("SIGINT", ignore);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => {
      process.off("SIGINT", ignore);
      const last = stdout.trimEnd().split("\n").at(-1) ?? "";
      resolve({
        code: signal === "SIGINT" ? 130 : (code ?? 1),
        result: last === "" ? {} : (JSON.parse(last) as object),
      });
    });
  });
}
