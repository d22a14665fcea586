/** @file `inbetween evaluate`, and of its subcommands `transformations`: what do frozen features know of a transformation? */

import { type Command, Option } from "commander";
import { openDataset } from "../data/index.js";
import {
  type Encoder,
  evaluateTransformations,
  type PairFeature,
  type TransformationsRecord,
} from "../evaluation/index.js";
import { mapValues } from "../records.js";
import { appendEvaluation, terminalR2Tables } from "../reports/index.js";
import { Device } from "../runtime/index.js";
import { addEvaluateKnn } from "./evaluate-knn.js";
import { addEvaluateLinear } from "./evaluate-linear.js";
import { baselineOf, evaluationProgress, keepRecord, unseenSeed } from "./evaluated.js";
import { loadEncoderFrom } from "./load-encoder.js";
import { addDeviceOptions, addJsonOption, addSplitOption, type DeviceFlags, wholeNumber } from "./options.js";
import { printResult } from "./output.js";

interface EvaluateFlags extends DeviceFlags {
  readonly run?: string;
  readonly encoder?: string;
  readonly random?: string;
  readonly data: string;
  readonly split?: string;
  readonly features?: PairFeature;
  readonly repeats: number;
  readonly seed: number;
  readonly train?: number;
  readonly validation?: number;
  readonly test?: number;
  readonly hidden?: number;
  readonly baseline: boolean;
  readonly json: boolean;
}

export function addEvaluate(program: Command): void {
  const evaluate = program.command("evaluate").description("Measure what an encoder's features know.");
  const command = evaluate
    .command("transformations")
    .description(
      "Predict the parameters of rotation, colour, blur and translation from the frozen features of an image and its " +
        "transformed version: R² per task (paper, section 4.2), by the paper's protocol and by one without black corners.",
    )
    .option("--run <run>", "run folder: its newest checkpoint")
    .option("--encoder <dir>", "exported encoder")
    .option("--random <recipe>", "the recipe's encoder as it starts: the baseline")
    .requiredOption("--data <data>", 'folder of images, data set, or "synthetic[:COUNT]"')
    .addOption(
      new Option(
        "--features <kind>",
        "which feature (default: the one that was trained); patches: all patch features side by side",
      ).choices(["cls", "mean", "patches"]),
    )
    .option(
      "--repeats <n>",
      "probes trained on the same features: mean ± standard deviation",
      wholeNumber(1),
      1,
    )
    .option("--seed <n>", "seed of split, parameters and probes", wholeNumber(0), 0)
    .option("--no-baseline", "leave out the encoder with random weights beside it")
    .option("--train <n>", "training pairs", wholeNumber(1))
    .option("--validation <n>", "pairs for early stopping", wholeNumber(1))
    .option("--test <n>", "test pairs", wholeNumber(1))
    .option("--hidden <n>", "hidden units of the probes (default: 1024, as in SIE)", wholeNumber(1));
  addJsonOption(
    addDeviceOptions(addSplitOption(command, "images of this split (default: train)")),
  ).addHelpText(
    "after",
    `
Examples:
  inbetween evaluate transformations --run runs/photos --data ./photos
  inbetween evaluate transformations --encoder ./encoder --data ./cifar-10-batches-bin --split test
  inbetween evaluate transformations --random quick/vicreg --data ./photos --repeats 3 --json`,
  );
  command.action(async (flags: EvaluateFlags) => {
    const { run, encoder: folder, random, seed, repeats, features, hidden } = flags;
    const { device: provider, threads } = flags;
    const chosen = await loadEncoderFrom({ run, encoder: folder, random });
    const isBaseline = random !== undefined;
    const encoders = isBaseline || !flags.baseline ? [chosen] : [baselineOf(chosen, seed), chosen];
    const dataset = await openDataset(flags.data, {
      ...(flags.split === undefined ? {} : { split: flags.split }),
      synthetic: { seed: unseenSeed(seed), size: chosen.config.imageSize },
    });
    await using device = await Device.open({ provider, ...(threads === undefined ? {} : { threads }) });
    const records: TransformationsRecord[] = [];
    const keep = (encoder: Encoder, made: readonly TransformationsRecord[]) =>
      keepRecord(flags, encoder, (place, origin) => {
        for (const record of made) appendEvaluation(place, { ...record, ...origin });
      });
    for (const encoder of encoders) {
      const result = await evaluateTransformations({
        device,
        encoder,
        dataset,
        name: encoder === chosen ? (run ?? folder ?? "random") : "random",
        repeats,
        seed,
        ...pairsFor(dataset.length, flags),
        ...(features === undefined ? {} : { features }),
        ...(hidden === undefined ? {} : { hidden }),
        progress: evaluationProgress(encoder.label),
      });
      keep(encoder, result.records);
      records.push(...result.records);
    }
    const own = records.filter(({ encoder }) => encoder === chosen.label);
    printResult(flags.json, summaryOf(own, records), `\n${terminalR2Tables([...records])}`);
  });
  addEvaluateLinear(evaluate);
  addEvaluateKnn(evaluate);
}

/** The usual numbers of pairs, or as much of them as a small data set has images for. */
export function pairsFor(images: number, given: { train?: number; validation?: number; test?: number } = {}) {
  const usual = { train: 4000, validation: 500, test: 1500 };
  const share = Math.min(1, images / 6000);
  const pairs = mapValues(usual, (count) => Math.max(1, Math.floor(count * share)));
  return {
    trainPairs: given.train ?? pairs.train ?? 1,
    validationPairs: given.validation ?? pairs.validation ?? 1,
    testPairs: given.test ?? pairs.test ?? 1,
  };
}

/** The first protocol's figures in the place where programs look for them, and all protocols and encoders by name. */
function summaryOf(own: readonly TransformationsRecord[], all: readonly TransformationsRecord[]): object {
  const [first] = own;
  return {
    r2: first ? mapValues(first.r2, ({ mean }) => mean) : {},
    protocol: first?.protocol,
    records: all.map(({ encoder, protocol, r2, split }) => ({ encoder, protocol, r2, split })),
  };
}
