/** @file Parts of a data set, and reading them in order. */

import {
  type Batch,
  type CropSpec,
  createSequentialLoader,
  type Dataset,
  type ResizeCenterCrop,
} from "../data/index.js";
import { randomStream } from "../random.js";
import { EvaluationError } from "./evaluation-error.js";

/** The samples of `dataset` with the given indices, in that order. */
export function subset(dataset: Dataset, indices: ArrayLike<number>): Dataset {
  const original = (index: number): number => {
    const place = indices[index];
    if (place === undefined) {
      throw new RangeError(
        `Sample ${index} of a part of ${dataset.name}: expected an index below ${indices.length}`,
      );
    }
    return place;
  };
  return {
    ...dataset,
    length: indices.length,
    label: (index) => dataset.label(original(index)),
    sampleName: (index) => dataset.sampleName(original(index)),
    source: (index) => dataset.source(original(index)),
    decode: (index, options) => dataset.decode(original(index), options),
    factors: (index) => dataset.factors(original(index)),
  };
}

/**
 * Disjoint random parts of a data set, by name: a part depends on the seed, the sizes of the parts before it, and its
 * own size.
 * @param sizes Samples of each part.
 * @throws EvaluationError when the data set holds fewer samples than all parts together.
 */
export function disjointParts<Name extends string>(
  dataset: Pick<Dataset, "name" | "length">,
  sizes: Readonly<Record<Name, number>>,
  seed: number,
): Record<Name, Uint32Array> {
  const parts = Object.entries(sizes) as [Name, number][];
  for (const [name, size] of parts) {
    if (!Number.isInteger(size) || size < 1) {
      throw new EvaluationError(`The ${name} part has ${size} images, expected a whole number from 1.`);
    }
  }
  const needed = parts.reduce((total, [, size]) => total + size, 0);
  if (needed > dataset.length) {
    const sum = parts.map(([name, size]) => `${size} ${name}`).join(" + ");
    throw new EvaluationError(
      `The evaluation needs ${needed} images (${sum}), ${dataset.name} has ${dataset.length}: ` +
        "ask for fewer, or give more images. No image may be in two parts.",
    );
  }
  const order = randomStream(seed, "evaluation split").permutation(dataset.length);
  let from = 0;
  return Object.fromEntries(
    parts.map(([name, size]) => {
      const part = order.slice(from, from + size);
      from += size;
      return [name, part];
    }),
  ) as Record<Name, Uint32Array>;
}

/** Images of at least this side are resized by 256 / 224 before the centre is cut out, as is usual on ImageNet. */
const RESIZE_FROM = 128;

/**
 * The centre crop of evaluation, as ImageNet's (Resize 256 bicubic, CenterCrop 224) at other sizes.
 * Small images are not enlarged first: there it would cut off what little there is.
 * @param size Side of the crop in pixels.
 */
export function centreCrop(size: number): ResizeCenterCrop {
  const resize = size < RESIZE_FROM ? size : Math.round((size * 256) / 224);
  return { kind: "resizeCenterCrop", resize, size, interpolation: "bicubic" };
}

/** Other crops of each image besides the centre, and the seed of their draws. */
export interface MoreCrops {
  readonly crops: readonly CropSpec[];
  readonly seed: number;
}

/**
 * Batches of centre crops in order, other crops behind them; the last one is padded with zeros.
 * @param size Side of the crops in pixels.
 */
export function evaluationBatches(
  dataset: Dataset,
  size: number,
  batchSize: number,
  { crops, seed }: MoreCrops = { crops: [], seed: 0 },
): AsyncIterable<Batch> {
  return createSequentialLoader({
    dataset,
    batchSize,
    views: [centreCrop(size), ...crops],
    seed,
    pad: true,
    cacheBytes: 0,
  });
}

/** The crops of a batch, uint8 `[B, 3, size, size]`. */
export function cropsOf({ views }: Batch): Uint8Array {
  const [crops] = views;
  if (!crops) throw new Error("internal: a batch without a view");
  return crops;
}
