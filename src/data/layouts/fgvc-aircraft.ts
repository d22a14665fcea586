/**
 * @file FGVC-Aircraft (Maji et al. 2013, release 2013b): `data/images/`, and lists `data/images_variant_<split>.txt` of
 * "IMAGE VARIANT" lines. The classes are the 100 variants, in the order of `data/variants.txt`.
 */

import { join } from "node:path";
import { DataError } from "../data-error.js";
import { type FileTree, readTreeLines, under } from "../file-tree.js";
import type { FileListing, Layout } from "../layout.js";

export function recogniseAircraft(tree: FileTree): Layout | undefined {
  const folder = ["data", ""].find((candidate) =>
    tree.list(candidate).files.some((name) => /^images_variant_\w+\.txt$|^variants\.txt$/.test(name)),
  );
  if (folder === undefined) return undefined;
  return {
    name: "fgvc-aircraft",
    title: "FGVC-Aircraft",
    splits: ["train", "val", "test"],
    unions: { trainval: ["train", "val"] },
    heldOutSplit: "test",
    metric: "meanPerClass",
    list: (split) => list(tree, folder, split),
  };
}

function list(tree: FileTree, folder: string, split: string): FileListing {
  const classes = readTreeLines(tree, under(folder, "variants.txt"));
  const numbers = new Map(classes.map((name, i) => [name, i]));
  const listedIn = under(folder, `images_variant_${split}.txt`);
  const files: string[] = [];
  const labels: number[] = [];
  for (const line of readTreeLines(tree, listedIn)) {
    // Variants have spaces in their names: "Boeing 717".
    const [, image = "", variant = ""] = /^(\S+)\s+(.+)$/.exec(line) ?? [];
    const label = numbers.get(variant);
    if (label === undefined) {
      throw new DataError(
        `${join(tree.path, listedIn)}: "${line}" names no variant of variants.txt, expected "IMAGE VARIANT".`,
      );
    }
    files.push(under(folder, `images/${image}.jpg`));
    labels.push(label);
  }
  return { kind: "files", classes, files, labels, listedIn };
}
