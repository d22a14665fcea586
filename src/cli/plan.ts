/** @file `inbetween plan`: what a recipe would take, before it is run. */

import { availableParallelism } from "node:os";
import type { Command } from "commander";
import { formatCompact, formatCount, formatDuration, formatLargeCount } from "../reports/index.js";
import { Device } from "../runtime/index.js";
import { type RunConfig, runLength, type StepCost, stepCost } from "../training/index.js";
import { elementwiseSpeed, gemmSpeed } from "./doctor/probes.js";
import { addJsonOption, collected, positiveNumber, wholeNumber } from "./options.js";
import { printResult } from "./output.js";
import { loadRecipe } from "./recipes.js";
import { tableText } from "./table-row.js";

interface PlanFlags {
  readonly images?: number;
  readonly steps?: number;
  readonly epochs?: number;
  readonly accumulate?: number;
  readonly set?: readonly string[];
  readonly threads?: number;
  readonly utilization: number;
  readonly json: boolean;
}

/** What processes took, in the estimate's units, over five recipes: runtime, compiled programs, and its allocator. */
const MEMORY_RATIO = [1.3, 1.8] as const;

/**
 * Speeds within a step over those of the probes, fitted to ten steps (docs/performance.md; each within a tenth): its products
 * are larger than the probe's, its other nodes slower than plain additions, and some of their traffic is the products' own.
 */
const PRODUCT_GAIN = 1.6;
const MOVING_GAIN = 0.42;

/** Dense bfloat16 products of an A100 by its data sheet, operations a second. */
const A100_PEAK = 312e12;

/** The paper trains on 16 (VICReg) and 64 (iBOT, DINOv2). */
const PAPER_GPUS = [16, 64] as const;

/** Images of the training sets that recipes are made for, by the size of their images. */
const IMAGENET = 1_281_167;
const CIFAR10 = 50_000;

export function addPlan(program: Command): void {
  const command = program
    .command("plan")
    .description("What a recipe takes: parameters, operations, memory, time here and on the paper's machine.")
    .argument("<recipe>", "built-in recipe or YAML file")
    .option(
      "--images <n>",
      "images of the data set, for a length in epochs (default: ImageNet's, or CIFAR-10's for small images)",
      wholeNumber(1),
    )
    .option("--steps <n>", "optimiser steps, in place of the recipe's length", wholeNumber(1))
    .option("--epochs <n>", "passes over the data, in place of the recipe's length", positiveNumber)
    .option("--accumulate <n>", "micro-batches per step", wholeNumber(1))
    .option("--set <key=value>", "replace any value of the recipe (repeatable)", collected)
    .option("--threads <n>", "threads to calibrate this machine with (default: all cores)", wholeNumber(1))
    .option("--utilization <share>", "assumed share of an A100's peak", positiveNumber, 0.35);
  addJsonOption(command).addHelpText(
    "after",
    `
Examples:
  inbetween plan quick/inbetween --images 8000
  inbetween plan paper/mae
  inbetween plan paper/ijepa --set batchSize=1024 --accumulate 8 --json

Operations are those of matrix products and convolutions, from the traced graph. Time here is what they take at this
machine's measured speed, and what reading and writing all other values takes; time on GPUs assumes a share of their peak.
Memory is state and the values alive at once; a process takes more, as the runtime needs some of its own.`,
  );
  command.action(async (recipe: string, flags: PlanFlags) => {
    const { steps, epochs, accumulate, set = [] } = flags;
    const more = accumulate === undefined ? [] : [`accumulate=${accumulate}`];
    const config = loadRecipe(recipe, { steps, epochs, set: [...set, ...more] });
    const images = flags.images ?? (config.imageSize < 100 ? CIFAR10 : IMAGENET);
    const cost = stepCost(config);
    const length = runLength(config, { length: images, name: `${images} images` }, { minimumBatch: 1 });
    const threads = flags.threads ?? availableParallelism();
    const speed = await measuredSpeed(threads);
    const productSeconds = cost.flops / (speed.gflops * PRODUCT_GAIN * 1e9);
    const secondsPerStep = productSeconds + cost.movedBytes / (speed.gigabytesPerSecond * MOVING_GAIN * 1e9);
    const plan = {
      recipe: config.name,
      ...(config.table ? { table: config.table } : {}),
      ...cost,
      memory: {
        ...cost.memory,
        total: cost.memory.state + cost.memory.activations,
        measuredRatio: MEMORY_RATIO,
      },
      images,
      batchSize: config.batchSize,
      ...length,
      here: {
        threads,
        ...speed,
        productShare: productSeconds / secondsPerStep,
        secondsPerStep,
        seconds: secondsPerStep * length.totalSteps,
      },
      paper: PAPER_GPUS.map((gpus) => ({
        gpus,
        utilization: flags.utilization,
        seconds: (cost.flops * length.totalSteps) / (gpus * A100_PEAK * flags.utilization),
      })),
    };
    printResult(flags.json, plan, planText(config, plan));
  });
}

