/** @file The rows a run leaves behind: plain data that any writer can produce and every report reads. */

/** Effective state of the features, watched for collapse. */
export interface HealthRow {
  /** Standard deviation of the features over the batch, averaged over channels. */
  featureStd: number;
  /** exp(entropy of the normalised singular values): 1 is total collapse, the feature width is ideal. */
  effectiveRank: number;
  /** Entropy of the teacher's output in nats, for methods that have a teacher. */
  teacherEntropy?: number;
  /** Plain sentences naming what the collapse watch saw at this step. */
  warnings?: string[];
}

/** Result of the k-nearest-neighbour probe. */
export interface KnnResult {
  /** Share of test images classified right, in [0, 1]. */
  accuracy: number;
  /** Mean over the classes of each one's share; old records lack it. */
  perClass?: number;
  k: number;
  classes: number;
}

/** One line of `metrics.jsonl`. */
export interface MetricsRow {
  /** Optimiser steps finished, counted from 1. */
  step: number;
  /** Passes over the data so far, fractional. */
  epoch: number;
  /** ISO 8601 moment the row was written. */
  time: string;
  /** Seconds of training so far, over all resumes. */
  seconds: number;
  /** Unweighted parts of the loss by name, and their weighted sum as "total". */
  loss: Record<string, number> & { total: number };
  learningRate: number;
  weightDecay?: number;
  /** Global L2 norm before clipping. */
  gradientNorm?: number;
  imagesPerSecond: number;
  /** Share of the wall time that the step waited for data, in [0, 1]. */
  dataWaitFraction: number;
  /**
   * What trivial predictors score on a part of the loss, for example
   * `{ reconstruction: { "copy of view 2": 0.41 } }`: a falling loss means little above these.
   */
  baselines?: Record<string, Record<string, number>>;
  /** Further numbers of the method by name, such as `teacherEntropy` in nats. */
  metrics?: Record<string, number>;
  health?: HealthRow;
  knn?: KnnResult;
  hostToDeviceBytes?: number;
  peakMemoryMB?: number;
}

/** A picture written beside the metrics: one line of `pictures.jsonl`. */
export interface PictureEvent {
  step: number;
  /** "inbetween", "patchPca", or any other kind; pictures of one kind are shown together. */
  kind: "inbetween" | "patchPca" | (string & {});
  title: string;
  /** Path of the PNG, relative to the run folder. */
  png: string;
  /** What each equally wide column of the picture shows, left to right. */
  columns?: string[];
}

/** The four transformations whose parameters the probe predicts (paper, section 4.2). */
export const TASKS = ["rotation", "color", "blur", "translation"] as const;
export type Task = (typeof TASKS)[number];
/** Columns of an R² table: the four tasks and their mean. */
export const SCORES = [...TASKS, "mean"] as const;
export type Score = (typeof SCORES)[number];

/** R² of one task: mean and standard deviation over probe repeats. */
export interface TaskScore {
  mean: number;
  /** Sample standard deviation over the repeats; 0 when there was one. */
  std: number;
  /** R² of each predicted parameter on its own, for example `{ tx: 0.91, ty: 0.88 }`. */
  perParameter: Record<string, number>;
}

/** Test pairs of one predicted parameter. */
export interface ScatterSeries {
  task: Task;
  parameter: string;
  /** Unit of both axes, for example "°" or "px". */
  unit?: string;
  truth: number[];
  /** Same length as `truth`. */
  predicted: number[];
}

/** How a kept record came to be: what the evaluations themselves cannot know. */
export interface RecordOrigin {
  /** Of the encoder, in words: "ViT 192x12/4, 32 px". */
  architecture?: string;
  /** The command that was given. */
  command?: string;
  /** ISO 8601 moment the record was written. */
  writtenAt?: string;
}

/** One evaluation of one encoder under one protocol: one line of `evaluations.jsonl`. */
export interface EvaluationRecord extends RecordOrigin {
  /** "paper-zero-fill" is the paper's; every other one starts with "leak-free-". */
  protocol: "paper-zero-fill" | `leak-free-${string}`;
  /** Name of the run or encoder folder that was evaluated. */
  name: string;
  /** Label in tables: "random", "VICReg", "Ours(VICReg, all, se2)", … */
  encoder: string;
  /** Which features were probed: "cls", "mean", … */
  features: string;
  seed: number;
  /** Where the images came from. */
  data: string;
  dataFingerprint?: string;
  /** Pairs used to fit, to stop early, and to report. */
  split: { train: number; validation: number; test: number };
  /** Probes trained on the same checkpoint. */
  repeats: number;
  seconds: number;
  r2: Record<Score, TaskScore>;
  scatter?: ScatterSeries[];
  knn?: KnnResult;
  /** Settings of the probe by name. */
  probe?: Readonly<Record<string, unknown>>;
}

