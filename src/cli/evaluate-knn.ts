/** @file `inbetween evaluate knn`: are images of a class near each other in feature space? */

import { type Command, InvalidArgumentError, Option } from "commander";
import { evaluateKnn, type FeatureKind, type KnnRecord } from "../evaluation/index.js";
import {
  appendClassification,
  formatCount,
  formatDuration,
  formatPercent,
  knnShare,
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
import { wholeNumber } from "./options.js";
import { printResult } from "./output.js";

interface KnnFlags extends ClassificationFlags {
  readonly features?: FeatureKind;
  readonly k?: number[];
}

export function addEvaluateKnn(evaluate: Command): void {
  const command = evaluate
    .command("knn")
    .description(
      "Classify test images by their nearest training images: votes weighted by exp(cosine / 0.07), as DINO and iBOT do.",
    )
    .addOption(
      new Option("--features <kind>", "which feature (default: the one that was trained)").choices([
        "cls",
        "mean",
      ]),
    )
    .option("--k <list>", "neighbours that vote, with commas between (default: 10,20,100,200)", neighbours);
  addClassificationOptions(command).addHelpText(
    "after",
    `
Examples:
  inbetween evaluate knn --run runs/photos --train ./photos/train --test ./photos/test
  inbetween evaluate knn --encoder ./encoder --train ./cifar10/train --test ./cifar10/test --features cls --k 20 --json`,
  );
  command.action(async (flags: KnnFlags) => {
    const evaluated = await evaluatedEncoders(flags);
    const { device: provider, threads, features, k } = flags;
    await using device = await Device.open({ provider, ...(threads === undefined ? {} : { threads }) });
    const records: KnnRecord[] = [];
    for (const { encoder, name } of evaluated) {
      const { train, test } = await openTrainAndTest("k-NN", flags, encoder);
      const record = await evaluateKnn({
        device,
        encoder,
        train,
        test,
        name,
        ...(features === undefined ? {} : { features }),
        ...(k === undefined ? {} : { k }),
        progress: evaluationProgress(encoder.label),
      });
      if (records.length === 0) warnOfData(train, test, record);
      const { seed } = flags;
      keepRecord(flags, encoder, (folder, origin) =>
        appendClassification(folder, { ...record, seed, ...origin }),
      );
      records.push(record);
    }
    const { accuracies, test } = records.at(-1) as KnnRecord;
    const knn = Object.fromEntries(accuracies.map((each) => [each.k, knnShare(each, test.metric)]));
    const summary = { metric: test.metric, knn, records };
    printResult(flags.json, summary, textOf(records));
  });
}

function neighbours(text: string): number[] {
  const least = wholeNumber(1);
  return text.split(",").map((part) => {
    if (part.trim() === "") throw new InvalidArgumentError("expected whole numbers with commas between.");
    return least(part);
  });
}

function textOf(records: readonly KnnRecord[]): string {
  const { train, test, classes, accuracies } = records[0] as KnnRecord;
  const seconds = records.reduce((total, record) => total + record.seconds, 0);
  return [
    `\nk-NN, ${metricTitle(test.metric)}: ${formatCount(train.images)} training images, ${formatCount(test.images)} test images, ${classes} classes`,
    terminalTable(
      ["Encoder", "Features", ...accuracies.map(({ k }) => `k = ${k}`)],
      records.map((record) => [
        record.encoder,
        record.features,
        ...record.accuracies.map((each) => formatPercent(knnShare(each, test.metric), 2)),
      ]),
    ),
    `${formatDuration(seconds)}.`,
  ].join("\n");
}