interface Speed {
  readonly gflops: number;
  readonly gigabytesPerSecond: number;
}

async function measuredSpeed(threads: number): Promise<Speed> {
  await using device = await Device.open({ provider: "cpu", threads });
  return { gflops: await gemmSpeed(device), gigabytesPerSecond: await elementwiseSpeed(device) };
}

interface Plan extends StepCost {
  readonly memory: StepCost["memory"] & { readonly total: number };
  readonly images: number;
  readonly totalSteps: number;
  readonly here: {
    readonly threads: number;
    readonly productShare: number;
    readonly secondsPerStep: number;
    readonly seconds: number;
  } & Speed;
  readonly paper: readonly {
    readonly gpus: number;
    readonly utilization: number;
    readonly seconds: number;
  }[];
}

function planText(config: RunConfig, plan: Plan): string {
  const { parameters, memory, here, paper, microBatch } = plan;
  const heads = Object.entries(parameters.heads).map(([name, count]) => `${name} ${formatLargeCount(count)}`);
  const micro = config.accumulate === 1 ? "" : ` in ${config.accumulate} micro-batches of ${microBatch}`;
  const [first] = paper;
  const rows: [string, string][] = [
    ["recipe", `${config.name}: ${config.description}`],
    ...(config.table ? [["paper", tableText(config.table)] as [string, string]] : []),
    [
      "parameters",
      [
        `encoder ${formatLargeCount(parameters.encoder)}`,
        ...heads,
        `total ${formatLargeCount(parameters.total)}`,
      ].join(", "),
    ],
    ...(parameters.teacher > 0
      ? [["teacher", `${formatLargeCount(parameters.teacher)}, a moving average`] as [string, string]]
      : []),
    ["operations", `${operations(plan.flops)} a step, ${operations(plan.flops / config.batchSize)} an image`],
    [
      "memory",
      `${gibibytes(memory.total)}: state ${gibibytes(memory.state)}, values alive at once ${gibibytes(memory.activations)}; ` +
        `processes took ${MEMORY_RATIO.join(" to ")} times the estimate`,
    ],
    [
      "length",
      `${formatCount(plan.totalSteps)} steps of ${formatCount(config.batchSize)} images${micro} (${formatCount(plan.images)} images)`,
    ],
    [
      "here",
      `${formatDuration(here.seconds)}, ${seconds(here.secondsPerStep)} a step, ${Math.round(100 * here.productShare)} % of it products: ` +
        `${Math.round(here.gflops)} GFLOP/s and ${Math.round(here.gigabytesPerSecond)} GB/s measured on ${here.threads} threads`,
    ],
    [
      "A100",
      `${paper.map(({ gpus, seconds: time }) => `${formatDuration(time)} on ${gpus}`).join(", ")}: ` +
        `${Math.round(100 * (first?.utilization ?? 0))} % of 312 TFLOP/s assumed`,
    ],
  ];
  return rows.map(([name, text]) => `${name.padEnd(11)} ${text}`).join("\n");
}

function operations(flops: number): string {
  const units = ["", "k", "M", "G", "T", "P", "E"];
  const unit = Math.min(units.length - 1, Math.floor(Math.log10(flops) / 3));
  return `${formatCompact(flops / 1000 ** unit)} ${units[unit]}FLOP`;
}

function gibibytes(bytes: number): string {
  return bytes < 2 ** 30 ? `${formatCompact(bytes / 2 ** 20)} MiB` : `${formatCompact(bytes / 2 ** 30)} GiB`;
}

function seconds(value: number): string {
  return value < 60 ? `${formatCompact(value)} s` : formatDuration(value);
}
