/** @file Weighted k-nearest-neighbour classification of frozen features (Wu et al. 2018), as DINO and iBOT do it. */

import { matmul, type Tensor } from "../graph/index.js";
import { type Device, float32 } from "../runtime/index.js";
import { EvaluationError } from "./evaluation-error.js";
import { type Matrix, rowOf } from "./matrix.js";

/** Temperature of the votes (DINO and iBOT, `eval_knn.py`). */
export const KNN_TEMPERATURE = 0.07;

/** Labelled features. */
export interface LabelledFeatures {
  /** `[N, D]` */
  readonly features: Matrix;
  /** `[N]` */
  readonly labels: Int32Array;
}

export interface KnnOptions {
  /** Neighbours that vote. */
  readonly k: number;
  /** Default 0.07. */
  readonly temperature?: number;
  readonly classes: number;
}

/** Rows of queries and of the bank in one matrix product. */
const QUERIES = 512;
const BANK = 4096;

/**
 * Each query's class: the k nearest of the bank by cosine similarity vote for their label with exp(similarity / T).
 * Of equally near neighbours, and of classes with equally many votes, the first counts.
 * @throws EvaluationError when k is no whole number from 1 to the bank's size.
 */
export async function knnPredict(
  device: Device,
  bank: LabelledFeatures,
  queries: Matrix,
  { k, ...options }: KnnOptions,
): Promise<Int32Array> {
  return (await knnPredictEach(device, bank, queries, { ...options, k: [k] }))[0] as Int32Array;
}

/** The same for several k, in one search: the nearest of the largest k are those of every smaller one. */
export async function knnPredictEach(
  device: Device,
  bank: LabelledFeatures,
  queries: Matrix,
  { k, temperature = KNN_TEMPERATURE, classes }: Omit<KnnOptions, "k"> & { readonly k: readonly number[] },
): Promise<Int32Array[]> {
  const { rows: size, columns: features } = bank.features;
  for (const each of k) {
    if (Number.isInteger(each) && each >= 1 && each <= size) continue;
    throw new EvaluationError(
      `k-NN: k is ${each}, expected a whole number from 1 to the ${size} training images`,
    );
  }
  if (queries.columns !== features) {
    throw new RangeError(`k-NN: the bank has ${features} features, the queries ${queries.columns}`);
  }
  const [queryRows, bankRows] = [Math.min(QUERIES, queries.rows), Math.min(BANK, size)];
  const program = await device.compile({
    name: "similarities",
    inputs: {
      queries: { dtype: "float32", shape: [queryRows, features] },
      bank: { dtype: "float32", shape: [bankRows, features] },
    },
    trace: ({ queries: q, bank: b }) => ({
      outputs: { similarities: matmul(q as Tensor, b as Tensor, { transposeB: true }) },
    }),
  });
  const unitBank = chunks(unitRows(bank.features), bankRows);
  const unitQueries = chunks(unitRows(queries), queryRows);
  const predicted = k.map(() => new Int32Array(queries.rows));
  const most = Math.max(...k);
  for (const query of unitQueries) {
    const nearest = Array.from({ length: query.rows }, () => new Nearest(most));
    for (const part of unitBank) {
      const { similarities } = await program.run({
        queries: float32(query.data, [queryRows, features]),
        bank: float32(part.data, [bankRows, features]),
      });
      const values = similarities?.data as Float32Array;
      nearest.forEach((heap, i) => {
        for (let j = 0; j < part.rows; j++) heap.offer(values[i * bankRows + j] as number, part.first + j);
      });
    }
    nearest.forEach((heap, i) => {
      k.forEach((each, j) => {
        const own = predicted[j] as Int32Array;
        own[query.first + i] = vote(heap, each, bank.labels, classes, temperature);
      });
    });
  }
  await program.release();
  return predicted;
}

/** The k largest similarities seen, in descending order. */
export class Nearest {
  readonly similarities: Float32Array;
  readonly indices: Int32Array;
  #count = 0;

  constructor(readonly k: number) {
    this.similarities = new Float32Array(k).fill(Number.NEGATIVE_INFINITY);
    this.indices = new Int32Array(k);
  }

  offer(similarity: number, index: number): void {
    const { k, similarities, indices } = this;
    if (this.#count === k && similarity <= (similarities[k - 1] as number)) return;
    let place = Math.min(this.#count, k - 1);
    for (; place > 0 && (similarities[place - 1] as number) < similarity; place--) {
      similarities[place] = similarities[place - 1] as number;
      indices[place] = indices[place - 1] as number;
    }
    similarities[place] = similarity;
    indices[place] = index;
    this.#count = Math.min(this.#count + 1, k);
  }
}

/** The class that the first `k` of the nearest vote for. */
function vote(nearest: Nearest, k: number, labels: Int32Array, classes: number, temperature: number): number {
  const votes = new Float64Array(classes);
  nearest.indices.subarray(0, k).forEach((index, i) => {
    const label = labels[index] as number;
    votes[label] = (votes[label] as number) + Math.exp((nearest.similarities[i] as number) / temperature);
  });
  return votes.indexOf(votes.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY));
}

/** The rows scaled to length 1; zero rows stay. */
export function unitRows(features: Matrix): Matrix {
  const data = new Float32Array(features.data.length);
  for (let i = 0; i < features.rows; i++) {
    const row = rowOf(features, i);
    const length = Math.sqrt(row.reduce((total, value) => total + value * value, 0));
    if (!Number.isFinite(length)) {
      throw new EvaluationError(`k-NN: the features of image ${i} are not finite; the encoder has diverged`);
    }
    for (let j = 0; j < row.length && length > 0; j++)
      data[i * features.columns + j] = (row[j] as number) / length;
  }
  return { ...features, data };
}

/** Consecutive parts of equally many rows, the last one filled up with zeros. */
function chunks({ rows, columns, data }: Matrix, size: number) {
  return Array.from({ length: Math.ceil(rows / size) }, (_, i) => {
    const first = i * size;
    const part = new Float32Array(size * columns);
    part.set(data.subarray(first * columns, (first + size) * columns));
    return { first, rows: Math.min(size, rows - first), data: part };
  });
}
