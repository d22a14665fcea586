/** @file Features of images in files, with the images' names: NumPy arrays, Parquet or JSON lines, by the ending. */

import { extname } from "node:path";
import { explainError } from "../files.js";
import { JsonLinesFeatures, readJsonLinesFeatures } from "./feature-json-lines.js";
import { NpyFeatures, readNpyFeatures } from "./feature-npy.js";
import { ParquetFeatures, readParquetFeatures } from "./feature-parquet.js";
import {
  FeatureFileError,
  type FeatureTable,
  type FeatureWriter,
  type FeatureWriterOptions,
} from "./feature-table.js";

interface Format {
  create(path: string, options: FeatureWriterOptions): Promise<FeatureWriter>;
  read(path: string): Promise<FeatureTable>;
}

const formats: Readonly<Record<string, Format>> = {
  ".npy": { create: NpyFeatures.create, read: readNpyFeatures },
  ".parquet": { create: ParquetFeatures.create, read: readParquetFeatures },
  ".jsonl": { create: JsonLinesFeatures.create, read: readJsonLinesFeatures },
};

/** Endings of the files that features can be written to and read from. */
export const FEATURE_ENDINGS: readonly string[] = Object.keys(formats);

function formatOf(path: string): Format {
  const format = formats[extname(path).toLowerCase()];
  if (format) return format;
  throw new FeatureFileError(
    path,
    `the ending says how features are stored: give one of ${FEATURE_ENDINGS.join(", ")}`,
  );
}

/** @throws FeatureFileError when the ending is none of those known. */
export function checkFeatureEnding(path: string): void {
  formatOf(path);
}

/**
 * Starts a file of features; it and what belongs to it appear when it is closed.
 * @throws FeatureFileError when the ending is none of those known; the system's error when nothing can be written there.
 */
export async function createFeatureFile(path: string, options: FeatureWriterOptions): Promise<FeatureWriter> {
  return formatOf(path).create(path, options);
}

/** Reads what `createFeatureFile` wrote. @throws FeatureFileError naming the file and what is wrong with it. */
export async function readFeatureFile(path: string): Promise<FeatureTable> {
  const { read } = formatOf(path);
  try {
    return await read(path);
  } catch (error) {
    if (error instanceof FeatureFileError) throw error;
    throw new FeatureFileError(path, `it cannot be read: ${explainError(error)}`, { cause: error });
  }
}
