/** @file Training and test images with the same classes: what must hold of them, and what is measured on them. */

import { createHash } from "node:crypto";
import type { Dataset, Metric } from "../data/index.js";
import { randomStream } from "../random.js";
import { EvaluationError } from "./evaluation-error.js";

/** The classes of two data sets. */
export interface CommonClasses {
  /** Those of the training set. */
  readonly classes: readonly string[];
  /** The training set's label of a test set's label. */
  testLabel(label: number): number;
}

/**
 * The classes that a classifier learns from `train` and is tested for on `test`, matched by name.
 * @param what Names the evaluation in messages.
 * @throws EvaluationError when one of them has no classes, there is one class only, there are fewer training images than
 *   classes, or `test` has a class that `train` has not.
 */
export function commonClasses(what: string, train: Dataset, test: Dataset): CommonClasses {
  const [classes, tested] = [classesOf(what, train), classesOf(what, test)];
  if (classes.length < 2) {
    throw new EvaluationError(
      `${what}: ${train.name} has one class, "${classes.join()}", so that nothing can be told apart; give two or more.`,
    );
  }
  if (train.length < classes.length) {
    throw new EvaluationError(
      `${what}: ${train.name} has ${train.length} images for ${classes.length} classes; give one of each class at least.`,
    );
  }
  const labels = tested.map((name) => classes.indexOf(name));
  const unknown = tested.filter((_, label) => labels[label] === -1);
  if (unknown.length > 0) {
    const shown = unknown.slice(0, 3).map((name) => `"${name}"`);
    throw new EvaluationError(
      `${what}: ${test.name} has ${unknown.length} classes that ${train.name} has not (${shown.join(", ")}` +
        `${unknown.length > shown.length ? ", …" : ""}); give two parts of one data set.`,
    );
  }
  return { classes, testLabel: (label) => labels[label] ?? -1 };
}

/** @throws EvaluationError when a data set has no classes. */
export function classesOf(what: string, { name, classes }: Dataset): readonly string[] {
  if (classes) return classes;
  throw new EvaluationError(
    `${what}: ${name} has no classes; put the images of each class into a folder of their own.`,
  );
}

/**
 * @throws EvaluationError when a label is no class, there is no image left, or test images are of a class of which no
 *   training image could be read.
 */
export function checkLabels(
  what: string,
  { classes }: CommonClasses,
  train: Int32Array,
  test: Int32Array,
): void {
  for (const [part, labels] of Object.entries({ training: train, test })) {
    if (labels.length === 0) throw new EvaluationError(`${what}: no ${part} image could be read.`);
    const bad = labels.findIndex((label) => label < 0 || label >= classes.length);
    if (bad >= 0) {
      throw new EvaluationError(
        `${what}: ${part} image ${bad} has the label ${labels[bad]}, expected 0 to ${classes.length - 1}.`,
      );
    }
  }
  const seen = new Set(train);
  const unseen = test.find((label) => !seen.has(label));
  if (unseen !== undefined) {
    throw new EvaluationError(
      `${what}: there are test images of the class "${classes[unseen]}" and no training image of it; add some.`,
    );
  }
}

/** Rows of a training set. */
export interface HoldOut {
  readonly kept: Int32Array;
  readonly heldOut: Int32Array;
}

/**
 * Holds a random share of each class back; one image of a class always stays.
 * @throws EvaluationError when the share is not in [0, 1), or no class has enough images to give one.
 */
export function holdOut(labels: Int32Array, share: number, seed: number): HoldOut {
  if (!(share >= 0 && share < 1)) {
    throw new EvaluationError(`The held-out share is ${share}, expected a number from 0 to below 1.`);
  }
  const rows = new Map<number, number[]>();
  labels.forEach((label, row) => {
    const own = rows.get(label);
    if (own) own.push(row);
    else rows.set(label, [row]);
  });
  const [kept, heldOut]: [number[], number[]] = [[], []];
  for (const [label, own] of rows) {
    const count = Math.min(own.length - 1, Math.round(own.length * share));
    const order = randomStream(seed, "hold-out", label).permutation(own.length);
    order.forEach((place, i) => {
      (i < count ? heldOut : kept).push(own[place] as number);
    });
  }
  if (share > 0 && heldOut.length === 0) {
    throw new EvaluationError(
      `No class has enough images to hold out ${share} of them: hold out more, or 0 to choose no setting.`,
    );
  }
  return { kept: Int32Array.from(kept).sort(), heldOut: Int32Array.from(heldOut).sort() };
}