/** The share of all images, or the mean of the classes' shares. */
export type AccuracyMetric = "top1" | "meanPerClass";

/** In words. */
export function metricTitle(metric: AccuracyMetric = "top1"): string {
  return metric === "top1" ? "top-1 accuracy" : "mean per-class accuracy";
}

/** A data set that an encoder was evaluated on. */
export interface EvaluatedData {
  name: string;
  fingerprint: string;
  /** Images that were used. */
  images: number;
  /** What accuracies published on it mean; old records lack it. */
  metric?: AccuracyMetric;
}

/** What the records of linear probes and of k-NN classifications share. */
interface ClassificationBase extends RecordOrigin {
  /** Name of the run or encoder folder that was evaluated. */
  name: string;
  /** Label in tables. */
  encoder: string;
  classes: number;
  train: EvaluatedData;
  test: EvaluatedData;
  /** Test images that are training images too. */
  overlap?: { count: number };
  /** Sides in pixels of the evaluation's crop and of what it is cut from. */
  imageSize?: number;
  resize?: number;
}

/** One setting of a linear probe's sweep. Accuracies are shares in [0, 1]. */
export interface ProbedSetting {
  features: string;
  learningRate: number;
  weightDecay: number;
  test: { top1: number; top5?: number; perClass: number };
}

export interface LinearProbeRecord extends ClassificationBase {
  kind: "linear";
  protocol: string;
  seed: number;
  /** Crops of each training image. */
  views: number;
  optimizer: string;
  batchSize: number;
  steps: number;
  epochs: number;
  standardize: boolean;
  /** Training images on which the setting was chosen. */
  holdOut: { share: number; images: number; refit: boolean };
  seconds: { features: number; training: number };
  /** The setting that was best on the held-out training images; absent when none were held out. */
  chosen?: ProbedSetting;
  /** The setting that is best on the test images themselves: too good by the choice. */
  bestOnTest: ProbedSetting;
  settings: readonly object[];
}

export interface KnnClassificationRecord extends ClassificationBase {
  kind: "knn";
  /** Of a random encoder's weights: nothing else is drawn. */
  seed?: number;
  features: string;
  temperature: number;
  seconds: number;
  /** One for each k. */
  accuracies: KnnResult[];
}

/** DINO's and iBOT's usual number of neighbours. */
export const NEIGHBOURS = 20;

/** The accuracy at k = 20, or at the k nearest to it that was asked for. */
export function usualAccuracy({ accuracies: all }: KnnClassificationRecord): KnnResult {
  const found = [...all].sort((a, b) => Math.abs(a.k - NEIGHBOURS) - Math.abs(b.k - NEIGHBOURS));
  return found[0] ?? { accuracy: Number.NaN, k: NEIGHBOURS, classes: 0 };
}

/** That accuracy by a data set's metric; top-1 where an old record has no other. */
export function knnShare({ accuracy, perClass = accuracy }: KnnResult, metric?: AccuracyMetric): number {
  return metric === "meanPerClass" ? perClass : accuracy;
}

/** One linear probe or k-NN classification of one encoder: one line of `classifications.jsonl`. */
export type ClassificationRecord = LinearProbeRecord | KnnClassificationRecord;

/** The k-NN probe at the end of a run's pretraining: the last one in `metrics.jsonl`, and what `run.json` says beside it. */
export interface PretrainingKnnRecord extends RecordOrigin {
  kind: "pretraining-knn";
  name: string;
  encoder: string;
  seed?: number;
  data?: string;
  step: number;
  epoch: number;
  /** Of pretraining until then. */
  seconds: number;
  knn: KnnResult;
}

/** What ran, where: `run.json`. Everything but the name may be missing; the report shows what is there. */
export interface RunInfo {
  name: string;
  /** Label in tables and legends, for example "Ours(VICReg, all, se2)". Defaults to the name. */
  method?: string;
  command?: string;
  /** How the run was continued, in order. */
  resumed?: { command: string; step: number; startedAt: string }[];
  seed?: number;
  /** ISO 8601. */
  startedAt?: string;
  /** ISO 8601. */
  finishedAt?: string;
  /** Wall time of the pretraining. */
  seconds?: number;
  steps?: number;
  batchSize?: number;
  /** Side of the square input in pixels. */
  imageSize?: number;
  /** Where the images came from. */
  data?: string;
  /** Images in the training set. */
  images?: number;
  model?: { name: string; parameters?: number };
  hardware?: { cpu?: string; cores?: number; memoryGB?: number; device?: string; os?: string };
  /** Name and version of what computed, for example `{ node: "20.20.0" }`. */
  software?: Record<string, string>;
}

/** True for the random-initialised baseline that every table shows first. */
export function isRandomEncoder(encoder: string): boolean {
  return /^random\b/i.test(encoder);
}
