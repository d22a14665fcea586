/** @file `inbetween pretrain`. */

import type { Command } from "commander";
import { checkStartOptions, pretrain, type RunConfig, readResumedRecord } from "../training/index.js";
import { interruptSignal } from "./interrupt.js";
import {
  addDeviceOptions,
  addJsonOption,
  addSplitOption,
  collected,
  type DeviceFlags,
  positiveNumber,
  wholeNumber,
} from "./options.js";
import { printResult, printWarning } from "./output.js";
import { loadRecipe, overridden } from "./recipes.js";
import { observeRun } from "./run-observer.js";

interface PretrainFlags extends DeviceFlags {
  readonly out: string;
  readonly recipe: string;
  readonly steps?: number;
  readonly epochs?: number;
  readonly seed?: number;
  readonly set?: readonly string[];
  readonly accumulate?: number;
  readonly resume?: boolean;
  readonly initFrom?: string;
  readonly overwrite?: boolean;
  readonly split?: string;
  readonly json: boolean;
}

/** Small images, two cores, minutes. */
export const DEFAULT_RECIPE = "quick/inbetween";

export function addPretrain(program: Command): void {
  const command = program
    .command("pretrain")
    .description("Pretrain an encoder on a folder of images (no labels needed).")
    .argument("<data>", 'folder of images or data set; tar archive or shards; or "synthetic[:COUNT]"')
    .requiredOption("--out <run>", "run folder to write")
    .option("--recipe <name>", "built-in recipe or YAML file", DEFAULT_RECIPE)
    .option("--steps <n>", "optimiser steps, in place of the recipe's length", wholeNumber(1))
    .option("--epochs <n>", "passes over the data, in place of the recipe's length", positiveNumber)
    .option("--seed <n>", "seed of everything random", wholeNumber(0))
    .option("--accumulate <n>", "micro-batches per step: less memory, the same gradient", wholeNumber(1))
    .option("--set <key=value>", "replace any value of the recipe (repeatable)", collected)
    .option("--resume", "continue the run in --out")
    .option("--init-from <run>", "start from another run's weights")
    .option("--overwrite", "delete the run in --out and begin anew");
  addJsonOption(
    addDeviceOptions(addSplitOption(command, "images of this split (default: train)")),
  ).addHelpText(
    "after",
    `
Examples:
  inbetween pretrain ./photos --out runs/photos
  inbetween pretrain ./photos --out runs/photos --resume
  inbetween pretrain ./cifar10/train --out runs/vicreg --recipe quick/vicreg --epochs 20 --seed 1
  inbetween pretrain synthetic --out runs/try --steps 50 --set method.lambda=10`,
  );
  command.action(async (data: string, flags: PretrainFlags) => {
    const { out, device, threads, resume, initFrom, overwrite, split } = flags;
    checkStartOptions(out, flags);
    using interrupt = interruptSignal();
    const result = await pretrain({
      config: askedConfig(flags, command.getOptionValueSource("recipe") !== "default"),
      data,
      ...(split === undefined ? {} : { split }),
      out,
      device,
      ...(threads === undefined ? {} : { threads }),
      ...(resume ? { resume } : {}),
      ...(initFrom === undefined ? {} : { initFrom }),
      ...(overwrite ? { overwrite } : {}),
      signal: interrupt.signal,
      warn: printWarning,
      observe: (context) => observeRun(context, { data }),
    });
    const { run, step, totalSteps, imagesPerSecond, loss, interrupted } = result;
    const chosen = split === undefined ? "" : ` --split ${split}`;
    const state = interrupted
      ? `stopped at step ${step} of ${totalSteps}; continue with: inbetween pretrain ${data}${chosen} --out ${out} --resume`
      : `finished ${step} steps; next: inbetween evaluate transformations --run ${run} --data ${data}`;
    printResult(flags.json, { run, step, imagesPerSecond, loss, interrupted }, `${run}: ${state}`);
    if (interrupted) process.exitCode = 130;
  });
}

/**
 * The configuration that the command line asks for. A resumed run has its own: options that would change it are
 * checked against it, and none are needed.
 */
function askedConfig(flags: PretrainFlags, isRecipeGiven: boolean): RunConfig {
  const { out, recipe, steps, epochs, seed, accumulate, resume } = flags;
  const set = [...(flags.set ?? []), ...(accumulate === undefined ? [] : [`accumulate=${accumulate}`])];
  const overrides = { steps, epochs, seed, set };
  if (!resume || isRecipeGiven) return loadRecipe(recipe, overrides);
  return overridden(readResumedRecord(out).config, overrides, `${out}/config.json`);
}