/** Shares of test images in [0, 1]. */
export interface Accuracies {
  top1: number;
  /** The label is among the five likeliest classes; absent when there are no more than five. */
  top5?: number;
  /** Mean over the classes of each one's top-1 accuracy. */
  perClass: number;
}

/**
 * @param ranks Place of each image's label among the classes, 0 being the prediction. @param labels Of the same images.
 */
export function accuraciesOf(ranks: Int32Array, labels: Int32Array, classes: number): Accuracies {
  const [right, total] = [new Float64Array(classes), new Float64Array(classes)];
  let amongFive = 0;
  ranks.forEach((rank, i) => {
    const label = labels[i] as number;
    total[label] = (total[label] as number) + 1;
    if (rank === 0) right[label] = (right[label] as number) + 1;
    if (rank < 5) amongFive++;
  });
  const shares = [...right].map((count, label) => count / (total[label] as number)).filter(Number.isFinite);
  const sum = (values: Iterable<number>) => [...values].reduce((a, b) => a + b, 0);
  return {
    top1: sum(right) / ranks.length,
    ...(classes > 5 ? { top5: amongFive / ranks.length } : {}),
    perClass: sum(shares) / shares.length,
  };
}

/** The one of the accuracies that a data set is measured by. */
export function measuredBy(
  metric: Metric,
  { top1, perClass }: Pick<Accuracies, "top1" | "perClass">,
): number {
  return metric === "meanPerClass" ? perClass : top1;
}

/** Labelled images of a data set that could be read, in order. */
export interface ReadImages {
  /** `[N]` */
  readonly labels: Int32Array;
  /** Of the crops' pixels, `[N]`. */
  readonly digests: readonly string[];
  /** Their indices in the data set, `[N]`. */
  readonly samples: ArrayLike<number>;
}

/** A data set in a record. */
export interface DataRecord {
  name: string;
  fingerprint: string;
  /** Images that were used: those that could not be decoded are left out. */
  images: number;
  /** What accuracies on it mean, by its layout. */
  metric: Metric;
}

export function dataRecord({ name, fingerprint, metric }: Dataset, { labels }: ReadImages): DataRecord {
  return { name, fingerprint, images: labels.length, metric };
}

/** Test images that are training images too. */
export interface Overlap {
  /** Test images. */
  count: number;
  /** The first one, by its name in both sets. */
  example?: { train: string; test: string };
}

/**
 * Test images whose pixels, as the encoder sees them, are those of a training image: files of equal content are found,
 * whatever they are called and wherever they lie.
 */
export function overlapOf(train: Dataset, trained: ReadImages, test: Dataset, tested: ReadImages): Overlap {
  const known = new Map(trained.digests.map((digest, row) => [digest, row]));
  const shared = [...tested.digests.keys()].filter((row) => known.has(tested.digests[row] as string));
  const [first] = shared;
  if (first === undefined) return { count: 0 };
  const twin = known.get(tested.digests[first] as string) as number;
  return {
    count: shared.length,
    example: {
      train: train.sampleName(trained.samples[twin] as number),
      test: test.sampleName(tested.samples[first] as number),
    },
  };
}

/** A digest of the pixels of each of the first `count` crops, uint8 `[B, 3, size, size]`. */
export function digestsOf(crops: Uint8Array, count: number, size: number): string[] {
  const bytes = 3 * size ** 2;
  return Array.from({ length: count }, (_, i) =>
    createHash("sha1")
      .update(crops.subarray(i * bytes, (i + 1) * bytes))
      .digest("base64"),
  );
}
