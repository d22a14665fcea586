/** @file Small made-up rows for the tests of reports/. */

import type {
  EvaluationRecord,
  KnnClassificationRecord,
  LinearProbeRecord,
  MetricsRow,
  RunData,
  Score,
} from "#src/reports/index.js";

export function metricsRow(step: number, changes: Partial<MetricsRow> = {}): MetricsRow {
  return {
    step,
    epoch: step / 10,
    time: "2026-11-23T20:00:00.000Z",
    seconds: step * 0.5,
    loss: { total: 2 - step * 0.04, variance: 0.5 },
    learningRate: 0.001,
    imagesPerSecond: 400,
    dataWaitFraction: 0.02,
    ...changes,
  };
}

/** R² 0.1·(1…4) plus `offset` for the tasks in table order, their mean, and 0.01 as every deviation. */
export function evaluation(
  encoder: string,
  offset = 0,
  changes: Partial<EvaluationRecord> = {},
): EvaluationRecord {
  const score = (value: number) => ({ mean: value + offset, std: 0.01, perParameter: { a: value } });
  const r2: Record<Score, ReturnType<typeof score>> = {
    rotation: score(0.1),
    color: score(0.2),
    blur: score(0.3),
    translation: score(0.4),
    mean: score(0.25),
  };
  return {
    protocol: "paper-zero-fill",
    name: encoder,
    encoder,
    features: "mean",
    seed: 0,
    data: "synthetic",
    split: { train: 800, validation: 100, test: 200 },
    repeats: 3,
    seconds: 4,
    r2,
    ...changes,
  };
}

export function runData(method: string, changes: Partial<RunData> = {}): RunData {
  return {
    folder: method.toLowerCase(),
    info: { name: method.toLowerCase(), method, seed: 0, batchSize: 64, steps: 20, imageSize: 32 },
    config: { recipe: "quick-start" },
    metrics: Array.from({ length: 20 }, (_, index) => metricsRow(index + 1)),
    pictures: [],
    evaluations: [],
    classifications: [],
    ...changes,
  };
}

/** A linear probe whose chosen setting has this top-1, and half of it as the mean over classes; the best on the test images has 0.01 more. */
export function linearProbe(
  encoder: string,
  test: string,
  top1: number,
  data: Partial<LinearProbeRecord["test"]> = {},
): LinearProbeRecord {
  const setting = (value: number) => ({
    features: "cls",
    learningRate: 1e-3,
    weightDecay: 0,
    test: { top1: value, perClass: value / 2 },
  });
  const official =
    { "cifar-100/test": 10_000, "flowers-102/test": 6149, "imagenet-1k/val": 50_000 }[test] ?? 10;
  return {
    kind: "linear",
    protocol: "paper",
    name: encoder,
    encoder,
    seed: 0,
    classes: 100,
    train: { name: "train", fingerprint: "f", images: 50 },
    test: { name: test, fingerprint: "0123456789", images: official, ...data },
    views: 1,
    optimizer: "adamw",
    batchSize: 32,
    steps: 100,
    epochs: 10,
    standardize: false,
    holdOut: { share: 0.1, images: 5, refit: true },
    seconds: { features: 1, training: 2 },
    chosen: setting(top1),
    bestOnTest: setting(top1 + 0.01),
    settings: [],
  };
}

/** @param accuracies By the number of neighbours. */
export function knnClassification(
  encoder: string,
  accuracies: Readonly<Record<number, number>>,
): KnnClassificationRecord {
  return {
    kind: "knn",
    name: encoder,
    encoder,
    features: "mean",
    classes: 10,
    train: { name: "train", fingerprint: "f", images: 50 },
    test: { name: "photos", fingerprint: "0123456789", images: 10 },
    temperature: 0.07,
    seconds: 3,
    accuracies: Object.entries(accuracies).map(([k, accuracy]) => ({ k: Number(k), accuracy, classes: 10 })),
  };
}
