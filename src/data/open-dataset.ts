/** @file `openDataset`: from what a user types to a data set. */

import { readdirSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { openCifar, type Split } from "./cifar.js";
import { DataError, reasonOf } from "./data-error.js";
import type { Dataset } from "./dataset.js";
import { openImageFolder } from "./image-folder.js";
import { openSynthetic } from "./synthetic.js";

export interface OpenDatasetOptions {
  /** Where skipped files are named, one `name<TAB>reason` per line; nowhere without it. */
  readonly skippedFile?: string;
  /** Which part of a data set that has official splits (CIFAR binaries). Default train. */
  readonly split?: Split;
  /** Seed and side in pixels of synthetic images. Default 0 and 32. */
  readonly synthetic?: { readonly seed?: number; readonly size?: number };
}

/** Names of the files in a folder. @throws DataError when there is no such folder or it cannot be read. */
function readFolder(folder: string): string[] {
  let isFolder: boolean;
  try {
    isFolder = statSync(folder).isDirectory();
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT" || code === "ENOTDIR") {
      throw new DataError(`The folder ${folder} does not exist: check the path, or give "synthetic".`);
    }
    throw new DataError(`The folder ${folder} cannot be read: ${reasonOf(error)}`);
  }
  if (!isFolder) {
    throw new DataError(`${folder} is a file, expected a folder of images: give the folder that holds it.`);
  }
  try {
    return readdirSync(folder);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    const reason = code === "EACCES" ? "permission denied: make it readable for this user." : reasonOf(error);
    throw new DataError(`The folder ${folder} cannot be read: ${reason}`);
  }
}

/**
 * Opens a data set.
 * @param spec `synthetic` or `synthetic:COUNT` for procedural images, else a folder: one with CIFAR-10/100 binaries,
 *   or one with images, nested or not. Images that all lie in at least two first-level folders have these as classes.
 * @throws DataError when there is nothing usable at `spec`; the message says why and what to do.
 */
export async function openDataset(spec: string, options: OpenDatasetOptions = {}): Promise<Dataset> {
  if (spec === "synthetic" || spec.startsWith("synthetic:")) {
    return openSynthetic(spec.slice("synthetic:".length), options.synthetic);
  }
  if (spec === "") throw new DataError('No data set was named: give a folder of images, or "synthetic".');
  const folder = resolve(spec);
  const entries = readFolder(folder);
  return (
    openCifar(folder, entries, options.split ?? "train") ??
    (await openImageFolder(folder, options.skippedFile))
  );
}
