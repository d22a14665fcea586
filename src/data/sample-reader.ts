/** @file From samples to views: decode (or take from memory), crop, write into the batch. Runs in any thread. */

import { randomStream } from "../random.js";
import { applyCrop, type CropSpec, planCrop, reductionOf } from "./crop.js";
import { reasonOf } from "./data-error.js";
import { coveredSize, type ImageHeader, type Raster, type Shrink, shrinkFor } from "./image.js";
import { type OpenedSource, openSource, type SampleSource } from "./sample-source.js";

/** One sample to read. */
export interface SampleRequest {
  readonly index: number;
  readonly source: SampleSource;
}

/** A row that could not be read. */
export interface SampleFailure {
  readonly row: number;
  readonly reason: string;
}

export interface ReadResult {
  /** For each view [rows, 3, size, size]; rows of failures are zero. */
  readonly views: Uint8Array<ArrayBuffer>[];
  readonly failures: SampleFailure[];
}

export interface ReaderOptions {
  readonly views: readonly CropSpec[];
  readonly seed: number;
  /** Bytes of decoded images to keep. */
  readonly cacheBytes: number;
}

/** Samples read at once, over all batches: libuv decodes on as many threads while this one reads and crops. */
const CONCURRENCY = 4;

/** What a cached image costs besides its pixels. */
const ENTRY_BYTES = 256;

export class SampleReader {
  readonly #options: ReaderOptions;
  readonly #headers = new Map<number, ImageHeader>();
  /** By index * 8 + shrink - 1. What came first stays: with a new order every epoch no eviction rule does better. */
  readonly #images = new Map<number, Raster>();
  #room: number;
  #free = CONCURRENCY;
  /** Samples that wait for their turn, first come first. */
  readonly #waiting: (() => void)[] = [];

  constructor(options: ReaderOptions) {
    this.#options = options;
    this.#room = options.cacheBytes;
  }

  /** Reads samples into new views, one row each, in the given order. */
  async read(epoch: number, samples: readonly SampleRequest[]): Promise<ReadResult> {
    const views = this.#options.views.map(({ size }) => new Uint8Array(samples.length * 3 * size * size));
    const failures: SampleFailure[] = [];
    const readRow = async (sample: SampleRequest, row: number) => {
      if (this.#free > 0) this.#free--;
      else await new Promise<void>((resume) => this.#waiting.push(resume));
      try {
        const problem = await this.#readRow(epoch, sample, views, row);
        if (problem !== undefined) failures.push({ row, reason: problem });
      } finally {
        // A place goes straight to the next in line.
        const next = this.#waiting.shift();
        if (next) next();
        else this.#free++;
      }
    };
    await Promise.all(samples.map(readRow));
    return { views, failures: failures.sort((a, b) => a.row - b.row) };
  }

  /** Returns why the sample could not be read, if so. */
  async #readRow(
    epoch: number,
    { index, source }: SampleRequest,
    views: readonly Uint8Array[],
    row: number,
  ): Promise<string | undefined> {
    // A known header belongs to pixels in memory: nothing may have to be read at all.
    let header = this.#headers.get(index);
    let opened: OpenedSource | undefined;
    try {
      if (!header) {
        opened = await openSource(source);
        header = opened.header;
      }
    } catch (error) {
      return reasonOf(error);
    }
    const { seed } = this.#options;
    const plans = this.#options.views.map((spec, view) => {
      const group = spec.kind === "randomResizedCrop" ? spec.group : undefined;
      return planCrop(spec, header, randomStream(seed, "crop", epoch, index, group ?? view));
    });
    const shrink = shrinkFor(header, Math.min(...plans.map(reductionOf)));
    let image: Raster;
    try {
      image = await this.#decode(index, header, shrink, async () => opened ?? openSource(source, header));
    } catch (error) {
      return reasonOf(error);
    }
    const covered = coveredSize(header, shrink);
    for (const [view, plan] of plans.entries()) {
      applyCrop(image, covered, plan, views[view] as Uint8Array, row * 3 * plan.size * plan.size);
    }
    return undefined;
  }

  async #decode(
    index: number,
    header: ImageHeader,
    shrink: Shrink,
    open: () => Promise<OpenedSource>,
  ): Promise<Raster> {
    const key = index * 8 + shrink - 1;
    const known = this.#images.get(key);
    if (known) return known;
    const image = await (await open()).decode(shrink);
    const bytes = image.data.length + ENTRY_BYTES;
    if (bytes <= this.#room && !this.#images.has(key)) {
      this.#room -= bytes;
      this.#images.set(key, image);
      this.#headers.set(index, header);
    }
    return image;
  }
}
