/**
 * @file A folder with `train/` and `val/` or `test/` in it, each with one folder per class. The classes are those of
 * `train/`, sorted by name; a split without class folders has no labels.
 */

import { join } from "node:path";
import { DataError } from "../data-error.js";
import type { FileTree } from "../file-tree.js";
import type { FileListing, Layout } from "../layout.js";
import type { SkipLog } from "../skip-log.js";

/** What people call the folders of the splits. */
const NAMES: Readonly<Record<string, readonly string[]>> = {
  train: ["train", "training"],
  val: ["val", "valid", "validation"],
  test: ["test", "testing"],
};

/** The split that a folder or a part of a file's name stands for. */
export function splitNamed(name: string): string | undefined {
  return Object.keys(NAMES).find((split) => NAMES[split]?.includes(name.toLowerCase()));
}

/** Folders by split, in the usual order; undefined unless there is one to train on and nothing but splits. */
export function splitFolders(folders: readonly string[]): ReadonlyMap<string, string> | undefined {
  const found = new Map<string, string>();
  for (const split of Object.keys(NAMES)) {
    const folder = folders.find((name) => splitNamed(name) === split);
    if (folder !== undefined) found.set(split, folder);
  }
  return found.has("train") && found.size === folders.length ? found : undefined;
}

export function recogniseSplitFolders(tree: FileTree): Layout | undefined {
  const folders = splitFolders(tree.list("").folders);
  if (!folders) return undefined;
  const splits = [...folders.keys()];
  return {
    name: tree.name,
    title: "folders of classes with splits",
    splits,
    heldOutSplit: ["test", "val"].find((split) => folders.has(split)),
    metric: "top1",
    list: (split, skips) => list(tree, folders.get(split) as string, folders.get("train") as string, skips),
  };
}

function list(tree: FileTree, folder: string, trainFolder: string, skips: SkipLog): FileListing {
  const classes = tree.list(trainFolder).folders;
  const { files, unreachable } = tree.walk(folder, skips);
  if (classes.length < 2) return { kind: "files", classes: undefined, files, labels: undefined, unreachable };
  const numbers = new Map(classes.map((name, i) => [name, i]));
  const labels = files.map((file) => {
    const inside = file.slice(folder.length + 1);
    const slash = inside.indexOf("/");
    if (slash < 0) return -1;
    const label = numbers.get(inside.slice(0, slash));
    if (label === undefined) {
      throw new DataError(
        `${join(tree.path, file)} is of a class that ${join(tree.path, trainFolder)} has not: ` +
          "the folders of all splits must have the same names.",
      );
    }
    return label;
  });
  return { kind: "files", classes, files, labels, unreachable };
}
