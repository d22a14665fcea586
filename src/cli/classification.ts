/** @file What `evaluate linear` and `evaluate knn` share: their options, encoders and data, and what they say of them. */

import { resolve } from "node:path";
import type { Command } from "commander";
import { type Dataset, openDataset } from "../data/index.js";
import { commonClasses, type DataRecord, type Encoder, type Overlap } from "../evaluation/index.js";
import { baselineOf, unseenSeed } from "./evaluated.js";
import { loadEncoderFrom } from "./load-encoder.js";
import { addDeviceOptions, addJsonOption, type DeviceFlags, wholeNumber } from "./options.js";
import { CommandError, printWarning } from "./output.js";

export interface ClassificationFlags extends DeviceFlags {
  readonly run?: string;
  readonly encoder?: string;
  readonly random?: string;
  readonly train: string;
  readonly test?: string;
  readonly seed: number;
  readonly baseline: boolean;
  readonly json: boolean;
}

/** The encoder, the data, and what goes beside them. */
export function addClassificationOptions(command: Command): Command {
  command
    .option("--run <run>", "run folder: its newest checkpoint")
    .option("--encoder <dir>", "exported encoder")
    .option("--random <recipe>", "the recipe's encoder as it starts: the baseline")
    .requiredOption(
      "--train <data>",
      "training images: a data set with splits, or a folder with one folder of images for each class",
    )
    .option("--test <data>", "test images of the same classes (default: the held-out split of --train)")
    .option("--seed <n>", "seed of all that is drawn", wholeNumber(0), 0)
    .option("--no-baseline", "leave out the encoder with random weights beside it");
  return addJsonOption(addDeviceOptions(command));
}

/** An encoder to be evaluated, and what it is called. */
export interface Evaluated {
  readonly encoder: Encoder;
  readonly name: string;
}

/** The encoder that was chosen, its random baseline before it unless that is it or was not wanted. */
export async function evaluatedEncoders(flags: ClassificationFlags): Promise<Evaluated[]> {
  const { run, encoder: folder, random, seed } = flags;
  const encoder = await loadEncoderFrom({ run, encoder: folder, random });
  const own = { encoder, name: run ?? folder ?? "random" };
  if (random !== undefined || !flags.baseline) return [own];
  return [{ encoder: baselineOf(encoder, seed), name: "random" }, own];
}

/**
 * Both data sets. Of one with splits, all that may be trained on and the split whose accuracy is published. One without
 * splits that is named twice is both.
 * @param what Names the evaluation in messages.
 * @throws EvaluationError, CommandError when no test images are named and the data set has no classes, or no split for them.
 */
export async function openTrainAndTest(
  what: string,
  { train, test, seed }: ClassificationFlags,
  { config }: Encoder,
): Promise<{ train: Dataset; test: Dataset }> {
  const open = (data: string, offset: number, split?: string) =>
    openDataset(data, {
      ...(split === undefined ? {} : { split }),
      synthetic: { seed: unseenSeed(seed) + offset, size: config.imageSize },
    });
  const first = await open(train, 0);
  const { splits, heldOutSplit } = first;
  if (test !== undefined && (heldOutSplit === undefined || resolve(test) !== resolve(train)))
    return { train: first, test: await open(test, 1) };
  if (heldOutSplit === undefined) {
    // Without classes, naming test images would not help.
    commonClasses(what, first, first);
    throw new CommandError(`${train} has no split to test on; name the test images with --test`);
  }
  const hasBoth = splits.includes("trainval") && heldOutSplit !== "val";
  return {
    train: hasBoth && first.split !== "trainval" ? await open(train, 0, "trainval") : first,
    test: await open(train, 0, heldOutSplit),
  };
}

/** Says on stderr what a reader of the figures must know of the data. */
export function warnOfData(
  train: Dataset,
  test: Dataset,
  record: { test: DataRecord; overlap: Overlap },
): void {
  const { count, example } = record.overlap;
  if (count > 0) {
    printWarning(
      `${count} of ${record.test.images} test images are training images too, such as ${example?.test} ` +
        `(${example?.train} in training): the figures are too good; take them out of one of the sets`,
    );
  }
  for (const { name, skips } of new Set([train, test])) {
    const [first] = skips.entries;
    if (!first) continue;
    printWarning(
      `${skips.count} unusable images of ${name} were left out, the first: ${first.name} (${first.reason})`,
    );
  }
}
