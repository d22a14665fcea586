/**
 * @file CIFAR-10 and CIFAR-100 in the official Python format (https://www.cs.toronto.edu/~kriz/cifar.html): pickled
 * dictionaries with `data`, a NumPy array uint8 [N, 3072] of planes [3, 32, 32], and a list of labels. The pictures stay
 * in the file and are read by their place in it.
 */

import { join } from "node:path";
import {
  ByteCursor,
  FormatError,
  finder,
  MemoryBytes,
  NumpyArray,
  type PickleValue,
  unpickle,
} from "../../pickle/index.js";
import { DataError } from "../data-error.js";
import { type FileTree, readTreeFile } from "../file-tree.js";
import { checkLabel, type Layout, type PlacedListing } from "../layout.js";

const SIDE = 32;
const IMAGE_BYTES = 3 * SIDE * SIDE;

interface Format {
  readonly name: string;
  readonly title: string;
  /** What no other data set has. */
  readonly marker: RegExp;
  readonly files: Readonly<Record<string, RegExp>>;
  readonly labels: string;
  /** Pickle with the class names, and their key in it. */
  readonly meta: readonly [file: string, key: string];
  readonly classes: number;
}

const FORMATS: readonly Format[] = [
  {
    name: "cifar-10",
    title: "CIFAR-10, Python",
    marker: /^data_batch_\d+$|^batches\.meta$/,
    files: { train: /^data_batch_\d+$/, test: /^test_batch$/ },
    labels: "labels",
    meta: ["batches.meta", "label_names"],
    classes: 10,
  },
  {
    name: "cifar-100",
    title: "CIFAR-100, Python",
    marker: /^meta$/,
    files: { train: /^train$/, test: /^test$/ },
    labels: "fine_labels",
    meta: ["meta", "fine_label_names"],
    classes: 100,
  },
];

export function recogniseCifarPython(tree: FileTree): Layout | undefined {
  const { files } = tree.list("");
  const format = FORMATS.find(({ marker }) => files.some((name) => marker.test(name)));
  if (!format) return undefined;
  const { name, title } = format;
  return {
    name,
    title,
    splits: ["train", "test"],
    heldOutSplit: "test",
    metric: "top1",
    list: (split) => list(tree, format, split),
  };
}

function list(tree: FileTree, format: Format, split: string): PlacedListing {
  const batches = tree.list("").files.filter((name) => format.files[split]?.test(name));
  if (batches.length === 0) {
    throw new DataError(`${tree.path} holds ${format.name} files but none of the ${split} split: add them.`);
  }
  const names: string[] = [];
  const labels: number[] = [];
  const places: { path: string; offset: number }[] = [];
  for (const batch of batches) {
    const where = join(tree.path, batch);
    const bytes = readTreeFile(tree, batch);
    const dictionary = readDictionary(bytes, where);
    const images = imageBytes(dictionary.get("data"), bytes, where);
    const ofBatch = numbers(dictionary.get(format.labels), `${where}: "${format.labels}"`);
    if (ofBatch.length !== images.count) {
      throw new DataError(
        `${where} has ${images.count} images and ${ofBatch.length} labels: download it again, it may be damaged.`,
      );
    }
    const { path, offset } = tree.extent(batch) ?? { path: where, offset: 0 };
    for (const [record, label] of ofBatch.entries()) {
      labels.push(checkLabel(label, format.classes, `${where}: record ${record}`));
      names.push(`${batch}#${record}`);
      places.push({ path, offset: offset + images.start + record * IMAGE_BYTES });
    }
  }
  return {
    kind: "placed",
    classes: readClasses(tree, format),
    names,
    labels,
    source: (i) => ({ kind: "planes", ...(places[i] as (typeof places)[number]), side: SIDE }),
  };
}

function readClasses(tree: FileTree, { meta: [file, key], classes }: Format): string[] {
  if (!tree.extent(file)) return Array.from({ length: classes }, (_, i) => `${i}`);
  const where = join(tree.path, file);
  const names = readDictionary(readTreeFile(tree, file), where).get(key);
  if (!Array.isArray(names) || names.length !== classes) {
    throw new DataError(`${where} has no list of ${classes} names "${key}": download it again.`);
  }
  return names.map((name) => String(name));
}

const findPython = finder(new Map());

/** A global of Python's or NumPy's. @throws DataError for any other, which no batch needs. */
const findIn = (where: string) => (module: string, name: string) => {
  const found = findPython(module, name);
  if (found) return found;
  throw new DataError(
    `${where} asks for ${module}.${name}, which no CIFAR batch needs: nothing was executed. Do not trust this file.`,
  );
};

/** The dictionary of a batch. @throws DataError when it is none. */
function readDictionary(bytes: Uint8Array, where: string): Map<PickleValue, PickleValue> {
  try {
    const value = unpickle(new ByteCursor(new MemoryBytes(bytes)), { find: findIn(where) });
    if (value instanceof Map) return value;
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new DataError(`${where} is no CIFAR batch: ${error.message}. Download it again.`, { cause: error });
  }
  throw new DataError(`${where} is a pickle but no dictionary: not a CIFAR batch.`);
}

/** Where in the file the planes begin, and of how many images they are. */
function imageBytes(array: unknown, file: Uint8Array, where: string): { start: number; count: number } {
  if (!(array instanceof NumpyArray)) throw new DataError(`${where} has no array "data": not a CIFAR batch.`);
  const { shape, dtype, isFortran, bytes } = array;
  const [count = 0, width] = shape;
  const isRows = shape.length === 2 && width === IMAGE_BYTES && bytes.length === count * IMAGE_BYTES;
  if (!isRows || count === 0 || !dtype.endsWith("u1") || (isFortran && count > 1)) {
    throw new DataError(
      `${where}: "data" is an array [${shape.join(", ")}] of ${bytes.length} bytes, expected unsigned bytes ` +
        `[images, ${IMAGE_BYTES}] row by row.`,
    );
  }
  const start = Buffer.from(file.buffer, file.byteOffset, file.length).indexOf(bytes);
  if (start >= 0) return { start, count };
  throw new DataError(
    `${where} was written by Python 3 in protocol 2, where pictures are text: write it with protocol 3 or later.`,
  );
}

function numbers(value: unknown, where: string): number[] {
  if (Array.isArray(value) && value.every((item) => typeof item === "number")) return value;
  throw new DataError(`${where} is no list of numbers: labels are missing.`);
}
