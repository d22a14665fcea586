/** @file Trains a sweep of linear classifiers on features that were extracted before, and tests them. */

import type { Metric } from "../data/index.js";
import { cosineSchedule } from "../nn/index.js";
import { randomStream } from "../random.js";
import type { Device } from "../runtime/index.js";
import { EvaluationError } from "./evaluation-error.js";
import { type Accuracies, accuraciesOf, measuredBy } from "./labelled.js";
import type { LinearData } from "./linear-features.js";
import {
  type LinearClassifier,
  type LinearOptimizer,
  type LinearSetting,
  LinearSweep,
} from "./linear-sweep.js";
import { columnMoments, type Matrix, matrix, rowOf, standardized } from "./matrix.js";

export interface LinearTrainingOptions {
  readonly classes: number;
  readonly optimizer: LinearOptimizer;
  readonly settings: readonly LinearSetting[];
  readonly batchSize: number;
  readonly steps: number;
  /** The learning rates fall along a cosine to 0, after every so many steps. Default 1. */
  readonly stepsPerDecay?: number;
  /** Of initial weights, order and crops. */
  readonly seed: number;
  readonly progress?: (fraction: number) => void;
}

/** What one classifier scores. */
export interface Score extends Accuracies {
  /** Mean place of the label among the classes: it breaks ties. */
  readonly meanRank: number;
}

/** Classifiers after training, on the device until `release`. */
export interface TrainedSweep {
  /** Scores of each setting on the centre crops of the given images (default: all). */
  score(data: LinearData, images?: Int32Array): Promise<Score[]>;
  /** The classifiers, one for each setting. */
  classifiers(): Promise<LinearClassifier[]>;
  release(): Promise<void>;
}

/**
 * Trains one classifier for each setting on the same batches: images in random order, pass after pass, every batch full;
 * one of an image's crops in each pass.
 * @param images Images to train on, rows of `data.labels`.
 * @throws EvaluationError when sizes make no sense.
 */
export async function trainLinear(
  device: Device,
  data: LinearData,
  images: Int32Array,
  options: LinearTrainingOptions,
): Promise<TrainedSweep> {
  const { classes, optimizer, settings, batchSize, steps, stepsPerDecay = 1, seed, progress } = options;
  for (const [name, value] of Object.entries({ batchSize, steps, stepsPerDecay })) {
    if (!Number.isInteger(value) || value < 1) {
      throw new EvaluationError(`The linear probe's ${name} is ${value}, expected a whole number from 1.`);
    }
  }
  const { columns: width } = data.features;
  const sweep = await LinearSweep.create(device, { settings, width, classes, batchSize, optimizer });
  await sweep.reset(seed);
  const cosine = cosineSchedule(1, 0, Math.ceil(steps / stepsPerDecay));
  const rows = trainingRows(data, images, seed);
  // While the device makes a step, the next batch is gathered.
  let running = Promise.resolve();
  for (let step = 0; step < steps; step++) {
    const features = new Float32Array(batchSize * width);
    const labels = new Int32Array(batchSize);
    for (let i = 0; i < batchSize; i++) {
      const row = rows.next().value;
      features.set(rowOf(data.features, row), i * width);
      labels[i] = data.labels[Math.floor(row / data.views)] as number;
    }
    await running;
    running = sweep.step(features, labels, step, cosine(Math.floor(step / stepsPerDecay)));
    if (step % 50 === 0) progress?.(step / steps);
  }
  await running;
  return {
    score: async (tested, chosen = Int32Array.from(tested.labels.keys())) => {
      const labels = chosen.map((image) => tested.labels[image] as number);
      const ranks = await sweep.ranks(centreFeatures(tested, chosen), labels);
      return ranks.map((places) => ({
        ...accuraciesOf(places, labels, classes),
        meanRank: places.reduce((total, rank) => total + rank, 0) / places.length,
      }));
    },
    classifiers: () => sweep.classifiers(),
    release: () => sweep.release(),
  };
}

/** Rows of the features in the order of training, without end. */
function* trainingRows({ views }: LinearData, images: Int32Array, seed: number): Generator<number, never> {
  for (let epoch = 0; ; epoch++) {
    const order = randomStream(seed, "linear order", epoch).permutation(images.length);
    const crops = randomStream(seed, "linear crops", epoch);
    for (const place of order) {
      yield (images[place] as number) * views + (views > 1 ? crops.integer(views) : 0);
    }
  }
}

function centreFeatures({ features, views }: LinearData, images: Int32Array): Matrix {
  const data = new Float32Array(images.length * features.columns);
  images.forEach((image, i) => {
    data.set(rowOf(features, image * views), i * features.columns);
  });
  return matrix(images.length, features.columns, data);
}

/** Both with each feature's mean over the training crops taken off, and divided by its deviation there. */
export function standardizedData<Data extends LinearData>(
  train: Data,
  test: Data,
): [train: Data, test: Data] {
  const moments = columnMoments(train.features);
  return [
    { ...train, features: standardized(train.features, moments) },
    { ...test, features: standardized(test.features, moments) },
  ];
}

/** The setting with the highest accuracy; of equal ones the one whose labels stand higher in the mean. */
export function bestOf(scores: readonly Score[], metric: Metric): number {
  let best = 0;
  scores.forEach((score, i) => {
    const leader = scores[best] as Score;
    const lead = measuredBy(metric, score) - measuredBy(metric, leader);
    if (lead > 0 || (lead === 0 && score.meanRank < leader.meanRank)) best = i;
  });
  return best;
}
