/** @file Features of all images of a data set, one batch after the other: what `embed`, `search` and `map` share. */

import { statSync } from "node:fs";
import { extname } from "node:path";
import { type Command, Option } from "commander";
import {
  centerSquare,
  createSequentialLoader,
  type Dataset,
  openDataset,
  type Raster,
} from "../data/index.js";
import {
  type Encoder,
  FeatureExtractor,
  type FeatureKind,
  type Matrix,
  matrix,
} from "../evaluation/index.js";
import { Device } from "../runtime/index.js";
import {
  encoderPreprocessing,
  FEATURE_ENDINGS,
  type FeatureRows,
  readFeatureFile,
} from "../weights/index.js";
import { addDeviceOptions, addSplitOption, type DeviceFlags, wholeNumber } from "./options.js";
import { CommandError, printWarning } from "./output.js";

export interface EmbeddingFlags extends DeviceFlags {
  readonly run?: string;
  readonly encoder?: string;
  readonly split?: string;
  readonly features?: FeatureKind | "both";
  readonly batch: number;
}

/** The encoder, which feature, and how it is computed. */
export function addEmbeddingOptions(command: Command): Command {
  command
    .option("--run <run>", "run folder: its newest checkpoint")
    .option("--encoder <dir>", "exported encoder")
    .addOption(
      new Option(
        "--features <kind>",
        "class token, mean of the patches, or both side by side (default: the one that was trained)",
      ).choices(["cls", "mean", "both"]),
    )
    .option("--batch <n>", "images at a time", wholeNumber(1), 8);
  return addDeviceOptions(addSplitOption(command, "images of this split (default: train)"));
}

/** A folder of images, or what else the other commands take. */
export function openImages(data: string, encoder: Encoder, { split }: EmbeddingFlags): Promise<Dataset> {
  return openDataset(data, {
    ...(split === undefined ? {} : { split }),
    synthetic: { size: encoder.config.imageSize },
  });
}

export function featureKinds({ features }: EmbeddingFlags, encoder: Encoder): FeatureKind[] {
  const kind = features ?? encoder.trained;
  return kind === "both" ? ["cls", "mean"] : [kind];
}

/** Rows of features with the samples that they belong to. */
export interface EmbeddedRows extends FeatureRows {
  readonly indices: Int32Array;
}

/**
 * Computes features batch by batch, in the data set's order. Reading and decoding run ahead in a thread of their own,
 * and the next batch is computed while the caller writes the last one. Progress goes to stderr.
 * @param signal Stops between two batches; no rows come after it.
 */
export async function* embedImages(
  dataset: Dataset,
  encoder: Encoder,
  flags: EmbeddingFlags,
  signal?: AbortSignal,
): AsyncGenerator<EmbeddedRows, void, undefined> {
  const { device: provider, threads } = flags;
  const kinds = featureKinds(flags, encoder);
  await using device = await Device.open({ provider, ...(threads === undefined ? {} : { threads }) });
  const batchSize = Math.min(flags.batch, dataset.length);
  const extractor = await FeatureExtractor.create(device, encoder, { kinds, batchSize });
  const { resize, size } = encoderPreprocessing({ imageSize: extractor.imageSize });
  const loader = createSequentialLoader({
    dataset,
    batchSize,
    views: [{ kind: "resizeCenterCrop", resize, size }],
    cacheBytes: 0,
  });
  const progress = progressLines(dataset.length);
  let done = 0;
  const compute = async ({
    views,
    count,
    indices,
  }: Awaited<ReturnType<typeof loader.next>>["value"] & object) => {
    const { image } = await extractor.extract(views[0] as Uint8Array, count);
    const parts = kinds.map((kind) => image?.[kind]?.data as Float32Array);
    return { ...rowsOf(dataset, indices), data: sideBySide(parts, count, extractor.features) };
  };
  try {
    let pending: Promise<EmbeddedRows> | undefined;
    for await (const batch of loader) {
      if (signal?.aborted) return;
      const next = compute(batch);
      // Its error is seen when it is awaited.
      next.catch(() => {});
      if (pending) yield await pending;
      pending = next;
      done += batch.count;
      progress(done);
    }
    if (pending && !signal?.aborted) yield await pending;
  } finally {
    await loader.close();
  }
  const [first] = dataset.skips.entries;
  if (first) {
    const { count } = dataset.skips;
    printWarning(`${count} unusable images were left out, the first: ${first.name} (${first.reason})`);
  }
}

