/** @file `openDataset`: from what a user types to a data set. */

import { accessSync, constants, statSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { systemErrorCode } from "../files.js";
import { DataError, reasonOf } from "./data-error.js";
import type { Dataset } from "./dataset.js";
import { type FileTree, folderTree, tarTree } from "./file-tree.js";
import { openImageFolder } from "./image-folder.js";
import type { Layout } from "./layout.js";
import { recogniseLayout } from "./layouts/index.js";
import { isShard, shardLayout } from "./layouts/web-dataset.js";
import { openLayout } from "./open-layout.js";
import { openSynthetic } from "./synthetic.js";
import { indexTar } from "./tar.js";

export interface OpenDatasetOptions {
  /** Where skipped files are named, one `name<TAB>reason` per line; nowhere without it. */
  readonly skippedFile?: string;
  /**
   * Which part of the data set: its official names ("train", "val", "test", "trainval"). Default "train", which is all
   * of a data set without parts.
   */
  readonly split?: string;
  /** Seed and side in pixels of synthetic images. Default 0 and 32. */
  readonly synthetic?: { readonly seed?: number; readonly size?: number };
}

/** What lies at a path: a layout with splits, or else images as they are. */
export interface FoundData {
  readonly tree: FileTree;
  readonly layout: Layout | undefined;
}

/** What is at a path. @throws DataError when it cannot be looked at. */
function kindOf(path: string): "folder" | "file" | "nothing" {
  try {
    const found = statSync(path, { throwIfNoEntry: false });
    if (!found?.isDirectory()) return found ? "file" : "nothing";
    accessSync(path, constants.R_OK | constants.X_OK);
    return "folder";
  } catch (error) {
    const denied = systemErrorCode(error) === "EACCES";
    const reason = denied ? "permission denied: make it readable for this user." : reasonOf(error);
    throw new DataError(`The folder ${path} cannot be read: ${reason}`);
  }
}

/** Names for every `{000..012}` and `{a,b}` in a path, as a shell would make them. */
export function expandBraces(path: string): string[] {
  const found = /\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}/.exec(path);
  if (!found) return [path];
  const [whole, from, to, list] = found;
  const before = path.slice(0, found.index);
  const after = path.slice(found.index + whole.length);
  let words = list?.split(",") ?? [];
  if (from !== undefined && to !== undefined) {
    const count = Number(to) - Number(from) + 1;
    if (count < 1 || count > 1_000_000)
      throw new DataError(`${path}: the range ${from}..${to} names nothing.`);
    words = Array.from({ length: count }, (_, i) => `${Number(from) + i}`.padStart(from.length, "0"));
  }
  return words.flatMap((word) => expandBraces(`${before}${word}${after}`));
}

/**
 * Finds out what lies at a path.
 * @throws DataError when there is nothing, or an official layout with parts missing.
 */
export async function findData(spec: string): Promise<FoundData> {
  if (spec === "") throw new DataError('No data set was named: give a folder of images, or "synthetic".');
  const path = resolve(spec);
  const kind = kindOf(path);
  if (kind === "nothing") {
    const shards = expandBraces(path);
    if (shards.length > 1) return findShards(path, shards);
    throw new DataError(`The folder ${path} does not exist: check the path, or give "synthetic".`);
  }
  if (kind === "folder") {
    const tree = folderTree(path);
    return (await recogniseLayout(tree)) ?? { tree, layout: undefined };
  }
  if (!/\.(tar|tgz|tar\.\w+)$/i.test(path)) {
    throw new DataError(
      `${path} is a file, expected a folder of images or a tar archive: give the folder that holds it.`,
    );
  }
  const members = await indexTar(path);
  if (isShard(members)) return findShards(path, [path]);
  const tree = tarTree(path, members);
  return (await recogniseLayout(tree)) ?? { tree, layout: undefined };
}

function findShards(path: string, shards: readonly string[]): FoundData {
  const absent = shards.filter((shard) => !statSync(shard, { throwIfNoEntry: false })?.isFile());
  if (absent.length > 0) {
    throw new DataError(`${absent.length} of ${shards.length} shards are not there, the first ${absent[0]}.`);
  }
  const name = basename(path).replace(/\.tar$/i, "");
  return { tree: folderTree(dirname(path)), layout: shardLayout(name, new Map([["train", shards]])) };
}

/**
 * Opens a data set.
 * @param spec `synthetic` or `synthetic:COUNT` for procedural images; else a folder or tar archive with a data set in
 *   its official layout (docs/data-sets.md), with one folder per class, or with images in any order; or WebDataset
 *   shards, by their folder or as `name-{000..012}.tar`. Images that all lie in at least two first-level folders have
 *   these as classes.
 * @throws DataError when there is nothing usable at `spec`; the message says why and what to do.
 */
export async function openDataset(spec: string, options: OpenDatasetOptions = {}): Promise<Dataset> {
  const { split = "train", skippedFile } = options;
  if (spec === "synthetic" || spec.startsWith("synthetic:")) {
    checkOnlySplit(split, spec);
    return openSynthetic(spec.slice("synthetic:".length), options.synthetic);
  }
  const { tree, layout } = await findData(spec);
  if (layout) return openLayout({ layout, tree }, split, skippedFile);
  checkOnlySplit(split, tree.path);
  return openImageFolder(tree, skippedFile);
}

/** Data without official parts are one part, "train". */
function checkOnlySplit(split: string, where: string): void {
  if (split === "train") return;
  throw new DataError(
    `${where} has no split "${split}": it is no data set with splits in a layout that is known. ` +
      "Leave out --split, or make folders train/, val/ and test/ in it.",
  );
}
