/**
 * @file Oxford-IIIT Pet (Parkhi et al. 2012): `images/`, and lists `annotations/{trainval,test}.txt` of
 * "IMAGE CLASS SPECIES BREED" lines, classes from 1. A class is called as its images are.
 */

import { join } from "node:path";
import { DataError } from "../data-error.js";
import { type FileTree, readTreeLines } from "../file-tree.js";
import { checkLabel, type FileListing, type Layout } from "../layout.js";

const SPLITS = ["trainval", "test"];
const listOf = (split: string) => `annotations/${split}.txt`;

export function recognisePets(tree: FileTree): Layout | undefined {
  const lists = tree.list("annotations").files;
  if (!lists.includes("list.txt") && !lists.includes("trainval.txt")) return undefined;
  return {
    name: "oxford-iiit-pet",
    title: "Oxford-IIIT Pet",
    splits: SPLITS,
    // The set has no other part to train on.
    unions: { train: ["trainval"] },
    heldOutSplit: "test",
    metric: "meanPerClass",
    list: (split) => list(tree, split),
  };
}

interface Line {
  readonly image: string;
  readonly label: number;
}

function readLines(tree: FileTree, split: string): Line[] {
  return readTreeLines(tree, listOf(split))
    .filter((line) => !line.startsWith("#"))
    .map((line) => {
      const [image, label, , , ...more] = line.split(/\s+/);
      if (image === undefined || !/^\d+$/.test(label ?? "") || more.length > 0) {
        throw new DataError(
          `${join(tree.path, listOf(split))}: "${line}", expected "IMAGE CLASS SPECIES BREED" with the class from 1.`,
        );
      }
      return {
        image,
        label: checkLabel(Number(label), 1000, `${join(tree.path, listOf(split))}: ${image}`, 1),
      };
    });
}

/** "saint_bernard_12" is a "Saint Bernard". */
function breed(image: string): string {
  return image
    .replace(/_[^_]*$/, "")
    .split("_")
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1).toLowerCase())
    .join(" ");
}

function list(tree: FileTree, split: string): FileListing {
  const lines = readLines(tree, split);
  const classes: string[] = [];
  // Both lists together: a class may be absent from one.
  for (const other of SPLITS.filter((name) => name === split || tree.extent(listOf(name)))) {
    for (const { image, label } of readLines(tree, other)) {
      classes[label] ??= breed(image);
    }
  }
  const absent = Array.from(classes).indexOf(undefined as unknown as string);
  if (absent >= 0) {
    throw new DataError(
      `${join(tree.path, "annotations")} has the class ${classes.length} but no image of the class ${absent + 1}: ` +
        "download the annotations again.",
    );
  }
  return {
    kind: "files",
    classes,
    files: lines.map(({ image }) => `images/${image}.jpg`),
    labels: lines.map(({ label }) => label),
    listedIn: listOf(split),
  };
}
