/** @file k-NN accuracy of an encoder on images with classes, once or again and again during pretraining. */

import type { Batch, Dataset } from "../data/index.js";
import type { VisionTransformerConfig } from "../models/index.js";
import type { Device } from "../runtime/index.js";
import type { Encoder, FeatureKind, ResidentEncoder } from "./encoder.js";
import { EvaluationError } from "./evaluation-error.js";
import { FeatureExtractor } from "./features.js";
import { KNN_TEMPERATURE, knnPredict, knnPredictEach, type LabelledFeatures } from "./knn.js";
import {
  accuraciesOf,
  checkLabels,
  classesOf,
  commonClasses,
  type DataRecord,
  dataRecord,
  digestsOf,
  type Overlap,
  overlapOf,
} from "./labelled.js";
import { below, type Matrix } from "./matrix.js";
import { centreCrop, cropsOf, disjointParts, evaluationBatches, subset } from "./subset.js";

/** An online probe's images stay in memory up to this many bytes; beyond, they are read again at every run. */
const KEPT_BYTES = 256 * 2 ** 20;

/** Result of a k-NN classification. Accuracies are in [0, 1]. */
export interface KnnAccuracy {
  /** Top-1. */
  accuracy: number;
  /** Mean over the classes of each one's accuracy. */
  perClass: number;
  k: number;
  classes: number;
}

/** Neighbours for which DINO and iBOT report accuracies. */
const DEFAULT_K = [10, 20, 100, 200] as const;

export interface KnnEvaluationOptions {
  readonly device: Device;
  readonly encoder: Encoder;
  readonly train: Dataset;
  readonly test: Dataset;
  /** Default: what the pretraining loss saw. */
  readonly features?: FeatureKind;
  /** Neighbours; values above the number of training images are left out. Default 10, 20, 100 and 200. */
  readonly k?: readonly number[];
  /** Name of what is evaluated, for the record; the encoder's label when omitted. */
  readonly name?: string;
  readonly progress?: (text: string, fraction: number) => void;
}

/** A k-NN classification's result, with what is needed to repeat it; nothing in it is drawn at random. */
export interface KnnRecord {
  kind: "knn";
  name: string;
  encoder: string;
  features: FeatureKind;
  classes: number;
  train: DataRecord;
  test: DataRecord;
  /** Test images that are training images too. */
  overlap: Overlap;
  /** Sides in pixels of the crop and of what it is cut from. */
  imageSize: number;
  resize: number;
  temperature: number;
  seconds: number;
  accuracies: KnnAccuracy[];
}

/**
 * Accuracy for each k: every test image is classified by its nearest training images.
 * @throws EvaluationError when the data has no labels or does not fit together, or no k can be used.
 */
export async function evaluateKnn(options: KnnEvaluationOptions): Promise<KnnRecord> {
  const { device, encoder, train, test, k = DEFAULT_K, progress } = options;
  const kind = options.features ?? encoder.trained;
  const started = performance.now();
  const common = commonClasses("k-NN", train, test);
  const extractor = await FeatureExtractor.create(device, encoder, { kinds: [kind] });
  const total = train.length + test.length;
  const told = (before: number) => (images: number) => progress?.("features", (before + images) / total);
  const read = (dataset: Dataset) => evaluationBatches(dataset, extractor.imageSize, extractor.batchSize);
  const bank = await labelledFeatures(extractor, read(train), kind, told(0));
  const found = await labelledFeatures(extractor, read(test), kind, told(train.length));
  const queries = { ...found, labels: found.labels.map(common.testLabel) };
  await extractor.release();
  checkLabels("k-NN", common, bank.labels, queries.labels);
  const usable = k.filter((neighbours) => neighbours <= bank.labels.length);
  if (usable.length === 0) {
    throw new EvaluationError(
      `k-NN: k is ${k.join(", ")}, and there are ${bank.labels.length} training images; ask for fewer neighbours.`,
    );
  }
  progress?.("neighbours", 1);
  const classes = common.classes.length;
  const predicted = await knnPredictEach(device, bank, queries.features, { k: usable, classes });
  const { resize, size } = centreCrop(extractor.imageSize);
  return {
    kind: "knn",
    name: options.name ?? encoder.label,
    encoder: encoder.label,
    features: kind,
    classes,
    train: dataRecord(train, bank),
    test: dataRecord(test, queries),
    overlap: overlapOf(train, bank, test, queries),
    imageSize: size,
    resize,
    temperature: KNN_TEMPERATURE,
    seconds: (performance.now() - started) / 1000,
    accuracies: usable.map((neighbours, i) =>
      knnAccuracy(predicted[i] as Int32Array, queries.labels, neighbours, classes),
    ),
  };
}