function rowsOf(dataset: Dataset, indices: Int32Array): Omit<EmbeddedRows, "data"> {
  const { classes } = dataset;
  const rows = Array.from(indices);
  const labels = classes && rows.map((index) => classes[dataset.label(index) ?? -1] ?? "");
  return { indices, names: rows.map((index) => dataset.sampleName(index)), ...(labels ? { labels } : {}) };
}

/** Joins matrices of `count` rows, `[count, width]` each, along the rows. */
function sideBySide(parts: readonly Float32Array[], count: number, width: number): Float32Array {
  const [only] = parts;
  if (parts.length === 1 && only) return only;
  const joined = new Float32Array(count * width * parts.length);
  for (let row = 0; row < count; row++) {
    parts.forEach((part, i) => {
      joined.set(part.subarray(row * width, (row + 1) * width), (row * parts.length + i) * width);
    });
  }
  return joined;
}

const PROGRESS_SECONDS = 2;

/** Says how far it is on stderr, every few seconds. */
function progressLines(total: number): (done: number) => void {
  let last = performance.now();
  return (done) => {
    if (performance.now() - last < 1000 * PROGRESS_SECONDS) return;
    last = performance.now();
    process.stderr.write(`${done} of ${total} images (${Math.floor((100 * done) / total)} %)\n`);
  };
}

/** Features of all images at once, with where their pictures are. */
export interface EmbeddedImages {
  readonly names: readonly string[];
  readonly labels?: readonly string[];
  readonly features: Matrix;
  /** A small square picture of a row's image; undefined where only features were given. */
  readonly picture?: (row: number, size: number) => Promise<Raster>;
}

/** Computes the features of a data set and keeps them. @throws DataError when no image could be read. */
export async function embedAll(
  dataset: Dataset,
  encoder: Encoder,
  flags: EmbeddingFlags,
): Promise<EmbeddedImages> {
  const names: string[] = [];
  const labels: string[] = [];
  const indices: number[] = [];
  const parts: Matrix[] = [];
  const columns = encoder.config.embedDim * featureKinds(flags, encoder).length;
  for await (const rows of embedImages(dataset, encoder, flags)) {
    names.push(...rows.names);
    labels.push(...(rows.labels ?? []));
    indices.push(...rows.indices);
    parts.push(matrix(rows.names.length, columns, rows.data));
  }
  const data = new Float32Array(names.length * columns);
  let offset = 0;
  for (const part of parts) {
    data.set(part.data, offset);
    offset += part.data.length;
  }
  return {
    names,
    ...(labels.length > 0 ? { labels } : {}),
    features: matrix(names.length, columns, data),
    picture: (row, size) => centerSquare(dataset, indices[row] as number, size),
  };
}

/**
 * The images of a folder, embedded now, or those of a file that `embed` wrote.
 * @param images The folder that the file's images are in, for their pictures.
 */
export async function embeddedImages(
  data: string,
  encoder: () => Promise<Encoder>,
  flags: EmbeddingFlags,
  images?: string,
): Promise<EmbeddedImages> {
  if (!isFeatureFile(data)) {
    const loaded = await encoder();
    return embedAll(await openImages(data, loaded, flags), loaded, flags);
  }
  const { names, labels, dim, data: values } = await readFeatureFile(data);
  const features = matrix(names.length, dim, values);
  const table = { names, ...(labels ? { labels } : {}), features };
  if (images === undefined) return table;
  const dataset = await openDataset(images, flags.split === undefined ? {} : { split: flags.split });
  const rows = new Map(Array.from({ length: dataset.length }, (_, i) => [dataset.sampleName(i), i]));
  const indexOf = (row: number): number => {
    const index = rows.get(names[row] as string);
    if (index !== undefined) return index;
    throw new CommandError(
      `${images} has no image ${names[row]}, which ${data} names; give the folder that was embedded`,
    );
  };
  return { ...table, picture: (row, size) => centerSquare(dataset, indexOf(row), size) };
}

function isFeatureFile(data: string): boolean {
  return (
    FEATURE_ENDINGS.includes(extname(data).toLowerCase()) &&
    statSync(data, { throwIfNoEntry: false })?.isDirectory() !== true
  );
}
