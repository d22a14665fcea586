/** @file Batches of views, read ahead in other threads: endless and shuffled to train, in order to evaluate. */

import type { Batch } from "./batch.js";
import { type BatchPlan, checkBatchSize, sequentialPlan, trainingPlan } from "./batch-plan.js";
import { type CropSpec, checkCropSpec } from "./crop.js";
import { DataError } from "./data-error.js";
import type { Dataset } from "./dataset.js";
import { LoaderPool } from "./loader-pool.js";

/** Batches in order. One consumer; leaving a `for await` loop closes it. */
export interface Loader extends AsyncIterableIterator<Batch, undefined> {
  /** Seconds that the consumer has waited for batches so far. */
  readonly waitSeconds: number;
  /** Ends the threads. A waiting `next()` is answered with `done`. */
  close(): Promise<void>;
}

interface CommonOptions {
  readonly dataset: Dataset;
  readonly batchSize: number;
  /** One entry per view of each image. */
  readonly views: readonly CropSpec[];
  /** Seed of order and crops. Default 0. */
  readonly seed?: number;
  /** Batches read ahead of the consumer. Default 2. */
  readonly prefetch?: number;
  /** Threads that read files and crop; each decodes on several libuv threads. More help where files come slowly. Default 1. */
  readonly workers?: number;
  /** Bytes of decoded images kept in memory, all threads together. Default 512 MiB. */
  readonly cacheBytes?: number;
}

export interface LoaderOptions extends CommonOptions {
  /** First step to hand over, to resume. Default 0. */
  readonly startStep?: number;
  /** Default true. */
  readonly shuffle?: boolean;
  /** Leave out the incomplete batch at the end of each epoch. Default true. */
  readonly dropLast?: boolean;
}

export interface SequentialLoaderOptions extends CommonOptions {
  /** Fill the last batch with zeros to `batchSize` rows, for programs of fixed shape. Default false. */
  readonly pad?: boolean;
}

const DEFAULT_CACHE_BYTES = 512 * 2 ** 20;

/** How rows are filled whose sample turns out to be unreadable. */
type OnFailure = "replace" | "omit";

class BatchLoader implements Loader {
  readonly #dataset: Dataset;
  readonly #pool: LoaderPool;
  readonly #plan: BatchPlan;
  readonly #onFailure: OnFailure;
  readonly #padTo: number;
  readonly #ahead: number;
  readonly #bad = new Set<number>();
  /** Batches under way, next one first; fewer at the end. */
  readonly #queue: Promise<Batch>[] = [];
  #nextStep: number;
  #ended = false;
  #closed = false;
  #waited = 0;

  constructor(
    options: CommonOptions,
    plan: BatchPlan,
    { startStep, onFailure, padTo }: { startStep: number; onFailure: OnFailure; padTo: number },
  ) {
    const { dataset, views, seed = 0, prefetch = 2, workers = 1, cacheBytes = DEFAULT_CACHE_BYTES } = options;
    if (views.length === 0) throw new DataError("No view was asked for: give at least one crop spec.");
    for (const spec of views) checkCropSpec(spec);
    for (const [name, value, low] of [
      ["prefetch", prefetch, 0],
      ["workers", workers, 1],
      ["startStep", startStep, 0],
    ] as const) {
      if (!Number.isInteger(value) || value < low) {
        throw new DataError(`Loader: ${name} is ${value}, expected an integer of at least ${low}.`);
      }
    }
    this.#dataset = dataset;
    this.#plan = plan;
    this.#onFailure = onFailure;
    this.#padTo = padTo;
    this.#ahead = prefetch;
    this.#nextStep = startStep;
    this.#pool = new LoaderPool(workers, { views, seed, cacheBytes });
    this.#fill(prefetch);
  }

  get waitSeconds(): number {
    return this.#waited;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<Batch, undefined>> {
    const start = performance.now();
    try {
      for (;;) {
        if (this.#closed) break;
        // The batch handed over now leaves its place to one more ahead.
        this.#fill(this.#ahead + 1);
        const batch = await this.#queue.shift();
        if (!batch) break;
        if (batch.count > 0) return { done: false, value: batch };
      }
    } catch (error) {
      // Closing while somebody waits ends the wait, it is no failure.
      if (!this.#closed) {
        await this.close();
        throw error;
      }
    } finally {
      this.#waited += (performance.now() - start) / 1000;
    }
    await this.close();
    return { done: true, value: undefined };
  }

  async return(): Promise<IteratorResult<Batch, undefined>> {
    await this.close();
    return { done: true, value: undefined };
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#queue.length = 0;
    await this.#pool.close();
  }

  /** Starts reading until `count` batches are under way. */
  #fill(count: number): void {
    while (this.#queue.length < count && !this.#ended) {
      const step = this.#nextStep++;
      const planned = this.#plan(step);
      if (!planned) {
        this.#ended = true;
        return;
      }
      const batch = this.#read(step, planned.epoch, planned.indices);
      // Whoever waits for it sees the error; until then it must not end the process.
      batch.catch(() => {});
      this.#queue.push(batch);
    }
  }

