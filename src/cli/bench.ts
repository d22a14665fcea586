/** @file `inbetween bench step`: how fast whole training steps are, alone and against PyTorch. */

import { type Command, InvalidArgumentError, Option } from "commander";
import { defaultThreads } from "../runtime/index.js";
import { suggestion } from "../training/index.js";
import { type BenchResult, bench } from "./bench/compare.js";
import {
  type BenchMethod,
  benchMethods,
  defaultBatch,
  makeWorkload,
  namedModels,
  peerStep,
} from "./bench/workload.js";
import { addDeviceOptions, addJsonOption, collected, type DeviceFlags, wholeNumber } from "./options.js";
import { CommandError, printResult } from "./output.js";

interface BenchFlags extends DeviceFlags {
  readonly model?: readonly string[];
  readonly batch?: number;
  readonly steps: number;
  readonly method?: readonly BenchMethod[];
  readonly peer?: string;
  readonly compile: boolean;
  readonly json: boolean;
}

export function addBench(program: Command): void {
  const command = program
    .command("bench")
    .description("Measure the speed of this machine on this package's work.")
    .command("step")
    .description(
      "Whole training steps: forward, backward, AdamW, the teacher's average; for vicreg also augmentation. Each " +
        "program runs in a process of its own, so that its memory is its own, and takes turns with the others. " +
        "Images are noise. Let nothing else run meanwhile.",
    )
    .option(
      "--model <name>",
      `${Object.keys(namedModels).join(", ")}, or any vit-PRESET-PATCH@SIZE (repeatable; default: these three)`,
      collected,
    )
    .option("--batch <n>", "images a step (default: the model's; 4 with small crops)", wholeNumber(1))
    .option("--steps <n>", "timed steps of each program", wholeNumber(1), 10)
    .addOption(
      new Option(
        "--method <name>",
        "a ViT's plain step, or a pretraining method's with the paper's heads (repeatable: these take turns, and what " +
          "the in-between task adds to a method is printed where both are given; default: plain)",
      ).argParser(chosenMethods),
    )
    .option("--peer <python>", "a Python with PyTorch: the same step there, eager and compiled, interleaved")
    .option("--no-compile", "leave out the compiled peer: torch.compile takes minutes for a method's step");
  addJsonOption(addDeviceOptions(command)).addHelpText(
    "after",
    `
Examples:
  inbetween bench step
  inbetween bench step --model quick --method inbetween-vicreg
  inbetween bench step --model vit-small-16@224 --method ibot --method inbetween-ibot
  inbetween bench step --model vit-small-16@224 --batch 8 --peer ~/venv/bin/python --json`,
  );
  command.action(async (flags: BenchFlags) => {
    const { batch, device, threads, peer } = flags;
    const { model: models = Object.keys(namedModels), method: methods = ["plain"] } = flags;
    if (peer !== undefined && device !== "cpu") {
      throw new CommandError(`--peer runs on the CPU, --device is ${device}: leave one of them out`);
    }
    const groups = models.map((model) =>
      methods.map((method) => ({ model, method, batch: batch ?? defaultBatch(model, method) })),
    );
    // What cannot be built is said before anything is measured.
    for (const workload of groups.flat()) makeWorkload(workload);
    if (peer !== undefined && !groups.flat().some(peerStep)) {
      throw new CommandError(`--peer: PyTorch has no step for ${methods.join(", ")}; leave it out`);
    }
    const result = await bench(groups, {
      steps: flags.steps,
      device: { provider: device, threads: threads ?? defaultThreads() },
      python: peer,
      compilesPeer: flags.compile,
      report: (message) => process.stderr.write(`${message}\n`),
    });
    printResult(flags.json, result, await asText(result));
  });
}

/** Collects a repeated method. @throws InvalidArgumentError for one that is none. */
function chosenMethods(value: string, previous: readonly BenchMethod[] = []): BenchMethod[] {
  const method = benchMethods.find((name) => name === value);
  if (method) return [...new Set([...previous, method])];
  throw new InvalidArgumentError(`there is no such method${suggestion(value, benchMethods)}.`);
}

async function asText({ rows, overheads, peer }: BenchResult): Promise<string> {
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
  const order = ({ name, method }: (typeof lines)[number]) =>
    rows.findIndex((row) => row.name === name && row.method === method);
  const body = lines
    .sort((a, b) => order(a) - order(b))
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
  const added = overheads.map(
    ({ name, method, base, time, memory }) =>
      `${name} ${method}: ${signed(time)} time, ${signed(memory)} peak memory over ${base}`,
  );
  return [terminalTable(head, body), ...ratios, ...added, ...(peer?.failures ?? [])].join("\n");
}

const signed = (share: number): string => `${share < 0 ? "" : "+"}${(100 * share).toFixed(1)} %`;
const percent = (fraction: number): string => `${(100 * fraction).toFixed(0)} %`;
