/** @file A folder or archive of images, nested or flat, as a data set. */

import { noImage } from "./data-error.js";
import { type Dataset, makeDataset } from "./dataset.js";
import { compareNames, type FileTree } from "./file-tree.js";
import { inspectFiles } from "./inspect-files.js";
import { SkipLog } from "./skip-log.js";

/**
 * The class of each image: its first-level folder, when every image lies in one and there are at least two of them.
 */
function classify(names: readonly string[]): { classes: string[]; labels: Int32Array } | undefined {
  const folders = names.map((name) => (name.includes("/") ? name.slice(0, name.indexOf("/")) : undefined));
  const classes = [...new Set(folders)].filter((folder) => folder !== undefined).sort(compareNames);
  if (classes.length < 2 || folders.includes(undefined)) return undefined;
  const numbers = new Map<string | undefined, number>(classes.map((name, i) => [name, i]));
  return { classes, labels: Int32Array.from(folders, (folder) => numbers.get(folder) ?? -1) };
}

/**
 * Opens JPEG, PNG, WebP, TIFF, AVIF and GIF files, recognised by their content.
 * @param skippedFile Path of `skipped.txt`.
 * @throws DataError when the tree cannot be read, holds no file, or too many files are unusable.
 */
export async function openImageFolder(tree: FileTree, skippedFile?: string): Promise<Dataset> {
  const skips = new SkipLog(tree.path, skippedFile);
  const { files, unreachable } = tree.walk("", skips);
  skips.total = files.length + unreachable;
  if (skips.total === 0) throw noImage(tree.path);
  const { usable, sizes } = await inspectFiles(tree, files, skips);
  skips.check();
  const names = usable.map((i) => files[i] as string);
  const classified = classify(names);
  return makeDataset({
    name: tree.name,
    length: names.length,
    classes: classified?.classes,
    ...(classified && { label: (i: number) => classified.labels[i] as number }),
    sampleName: (i) => names[i] as string,
    source: (i) => tree.source(names[i] as string),
    skips,
    identity: names.map((name, i) => `${name}\0${sizes[i]}\0`),
  });
}