export interface OnlineKnnOptions {
  readonly device: Device;
  /** Where the weights in training are on the device. */
  readonly statePrefix: string;
  readonly config: VisionTransformerConfig;
  /** Has classes. */
  readonly dataset: Dataset;
  readonly feature: FeatureKind;
  /** Images that vote and that are classified, at most. Defaults 2,000 and 500. */
  readonly maxTrain?: number;
  readonly maxTest?: number;
  /** Default 20. */
  readonly k?: number;
  /** Of the choice of images. Default 0. */
  readonly seed?: number;
}

export interface OnlineKnn {
  /** Accuracy of the weights as they are now. */
  run(): Promise<KnnAccuracy>;
  /** Frees the programs. */
  release(): Promise<void>;
}

/**
 * A probe of weights in training, on a fixed random choice of images. A fifth of a small data set is classified.
 * It moves no weights: they are read where they are.
 * @throws EvaluationError when the data has no classes or fewer than two images.
 */
export async function createOnlineKnn(options: OnlineKnnOptions): Promise<OnlineKnn> {
  const { device, statePrefix, config, dataset, feature, k = 20, seed = 0 } = options;
  const classes = classesOf("k-NN", dataset).length;
  if (dataset.length < 2)
    throw new EvaluationError(`k-NN: ${dataset.name} has 1 image, at least 2 are needed.`);
  const test = Math.min(options.maxTest ?? 500, Math.max(1, Math.floor(dataset.length / 5)));
  const train = Math.min(options.maxTrain ?? 2000, dataset.length - test);
  const parts = disjointParts(dataset, { test, train }, seed);
  const encoder: ResidentEncoder = { config, statePrefix };
  const extractor = await FeatureExtractor.create(device, encoder, { kinds: [feature] });
  const { imageSize, batchSize } = extractor;
  const isKept = (test + train) * 3 * imageSize ** 2 <= KEPT_BYTES;
  const read = (part: Uint32Array) => evaluationBatches(subset(dataset, part), imageSize, batchSize);
  const images = isKept
    ? { train: await collected(read(parts.train)), test: await collected(read(parts.test)) }
    : undefined;
  return {
    async run() {
      const bank = await labelledFeatures(extractor, images?.train ?? read(parts.train), feature);
      const queries = await labelledFeatures(extractor, images?.test ?? read(parts.test), feature);
      return accuracy(device, bank, queries, Math.min(k, bank.labels.length), classes);
    },
    release: () => extractor.release(),
  };
}

async function accuracy(
  device: Device,
  bank: LabelledFeatures,
  queries: LabelledFeatures,
  k: number,
  classes: number,
): Promise<KnnAccuracy> {
  const predicted = await knnPredict(device, bank, queries.features, { k, classes });
  return knnAccuracy(predicted, queries.labels, k, classes);
}

function knnAccuracy(predicted: Int32Array, labels: Int32Array, k: number, classes: number): KnnAccuracy {
  // Of the classes behind the first one the vote says nothing: wrong is wrong.
  const ranks = predicted.map((label, i) => (label === labels[i] ? 0 : 1));
  const { top1, perClass } = accuraciesOf(ranks, labels, classes);
  return { accuracy: top1, perClass, k, classes };
}

async function collected<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

type Batches = Iterable<Batch> | AsyncIterable<Batch>;

interface ExtractedFeatures extends LabelledFeatures {
  /** Of the crops' pixels, and the sample of each row. */
  readonly digests: readonly string[];
  readonly samples: readonly number[];
}

async function labelledFeatures(
  extractor: FeatureExtractor,
  batches: Batches,
  kind: FeatureKind,
  progress?: (images: number) => void,
): Promise<ExtractedFeatures> {
  const values: Matrix[] = [];
  const labels: number[] = [];
  const digests: string[] = [];
  const samples: number[] = [];
  for await (const batch of batches) {
    const crops = cropsOf(batch);
    digests.push(...digestsOf(crops, batch.count, extractor.imageSize));
    const { image } = await extractor.extract(crops, batch.count);
    values.push(image?.[kind] as Matrix);
    labels.push(...(batch.labels ?? []));
    samples.push(...batch.indices);
    progress?.(labels.length);
  }
  return { features: below(values), labels: Int32Array.from(labels), digests, samples };
}
