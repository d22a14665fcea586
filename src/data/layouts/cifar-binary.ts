/**
 * @file CIFAR-10 and CIFAR-100 in the official binary format (https://www.cs.toronto.edu/~kriz/cifar.html):
 * records of one label byte (CIFAR-100: coarse, then fine label) and 3072 bytes of planes [3, 32, 32].
 */

import { join } from "node:path";
import { DataError } from "../data-error.js";
import { type FileTree, readTreeFile, readTreeLines } from "../file-tree.js";
import { checkLabel, type Layout, type PlacedListing } from "../layout.js";

const SIDE = 32;
const IMAGE_BYTES = 3 * SIDE * SIDE;

interface Format {
  readonly name: string;
  readonly title: string;
  readonly labelBytes: number;
  readonly files: Readonly<Record<string, RegExp>>;
  /** File with one class name a line. */
  readonly classFile: string;
  readonly classes: number;
}

const FORMATS: readonly Format[] = [
  {
    name: "cifar-10",
    title: "CIFAR-10, binary",
    labelBytes: 1,
    files: { train: /^data_batch_\d+\.bin$/, test: /^test_batch\.bin$/ },
    classFile: "batches.meta.txt",
    classes: 10,
  },
  {
    name: "cifar-100",
    title: "CIFAR-100, binary",
    labelBytes: 2,
    files: { train: /^train\.bin$/, test: /^test\.bin$/ },
    classFile: "fine_label_names.txt",
    classes: 100,
  },
];

export function recogniseCifarBinary(tree: FileTree): Layout | undefined {
  const { files } = tree.list("");
  const format = FORMATS.find((candidate) =>
    files.some((name) => Object.values(candidate.files).some((pattern) => pattern.test(name))),
  );
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
  const recordBytes = format.labelBytes + IMAGE_BYTES;
  const names: string[] = [];
  const labels: number[] = [];
  const places: { path: string; offset: number }[] = [];
  for (const batch of batches) {
    const bytes = readTreeFile(tree, batch);
    const where = join(tree.path, batch);
    if (bytes.length === 0 || bytes.length % recordBytes !== 0) {
      throw new DataError(
        `${where} has ${bytes.length} bytes, expected a multiple of ${recordBytes} (the ${format.name} binary ` +
          "format): download it again, it may be truncated.",
      );
    }
    const { path, offset } = tree.extent(batch) ?? { path: where, offset: 0 };
    for (let record = 0; record * recordBytes < bytes.length; record++) {
      const start = record * recordBytes + format.labelBytes;
      // The fine label is the last label byte.
      labels.push(checkLabel(bytes[start - 1] as number, format.classes, `${where}: record ${record}`));
      names.push(`${batch}#${record}`);
      places.push({ path, offset: offset + start });
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

function readClasses(tree: FileTree, { classFile, classes }: Format): string[] {
  const names = tree.extent(classFile) ? readTreeLines(tree, classFile) : [];
  return names.length === classes ? names : Array.from({ length: classes }, (_, i) => `${i}`);
}
