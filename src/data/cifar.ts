/**
 * @file CIFAR-10 and CIFAR-100 in the official binary format (https://www.cs.toronto.edu/~kriz/cifar.html):
 * records of one label byte (CIFAR-100: coarse, then fine label) and 3072 bytes of planes [3, 32, 32].
 */

import { closeSync, existsSync, openSync, readFileSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { DataError } from "./data-error.js";
import { type Dataset, makeDataset } from "./dataset.js";

export type Split = "train" | "test";

const SIDE = 32;
const IMAGE_BYTES = 3 * SIDE * SIDE;

interface Format {
  readonly name: string;
  readonly labelBytes: number;
  readonly files: Readonly<Record<Split, RegExp>>;
  /** File with one class name a line. */
  readonly classFile: string;
  readonly classes: number;
}

const FORMATS: readonly Format[] = [
  {
    name: "cifar-10",
    labelBytes: 1,
    files: { train: /^data_batch_\d+\.bin$/, test: /^test_batch\.bin$/ },
    classFile: "batches.meta.txt",
    classes: 10,
  },
  {
    name: "cifar-100",
    labelBytes: 2,
    files: { train: /^train\.bin$/, test: /^test\.bin$/ },
    classFile: "fine_label_names.txt",
    classes: 100,
  },
];

/** Reads the class label of every record of one file. @throws DataError when the file is no whole number of records. */
function readLabels(path: string, format: Format): Uint8Array {
  const recordBytes = format.labelBytes + IMAGE_BYTES;
  const { size } = statSync(path);
  if (size === 0 || size % recordBytes !== 0) {
    throw new DataError(
      `${path} has ${size} bytes, expected a multiple of ${recordBytes} (the ${format.name} binary format): ` +
        "download it again, it may be truncated.",
    );
  }
  const count = size / recordBytes;
  const labels = new Uint8Array(count);
  const chunk = new Uint8Array(recordBytes * 256);
  const descriptor = openSync(path, "r");
  try {
    for (let done = 0; done < count; done += 256) {
      const records = Math.min(256, count - done);
      readSync(descriptor, chunk, 0, records * recordBytes, done * recordBytes);
      for (let i = 0; i < records; i++) {
        // The fine label is the last label byte.
        const label = chunk[i * recordBytes + format.labelBytes - 1] as number;
        if (label >= format.classes) {
          throw new DataError(
            `${path}: record ${done + i} has label ${label}, expected 0 to ${format.classes - 1}: ` +
              `this is not a ${format.name} file.`,
          );
        }
        labels[done + i] = label;
      }
    }
  } finally {
    closeSync(descriptor);
  }
  return labels;
}

function readClasses(folder: string, format: Format): string[] {
  const path = join(folder, format.classFile);
  const names = existsSync(path)
    ? readFileSync(path, "utf8")
        .split("\n")
        .map((line) => line.trim())
        .filter((line) => line !== "")
    : [];
  return names.length === format.classes ? names : Array.from({ length: format.classes }, (_, i) => `${i}`);
}

/**
 * Opens a folder with CIFAR binaries, or returns undefined when the folder has none.
 * @param entries Names of the files in the folder.
 * @throws DataError when the split is missing or a file is damaged.
 */
export function openCifar(folder: string, entries: readonly string[], split: Split): Dataset | undefined {
  const format = FORMATS.find(({ files }) =>
    entries.some((name) => files.train.test(name) || files.test.test(name)),
  );
  if (!format) return undefined;
  const files = entries.filter((name) => format.files[split].test(name)).sort();
  if (files.length === 0) {
    throw new DataError(`${folder} holds ${format.name} files but none of the ${split} split: add them.`);
  }
  const recordBytes = format.labelBytes + IMAGE_BYTES;
  const labels: number[] = [];
  const places: { path: string; offset: number; name: string }[] = [];
  for (const file of files) {
    const path = join(folder, file);
    for (const [record, label] of readLabels(path, format).entries()) {
      labels.push(label);
      places.push({ path, offset: record * recordBytes + format.labelBytes, name: `${file}#${record}` });
    }
  }
  const place = (i: number) => places[i] as (typeof places)[number];
  return makeDataset({
    name: `${format.name}/${split}`,
    length: labels.length,
    classes: readClasses(folder, format),
    label: (i) => labels[i] as number,
    sampleName: (i) => place(i).name,
    source: (i) => ({ kind: "planes", path: place(i).path, offset: place(i).offset, side: SIDE }),
    identity: places.map(({ name }, i) => `${name}\0${labels[i]}\0`),
  });
}
