/** @file The records behind a page's figures: what was measured, on what, how, and when, each in a place that links lead to. */

import {
  type EvaluationRecord,
  type KnnClassificationRecord,
  type KnnResult,
  type LinearProbeRecord,
  metricTitle,
  type PretrainingKnnRecord,
  type ProbedSetting,
  SCORES,
} from "./events.js";
import {
  formatCompact,
  formatCount,
  formatDuration,
  formatMeanStd,
  formatMoment,
  formatPercent,
} from "./format.js";
import { type Html, html } from "./html.js";
import type { AnyRecord, Measured } from "./measured.js";
import { section } from "./report-context.js";
import { htmlFacts, protocolTitle, SCORE_TITLES } from "./tables.js";

type Facts = [name: string, value: string | undefined][];

export function recordSection(measured: readonly Measured[]): Html | null {
  const places = measured.map(({ id, group, records }) => {
    const several = records.length > 1 ? `, ${records.length} records` : "";
    return html`<article class="record" id="${id}"><h3>${group.label}: ${whatOf(records[0])}${several}</h3>
${records.map((record) => htmlFacts([...factsOf(record), ...originOf(record)]))}</article>`;
  });
  return section("Records", places.length === 0 ? null : html`<div class="records">${places}</div>`);
}

function whatOf(record: AnyRecord): string {
  if (!("kind" in record)) return `R² by ${protocolTitle(record.protocol)} on ${record.data}`;
  if (record.kind === "pretraining-knn") return "k-NN at the end of pretraining";
  const name = record.kind === "linear" ? `linear probe, protocol ${record.protocol}` : "k-NN";
  return `${name} on ${record.test.name}`;
}

function factsOf(record: AnyRecord): Facts {
  if (!("kind" in record)) return r2Facts(record);
  if (record.kind === "pretraining-knn") return pretrainingFacts(record);
  return record.kind === "linear" ? linearFacts(record) : knnFacts(record);
}

function originOf({ name, architecture, command, writtenAt }: AnyRecord): Facts {
  return [
    ["Evaluated", name],
    ["Architecture", architecture],
    ["Command", command],
    ["Written", writtenAt === undefined ? undefined : formatMoment(writtenAt)],
  ];
}

function r2Facts(record: EvaluationRecord): Facts {
  const { protocol, features, seed, data, dataFingerprint, split, repeats, seconds, r2, probe } = record;
  return [
    ["Protocol", protocol],
    ["Features", features],
    ["Seed", String(seed)],
    ["Data", dataText(data, dataFingerprint)],
    [
      "Pairs",
      `${formatCount(split.train)} to fit, ${formatCount(split.validation)} to stop early, ${formatCount(split.test)} to report`,
    ],
    ["Repeats", repeats === 1 ? "1 probe" : `${repeats} probes`],
    ["Probe", probe && settingsText(probe)],
    ["Time", formatDuration(seconds)],
    [
      "R²",
      SCORES.map((score) => {
        const { mean, std } = r2[score];
        return `${SCORE_TITLES[score].toLowerCase()} ${formatMeanStd(mean, std, repeats)}`;
      }).join(", "),
    ],
  ];
}

function dataText(name: string, fingerprint: string | undefined): string {
  return fingerprint === undefined ? name : `${name}, fingerprint ${fingerprint}`;
}

/** "epochs 300, hidden 1024": lists and tables of numbers are left out. */
function settingsText(settings: object): string {
  return Object.entries(settings)
    .filter(([, value]) => typeof value !== "object")
    .map(([name, value]) => `${name} ${String(value)}`)
    .join(", ");
}

function classificationData({
  train,
  test,
  classes,
  overlap,
  resize,
  imageSize,
}: LinearProbeRecord | KnnClassificationRecord): Facts {
  const text = ({ name, images, fingerprint }: typeof train) =>
    `${formatCount(images)} images of ${dataText(name, fingerprint)}`;
  return [
    ["Train", text(train)],
    ["Test", text(test)],
    ["Measured by", test.metric && metricTitle(test.metric)],
    ["Overlap", overlap && `${formatCount(overlap.count)} test images are training images too`],
    ["Classes", formatCount(classes)],
    ["Crop", imageSize && resize ? `${imageSize} px of ${resize} px` : undefined],
  ];
}

function settingText({ features, learningRate, weightDecay, test }: ProbedSetting): string {
  const { top1, top5, perClass } = test;
  return [
    `${features}, learning rate ${formatCompact(learningRate)}, weight decay ${formatCompact(weightDecay)}: top-1 ${formatPercent(top1, 2)}`,
    ...(top5 === undefined ? [] : [`top-5 ${formatPercent(top5, 2)}`]),
    `mean over classes ${formatPercent(perClass, 2)}`,
  ].join(", ");
}

function linearFacts(record: LinearProbeRecord): Facts {
  const { protocol, seed, views, optimizer, batchSize, steps, epochs, standardize } = record;
  const { holdOut, seconds, chosen, bestOnTest, settings } = record;
  return [
    ["Protocol", protocol],
    ["Seed", String(seed)],
    ...classificationData(record),
    ["Views", views === 1 ? "the centre crop of each training image" : `${views} crops of each`],
    [
      "Training",
      `${optimizer}, batch ${formatCount(batchSize)}, ${formatCount(steps)} steps (${formatCompact(epochs)} epochs)` +
        `${standardize ? ", standardized features" : ""}, ${formatCount(settings.length)} settings`,
    ],
    [
      "Held out",
      holdOut.images === 0
        ? "nothing: no setting was chosen without the test images"
        : `${formatCount(holdOut.images)} training images${holdOut.refit ? ", then trained on all" : ""}`,
    ],
    ["Chosen", chosen && settingText(chosen)],
    ["Best on test", settingText(bestOnTest)],
    [
      "Time",
      `${formatDuration(seconds.features)} for features, ${formatDuration(seconds.training)} for training`,
    ],
  ];
}

/** "k = 10: 50 %, k = 20: 51 %"; nothing of accuracies that old records lack. */
function sharesText(
  accuracies: readonly KnnResult[],
  share: (result: KnnResult) => number | undefined,
): string | undefined {
  const texts = accuracies.flatMap((each) => {
    const value = share(each);
    return value === undefined ? [] : [`k = ${each.k}: ${formatPercent(value, 2)}`];
  });
  return texts.length === 0 ? undefined : texts.join(", ");
}

function knnFacts(record: KnnClassificationRecord): Facts {
  const { features, temperature, seconds, accuracies } = record;
  return [
    ["Features", features],
    ...classificationData(record),
    ["Votes", `exp(cosine / ${temperature})`],
    ["Top-1", sharesText(accuracies, ({ accuracy }) => accuracy)],
    ["Mean over classes", sharesText(accuracies, ({ perClass }) => perClass)],
    ["Time", formatDuration(seconds)],
  ];
}

function pretrainingFacts({ seed, data, step, epoch, seconds, knn }: PretrainingKnnRecord): Facts {
  return [
    ["Seed", seed === undefined ? undefined : String(seed)],
    ["Data", data],
    ["Classes", formatCount(knn.classes)],
    ["Step", `${formatCount(step)} (${formatCompact(epoch)} epochs), the last with a probe in metrics.jsonl`],
    ["Top-1", sharesText([knn], ({ accuracy }) => accuracy)],
    ["Mean over classes", sharesText([knn], ({ perClass }) => perClass)],
    ["Time", `${formatDuration(seconds)} of pretraining`],
  ];
}
