/** @file Which samples make up which batch: a pure function of (seed, step). */

import { randomStream } from "../random.js";
import { DataError } from "./data-error.js";

export interface PlannedBatch {
  readonly epoch: number;
  readonly indices: Int32Array<ArrayBuffer>;
}

/** The batch of a step, or undefined after the last one. */
export type BatchPlan = (step: number) => PlannedBatch | undefined;

export interface TrainingPlanOptions {
  /** Samples in the data set. */
  readonly length: number;
  readonly batchSize: number;
  readonly seed: number;
  readonly shuffle: boolean;
  /** Leaves out the incomplete batch at the end of an epoch. */
  readonly dropLast: boolean;
}

/** @throws DataError when no batch can be filled. */
export function checkBatchSize(batchSize: number, length: number, name: string): void {
  if (!Number.isInteger(batchSize) || batchSize < 1) {
    throw new DataError(`The batch size is ${batchSize}, expected a positive integer.`);
  }
  if (batchSize > length) {
    const images = length === 1 ? "1 image" : `${length} images`;
    throw new DataError(
      `The batch size ${batchSize} is larger than the data set ${name} (${images}): ` +
        `choose a batch size of at most ${length}, or add images.`,
    );
  }
}

export function stepsPerEpoch(length: number, batchSize: number, dropLast: boolean): number {
  return dropLast ? Math.floor(length / batchSize) : Math.ceil(length / batchSize);
}

/** Epoch after epoch without end, each in its own order, `randomStream(seed, "order", epoch).permutation(length)`. */
export function trainingPlan({ length, batchSize, seed, shuffle, dropLast }: TrainingPlanOptions): BatchPlan {
  const steps = stepsPerEpoch(length, batchSize, dropLast);
  let orderEpoch = -1;
  let order = new Uint32Array();
  return (step) => {
    const epoch = Math.floor(step / steps);
    const start = (step % steps) * batchSize;
    const count = Math.min(batchSize, length - start);
    if (shuffle && epoch !== orderEpoch) {
      order = Uint32Array.from(randomStream(seed, "order", epoch).permutation(length));
      orderEpoch = epoch;
    }
    const indices = Int32Array.from({ length: count }, (_, i) =>
      shuffle ? (order[start + i] as number) : start + i,
    );
    return { epoch, indices };
  };
}

/** Every sample once, in order. */
export function sequentialPlan(length: number, batchSize: number): BatchPlan {
  return (step) => {
    const start = step * batchSize;
    if (start >= length) return undefined;
    const count = Math.min(batchSize, length - start);
    return { epoch: 0, indices: Int32Array.from({ length: count }, (_, i) => start + i) };
  };
}
