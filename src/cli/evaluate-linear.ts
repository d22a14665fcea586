/** @file `inbetween evaluate linear`: what does a linear classifier read from frozen features? */

import { type Command, InvalidArgumentError, Option } from "commander";
import {
  evaluateLinear,
  type FeatureChoice,
  LINEAR_PROTOCOLS,
  type LinearProtocolName,
  type LinearRecord,
  type LinearSettingResult,
  measuredBy,
  parseFeatureChoice,
} from "../evaluation/index.js";
import {
  appendClassification,
  formatCompact,
  formatCount,
  formatDuration,
  formatPercent,
  MISSING,
  metricTitle,
  terminalTable,
} from "../reports/index.js";
import { Device } from "../runtime/index.js";
import {
  addClassificationOptions,
  type ClassificationFlags,
  evaluatedEncoders,
  openTrainAndTest,
  warnOfData,
} from "./classification.js";
import { evaluationProgress, keepRecord } from "./evaluated.js";
import { positiveNumber, wholeNumber } from "./options.js";
import { printResult, printWarning } from "./output.js";

interface LinearFlags extends ClassificationFlags {
  readonly protocol: LinearProtocolName;
  readonly features?: FeatureChoice[];
  readonly views: number;
  readonly holdOut: number;
  readonly refit: boolean;
  readonly epochs?: number;
  readonly standardize: boolean;
}

export function addEvaluateLinear(evaluate: Command): void {
  const command = evaluate
    .command("linear")
    .description(
      "Train linear classifiers on frozen features, all settings of a published sweep at once, and test them: top-1, " +
        "top-5, mean over classes. The setting is chosen on held-out training images; what would be best on the test " +
        "images, which publications often report, stands beside it.",
    )
    .addOption(
      new Option(
        "--protocol <name>",
        "paper: AdamW, 6 learning rates; ibot: SGD, 45 learning rates, 2 weight decays; dinov2: SGD, 13 learning rates",
      )
        .choices(LINEAR_PROTOCOLS)
        .default("paper"),
    )
    .option(
      "--features <list>",
      "features to try, with commas between: cls, mean, cls+mean, or cls:N and cls:N+mean for the class tokens of " +
        "the last N blocks (default: the protocol's)",
      featureChoices,
    )
    .option(
      "--views <n>",
      "crops of each training image: its centre, and n - 1 random ones",
      wholeNumber(1),
      1,
    )
    .option("--hold-out <share>", "of each class's training images, to choose the setting on", share, 0.1)
    .option("--no-refit", "test the classifiers of the choice, trained without the held-out images")
    .option("--epochs <n>", "passes over the training images (default: the protocol's)", positiveNumber)
    .option(
      "--standardize",
      "give each feature zero mean and unit deviation first (no protocol does)",
      false,
    );
  addClassificationOptions(command).addHelpText(
    "after",
    `
Examples:
  inbetween evaluate linear --run runs/photos --train ./photos/train --test ./photos/test
  inbetween evaluate linear --encoder ./encoder --train ./cifar10/train --test ./cifar10/test --protocol ibot --json
  inbetween evaluate linear --random quick/vicreg --train ./photos/train --test ./photos/test --features cls,cls+mean`,
  );
  command.action(async (flags: LinearFlags) => {
    const evaluated = await evaluatedEncoders(flags);
    const { device: provider, threads, protocol, features, views, refit, epochs, standardize, seed } = flags;
    await using device = await Device.open({ provider, ...(threads === undefined ? {} : { threads }) });
    const records: LinearRecord[] = [];
    for (const { encoder, name } of evaluated) {
      const { train, test } = await openTrainAndTest("linear probe", flags, encoder);
      const record = await evaluateLinear({
        device,
        encoder,
        train,
        test,
        name,
        protocol,
        views,
        holdOut: flags.holdOut,
        refit,
        standardize,
        seed,
        ...(features === undefined ? {} : { features }),
        ...(epochs === undefined ? {} : { epochs }),
        progress: evaluationProgress(encoder.label),
      });
      if (records.length === 0) warnOfData(train, test, record);
      keepRecord(flags, encoder, (folder, origin) => appendClassification(folder, { ...record, ...origin }));
      warnOfEdge(record);
      records.push(record);
    }
    const own = records.at(-1) as LinearRecord;
    printResult(flags.json, { ...headline(own), records }, textOf(records));
  });
}