  async #read(step: number, epoch: number, planned: Int32Array<ArrayBuffer>): Promise<Batch> {
    const request = (index: number) => ({ index, source: this.#dataset.source(index) });
    const indices = planned.map((index) => this.#substitute(index));
    const { views, failures } = await this.#pool.read(epoch, Array.from(indices, request));
    const missing = new Set<number>();
    for (const failure of failures) {
      const { row } = failure;
      let { reason } = failure;
      for (;;) {
        this.#skip(indices[row] as number, reason);
        if (this.#onFailure === "omit") {
          missing.add(row);
          break;
        }
        const substitute = this.#substitute(indices[row] as number);
        indices[row] = substitute;
        const again = await this.#pool.read(epoch, [request(substitute)]);
        const problem = again.failures[0];
        if (!problem) {
          for (const [v, view] of again.views.entries()) views[v]?.set(view, row * view.length);
          break;
        }
        reason = problem.reason;
      }
    }
    return this.#assemble(step, epoch, indices, views, missing);
  }

  /** The sample itself, or the next one in the data set's order that is not known to be bad. */
  #substitute(index: number): number {
    if (this.#onFailure === "omit") return index;
    let candidate = index;
    while (this.#bad.has(candidate)) candidate = (candidate + 1) % this.#dataset.length;
    return candidate;
  }

  #skip(index: number, reason: string): void {
    this.#bad.add(index);
    const { skips } = this.#dataset;
    skips.add(this.#dataset.sampleName(index), reason);
    skips.check();
  }

  #assemble(
    step: number,
    epoch: number,
    indices: Int32Array<ArrayBuffer>,
    views: readonly Uint8Array<ArrayBuffer>[],
    missing: ReadonlySet<number>,
  ): Batch {
    const kept = indices.filter((_, row) => !missing.has(row));
    const labelled = this.#dataset.classes !== undefined;
    const labels = labelled ? kept.map((index) => this.#dataset.label(index) ?? -1) : undefined;
    const rows = this.#padTo || kept.length;
    const common = { step, epoch, count: kept.length, indices: kept, labels };
    if (rows === indices.length && missing.size === 0) return { ...common, views };
    const compact = views.map((view) => {
      const bytes = view.length / indices.length;
      const out = new Uint8Array(rows * bytes);
      let target = 0;
      for (let row = 0; row < indices.length; row++) {
        if (missing.has(row)) continue;
        out.set(view.subarray(row * bytes, (row + 1) * bytes), target);
        target += bytes;
      }
      return out;
    });
    return { ...common, views: compact };
  }
}

/**
 * Endless training batches. The content of a batch depends on (seed, step) and the files alone, not on `workers`,
 * `prefetch`, `cacheBytes` or where the run was resumed. A sample that cannot be decoded is skipped (see `SkipLog`)
 * and the next one in the data set's order takes its place.
 * @throws DataError when an option cannot be meant or the batch is larger than the data set; from `next()` when too
 *   many samples turn out to be unreadable.
 */
export function createLoader(options: LoaderOptions): Loader {
  const { dataset, batchSize, seed = 0, startStep = 0, shuffle = true, dropLast = true } = options;
  checkBatchSize(batchSize, dataset.length, dataset.name);
  const plan = trainingPlan({ length: dataset.length, batchSize, seed, shuffle, dropLast });
  return new BatchLoader(options, plan, { startStep, onFailure: "replace", padTo: 0 });
}

/**
 * Every sample once, in order, then the end. The last batch is shorter, or padded. A sample that cannot be decoded is
 * skipped (see `SkipLog`) and left out: `count` and `indices` say what a batch holds.
 * @throws DataError like `createLoader`; the batch may be larger than the data set.
 */
export function createSequentialLoader(options: SequentialLoaderOptions): Loader {
  const { dataset, batchSize, pad = false } = options;
  checkBatchSize(batchSize, Number.POSITIVE_INFINITY, dataset.name);
  const plan = sequentialPlan(dataset.length, batchSize);
  return new BatchLoader(options, plan, { startStep: 0, onFailure: "omit", padTo: pad ? batchSize : 0 });
}
