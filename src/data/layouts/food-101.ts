/**
 * @file Food-101 (Bossard et al. 2014): `images/<class>/`, and `meta/{train,test}.json`, from each class to its images.
 * The classes are sorted by name, which is the order of `meta/classes.txt`.
 */

import { join } from "node:path";
import { DataError } from "../data-error.js";
import { compareNames, type FileTree, readTreeJson, readTreeLines } from "../file-tree.js";
import type { FileListing, Layout } from "../layout.js";

export function recogniseFood(tree: FileTree): Layout | undefined {
  const { files } = tree.list("meta");
  if (!files.includes("train.json") && !files.includes("test.json")) return undefined;
  return {
    name: "food-101",
    title: "Food-101",
    splits: ["train", "test"],
    heldOutSplit: "test",
    metric: "top1",
    list: (split) => list(tree, split),
  };
}

function list(tree: FileTree, split: string): FileListing {
  const listedIn = `meta/${split}.json`;
  const images = readTreeJson(tree, listedIn);
  const where = join(tree.path, listedIn);
  const wrong = () => new DataError(`${where}: expected an object from each class to a list of its images.`);
  if (typeof images !== "object" || images === null || Array.isArray(images)) throw wrong();
  const named = tree.extent("meta/classes.txt")
    ? readTreeLines(tree, "meta/classes.txt")
    : Object.keys(images);
  const classes = named.sort(compareNames);
  const numbers = new Map(classes.map((name, i) => [name, i]));
  const files: string[] = [];
  const labels: number[] = [];
  for (const [name, ofClass] of Object.entries(images)) {
    const label = numbers.get(name);
    if (label === undefined)
      throw new DataError(`${where} has the class "${name}", which classes.txt has not.`);
    if (!Array.isArray(ofClass)) throw wrong();
    for (const image of ofClass) {
      if (typeof image !== "string") throw wrong();
      files.push(`images/${image}.jpg`);
      labels.push(label);
    }
  }
  return { kind: "files", classes, files, labels, listedIn };
}