/** Says when the sweep may end too early: the best of its learning rates is its first or last one. */
function warnOfEdge({ encoder, chosen, settings, protocol }: LinearRecord): void {
  const rates = settings.map(({ learningRate }) => learningRate);
  const ends = { smallest: Math.min(...rates), largest: Math.max(...rates) };
  for (const [end, rate] of Object.entries(ends)) {
    if (chosen?.learningRate !== rate || ends.smallest === ends.largest) continue;
    printWarning(
      `${encoder}: the chosen learning rate, ${formatCompact(rate)}, is the ${end} of protocol ${protocol}: a better one may lie ` +
        "outside; try --standardize, or another --protocol",
    );
  }
}

function featureChoices(text: string): FeatureChoice[] {
  try {
    return text.split(",").map(parseFeatureChoice);
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

function share(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0 && value < 1)) {
    throw new InvalidArgumentError("expected a number from 0 to below 1.");
  }
  return value;
}

/** The figures that programs look for first; the records hold the rest. */
function headline({ chosen, bestOnTest, protocol, test }: LinearRecord): object {
  return { protocol, metric: test.metric, ...(chosen ?? bestOnTest).test, bestOnTest: bestOnTest.test };
}

function textOf(records: readonly LinearRecord[]): string {
  const { protocol, classes, train, test, views, holdOut, settings, steps, batchSize } =
    records[0] as LinearRecord;
  const shown = records.flatMap((record) => rowsOf(record));
  const seconds = records.reduce(
    (total, record) => total + record.seconds.features + record.seconds.training,
    0,
  );
  const crops = views === 1 ? "centre crops" : `${views} crops of each`;
  return [
    `\nLinear probe, protocol ${protocol}: ${formatCount(train.images)} training images (${crops}), ` +
      `${formatCount(test.images)} test images, ${classes} classes, measured by ${metricTitle(test.metric)}`,
    terminalTable(
      ["Encoder", "Features", "Top-1", "Top-5", "Per class", "Learning rate", "Weight decay", "Best on test"],
      shown,
    ),
    `${settings.length} settings, ${formatCount(steps)} steps of ${formatCount(batchSize)} images. ${
      holdOut.images > 0
        ? `Each row's setting was chosen on ${formatCount(holdOut.images)} held-out training images${
            holdOut.refit ? ", then trained on all of them" : ""
          }.`
        : "No setting was chosen: give --hold-out for figures of one."
    }`,
    `"Best on test" is the ${metricTitle(test.metric)} of the row's setting that is best on the test images themselves. ${formatDuration(seconds)}.`,
  ].join("\n");
}

/** One row for each choice of features. */
function rowsOf({ encoder, settings, chosenByFeatures, chosen, test: { metric } }: LinearRecord): string[][] {
  const names = [...new Set(settings.map(({ features }) => features))];
  return names.map((name) => {
    const best = Math.max(
      ...settings.filter(({ features }) => features === name).map(({ test }) => measuredBy(metric, test)),
    );
    const own = chosenByFeatures?.find(({ features }) => features === name);
    const mark = own !== undefined && own === chosen && names.length > 1 ? " (chosen)" : "";
    return [encoder, `${name}${mark}`, ...cells(own), formatPercent(best, 2)];
  });
}

function cells(own: LinearSettingResult | undefined): string[] {
  if (!own) return Array.from({ length: 5 }, () => MISSING);
  const { test, learningRate, weightDecay } = own;
  return [
    formatPercent(test.top1, 2),
    test.top5 === undefined ? MISSING : formatPercent(test.top5, 2),
    formatPercent(test.perClass, 2),
    formatCompact(learningRate),
    formatCompact(weightDecay),
  ];
}
