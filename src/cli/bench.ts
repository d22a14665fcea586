/** @file `inbetween bench step`: how fast whole training steps are, alone and against PyTorch. */

import { type Command, Option } from "commander";
import { defaultThreads } from "../runtime/index.js";
import { type BenchRow, bench, type PeerResult } from "./bench/compare.js";
import { type BenchMethod, benchMethods, defaultBatch, makeWorkload, namedModels } from "./bench/workload.js";
import { addDeviceOptions, addJsonOption, collected, type DeviceFlags, wholeNumber } from "./options.js";
import { CommandError, printResult } from "./output.js";

interface BenchFlags extends DeviceFlags {
  readonly model?: readonly string[];
  readonly batch?: number;
  readonly steps: number;
  readonly method: BenchMethod;
  readonly peer?: string;
  readonly json: boolean;
}

export function addBench(program: Command): void {
  const command = program
    .command("bench")
    .description("Measure the speed of this machine on this package's work.")
    .command("step")
    .description(
      "Whole training steps: forward, backward, AdamW; for the methods also augmentation. Each program runs in a " +
        "process of its own, so that its memory is its own, and takes turns with the others. Images are noise. " +
        "Let nothing else run meanwhile.",
    )
    .option(
      "--model <name>",
      `${Object.keys(namedModels).join(", ")}, or any vit-PRESET-PATCH@SIZE (repeatable; default: these three)`,
      collected,
    )
    .option("--batch <n>", "images a step (default: the model's)", wholeNumber(1))
    .option("--steps <n>", "timed steps of each program", wholeNumber(1), 10)
    .addOption(
      new Option("--method <name>", "a ViT's plain step, or a pretraining method's with the paper's heads")
        .choices([...benchMethods])
        .default("plain"),
    )
    .option("--peer <python>", "a Python with PyTorch: the same step there, eager and compiled, interleaved");
  addJsonOption(addDeviceOptions(command)).addHelpText(
    "after",
    `
Examples:
  inbetween bench step
  inbetween bench step --model quick --method inbetween
  inbetween bench step --model vit-small-16@224 --batch 8 --peer ~/venv/bin/python --json`,
  );
  command.action(async (flags: BenchFlags) => {
    const { model: models = Object.keys(namedModels), method, batch, device, threads, peer } = flags;
    if (peer !== undefined && device !== "cpu") {
      throw new CommandError(`--peer runs on the CPU, --device is ${device}: leave one of them out`);
    }
    const workloads = models.map((model) => ({ model, method, batch: batch ?? defaultBatch(model) }));
    // What cannot be built is said before anything is measured.
    for (const workload of workloads) makeWorkload(workload);
    const result = await bench(workloads, {
      steps: flags.steps,
      device: { provider: device, threads: threads ?? defaultThreads() },
      python: peer,
      report: (message) => process.stderr.write(`${message}\n`),
    });
    printResult(flags.json, result, await asText(result));
  });
}

async function asText({
  rows,
  peer,
}: {
  rows: readonly BenchRow[];
  peer: PeerResult | null;
}): Promise<string> {
  const { terminalTable } = await import("../reports/index.js");
  const lines = [
    ...rows.map((row) => ({
      ...row,
      program: "inbetween",
      gflops: row.gflops.toFixed(0),
      gemm: percent(row.gemmFraction),
    })),
    ...(peer?.rows ?? []).map((row) => ({
      ...row,
      program: `${row.peer} ${row.mode}`,
      gflops: "",
      gemm: "",
    })),
  ];
  const order = (name: string) => rows.findIndex((row) => row.name === name);
  const body = lines
    .sort((a, b) => order(a.name) - order(b.name))
    .map((line) => [
      `${line.name} ${line.method}`,
      line.program,
      String(line.batch),
      line.milliseconds.toFixed(1),
      line.imagesPerSecond.toFixed(1),
      line.gflops,
      line.gemm,
      line.peakMemoryMB.toFixed(0),
      line.stepPeakMemoryMB?.toFixed(0) ?? "",
    ]);
  const head = [
    "step",
    "program",
    "batch",
    "ms",
    "images/s",
    "GFLOP/s",
    "matrix products",
    "peak MiB",
    "of steps",
  ];
  const ratios = (peer?.ratios ?? []).map(
    ({ name, method, against, speed, memory }) =>
      `${name} ${method}: ${speed.toFixed(2)} times the speed of ${against}, ${memory.toFixed(2)} of its peak memory`,
  );
  return [terminalTable(head, body), ...ratios, ...(peer?.failures ?? [])].join("\n");
}

const percent = (fraction: number): string => `${(100 * fraction).toFixed(0)} %`;
