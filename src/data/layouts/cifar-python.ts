/**
 * @file CIFAR-10 and CIFAR-100 in the official Python format (https://www.cs.toronto.edu/~kriz/cifar.html): pickled
 * dictionaries with `data`, a NumPy array uint8 [N, 3072] of planes [3, 32, 32], and a list of labels. The pictures stay
 * in the file and are read by their place in it.
 */

import { join } from "node:path";
import { latin1, PickleError, unpickle } from "../../pickle/index.js";
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
  return names.map((name) => text(name));
}

/** An array as its pickle describes it; filled in by `build`. */
class PickledArray {
  shape: readonly unknown[] = [];
  dtype: unknown;
  fortran: unknown;
  data: unknown;
}

/** A NumPy data type: its name, "u1" for bytes. */
class PickledType {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}

/** Python 2's `str` comes as bytes here: the pictures are one. */
function text(value: unknown): string {
  return value instanceof Uint8Array ? latin1(value) : String(value);
}

const reconstruct = () => new PickledArray();
const ndarray = () => new PickledArray();
const dtype = (name: unknown) => new PickledType(text(name));
/** How Python 3 writes bytes in protocols before 3: Latin-1 text to be encoded. */
const encode = (characters: unknown, encoding: unknown) => {
  if (text(encoding) !== "latin1") throw new PickleError(`bytes encoded as ${text(encoding)}`);
  return Uint8Array.from(text(characters), (character) => character.charCodeAt(0));
};

const GLOBALS = {
  "numpy.core.multiarray _reconstruct": reconstruct,
  // NumPy 2 moved its inside.
  "numpy._core.multiarray _reconstruct": reconstruct,
  "numpy ndarray": ndarray,
  "numpy dtype": dtype,
  "_codecs encode": encode,
};

function build(object: unknown, state: unknown): unknown {
  if (object instanceof PickledArray && Array.isArray(state) && state.length === 5) {
    const [, shape, type, fortran, data] = state;
    object.shape = Array.isArray(shape) ? shape : [];
    object.dtype = type;
    object.fortran = fortran;
    object.data = data;
    return object;
  }
  // Its state says the byte order, which bytes have not.
  if (object instanceof PickledType) return object;
  throw new PickleError("an object is given a state that this reader does not know");
}

/** The dictionary of a batch, by text keys. @throws DataError when it is none. */
function readDictionary(bytes: Uint8Array, where: string): Map<string, unknown> {
  let value: unknown;
  try {
    ({ value } = unpickle(bytes, { globals: GLOBALS, build, strings: "bytes" }));
  } catch (error) {
    if (!(error instanceof PickleError)) throw error;
    throw new DataError(`${where} is no CIFAR batch: ${error.message}. Download it again.`, { cause: error });
  }
  if (!(value instanceof Map))
    throw new DataError(`${where} is a pickle but no dictionary: not a CIFAR batch.`);
  return new Map([...value].map(([key, item]) => [text(key), item] as const));
}

/** Where in `file` the planes begin, and of how many images they are. */
function imageBytes(array: unknown, file: Uint8Array, where: string): { start: number; count: number } {
  if (!(array instanceof PickledArray) || !(array.data instanceof Uint8Array)) {
    throw new DataError(`${where} has no array "data": not a CIFAR batch.`);
  }
  const { shape, dtype: type, fortran, data } = array;
  const [count, width] = shape;
  const isBytes = type instanceof PickledType && /^[|=<]?u1$|^uint8$/.test(type.name);
  if (
    shape.length !== 2 ||
    width !== IMAGE_BYTES ||
    typeof count !== "number" ||
    data.length !== count * IMAGE_BYTES ||
    !isBytes ||
    (fortran === true && count > 1)
  ) {
    throw new DataError(
      `${where}: "data" is an array [${shape.join(", ")}] of ${data.length} bytes, expected unsigned bytes ` +
        `[images, ${IMAGE_BYTES}] row by row.`,
    );
  }
  if (data.buffer !== file.buffer) {
    throw new DataError(
      `${where} was written by Python 3 in protocol 2, where pictures are text: write it with protocol 3 or later.`,
    );
  }
  return { start: data.byteOffset - file.byteOffset, count };
}

function numbers(value: unknown, where: string): number[] {
  if (Array.isArray(value) && value.every((item) => typeof item === "number")) return value;
  throw new DataError(`${where} is no list of numbers: labels are missing.`);
}
