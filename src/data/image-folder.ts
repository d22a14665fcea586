/** @file A folder of images, nested or flat, as a data set. */

import { closeSync, fstatSync, openSync, readdirSync, readSync, realpathSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { DataError, reasonOf } from "./data-error.js";
import { type Dataset, makeDataset } from "./dataset.js";
import { HEADER_BYTES, headerProblem } from "./image-header.js";
import { SkipLog } from "./skip-log.js";

/** Files that operating systems leave behind; nobody means them as images. */
const CLUTTER = new Set(["thumbs.db", "desktop.ini", "__macosx"]);

const compare = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);

function errorCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error ? String(error.code) : undefined;
}

/** Relative paths of all files under `root`, in code-unit order; hidden files are left out, links are followed. */
function listFiles(root: string, skips: SkipLog): { files: string[]; unreachable: number } {
  const files: string[] = [];
  let unreachable = 0;
  const walk = (relative: string, ancestors: ReadonlySet<string>) => {
    const folder = join(root, relative);
    const real = realpathSync(folder);
    // A link to a folder above would never end.
    if (ancestors.has(real)) return;
    const entries = readdirSync(folder, { withFileTypes: true });
    for (const entry of entries) {
      const { name } = entry;
      if (name.startsWith(".") || CLUTTER.has(name.toLowerCase())) continue;
      const path = relative === "" ? name : `${relative}/${name}`;
      try {
        const kind = entry.isSymbolicLink() ? statSync(join(root, path)) : entry;
        if (kind.isDirectory()) walk(path, new Set([...ancestors, real]));
        else if (kind.isFile()) files.push(path);
      } catch (error) {
        skips.add(path, errorCode(error) === "ENOENT" ? "broken link" : reasonOf(error));
        unreachable++;
      }
    }
  };
  walk("", new Set());
  return { files: files.sort(compare), unreachable };
}

/** Size in bytes of a file that begins like an image, or what is wrong with it. */
function inspect(path: string, head: Uint8Array): { bytes: number } | { problem: string } {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(path, "r");
    const bytes = fstatSync(descriptor).size;
    const read = readSync(descriptor, head, 0, HEADER_BYTES, 0);
    const problem = headerProblem(head.subarray(0, read));
    return problem === undefined ? { bytes } : { problem };
  } catch (error) {
    const denied = errorCode(error) === "EACCES";
    return { problem: denied ? "permission denied" : reasonOf(error) };
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/**
 * The class of each image: its first-level folder, when every image lies in one and there are at least two of them.
 */
function classify(names: readonly string[]): { classes: string[]; labels: Int32Array } | undefined {
  const folders = names.map((name) => (name.includes("/") ? name.slice(0, name.indexOf("/")) : undefined));
  const classes = [...new Set(folders)].filter((folder) => folder !== undefined).sort(compare);
  if (classes.length < 2 || folders.includes(undefined)) return undefined;
  const numbers = new Map<string | undefined, number>(classes.map((name, i) => [name, i]));
  return { classes, labels: Int32Array.from(folders, (folder) => numbers.get(folder) ?? -1) };
}

/** Files looked at between two pauses, in which the program can do something else. */
const FILES_AT_A_TIME = 512;

/**
 * Opens a folder of JPEG, PNG, WebP, TIFF, AVIF and GIF files, recognised by their content.
 * Only the beginning of each file is looked at: damage further inside shows when a loader decodes it.
 * @param skippedFile Path of `skipped.txt`.
 * @throws DataError when the folder cannot be read, holds no file, or too many files are unusable.
 */
export async function openImageFolder(folder: string, skippedFile?: string): Promise<Dataset> {
  const skips = new SkipLog(folder, skippedFile);
  const { files, unreachable } = listFiles(folder, skips);
  skips.total = files.length + unreachable;
  if (skips.total === 0) {
    throw new DataError(
      `The folder ${folder} holds no image: put JPEG, PNG, WebP, TIFF, AVIF or GIF files into it ` +
        "(in sub-folders if you like), or give another folder.",
    );
  }
  const names: string[] = [];
  const sizes: number[] = [];
  const head = new Uint8Array(HEADER_BYTES);
  for (const [i, name] of files.entries()) {
    const found = inspect(join(folder, name), head);
    if ("problem" in found) skips.add(name, found.problem);
    else {
      names.push(name);
      sizes.push(found.bytes);
    }
    if (i % FILES_AT_A_TIME === FILES_AT_A_TIME - 1) await new Promise((resume) => setImmediate(resume));
  }
  skips.check();
  const classified = classify(names);
  return makeDataset({
    name: basename(folder) || folder,
    length: names.length,
    classes: classified?.classes,
    ...(classified && { label: (i: number) => classified.labels[i] as number }),
    sampleName: (i) => names[i] as string,
    source: (i) => ({ kind: "file", path: join(folder, names[i] as string) }),
    skips,
    identity: names.map((name, i) => `${name}\0${sizes[i]}\0`),
  });
}
