/**
 * @file Oxford Flowers-102 (Nilsback and Zisserman 2008): `jpg/image_00001.jpg`, …; `imagelabels.mat`, the class of
 * each image from 1; `setid.mat`, the numbers of the images of each split. The test split is the largest, on purpose.
 */

import { join } from "node:path";
import { DataError } from "../data-error.js";
import { type FileTree, readTreeFile, readTreeJson } from "../file-tree.js";
import { checkLabel, type FileListing, type Layout } from "../layout.js";
import { MatlabError, readMatlab } from "../matlab.js";

const VARIABLES: Readonly<Record<string, string>> = { train: "trnid", val: "valid", test: "tstid" };
const CLASSES = 102;

/** Udacity's file of names, by class number, which many copies have beside the official ones. */
const NAMES = "cat_to_name.json";

export function recogniseFlowers(tree: FileTree): Layout | undefined {
  const { files } = tree.list("");
  if (!files.includes("setid.mat") && !files.includes("imagelabels.mat")) return undefined;
  return {
    name: "flowers-102",
    title: "Oxford Flowers-102",
    splits: ["train", "val", "test"],
    unions: { trainval: ["train", "val"] },
    heldOutSplit: "test",
    metric: "meanPerClass",
    list: (split) => list(tree, split),
  };
}

/** A row of numbers of a `.mat` file. @throws DataError when it is not there. */
function readRow(tree: FileTree, file: string, variable: string): readonly number[] {
  const where = join(tree.path, file);
  const bytes = readTreeFile(tree, file);
  try {
    const array = readMatlab(bytes).get(variable);
    if (array?.kind === "numeric") return array.values;
  } catch (error) {
    if (!(error instanceof MatlabError)) throw error;
    throw new DataError(`${where} cannot be read: ${error.message}. Download it again.`, { cause: error });
  }
  throw new DataError(`${where} has no numbers "${variable}": not a file of Flowers-102.`);
}

function readNames(tree: FileTree): string[] {
  const names = tree.extent(NAMES) ? readTreeJson(tree, NAMES) : {};
  const named = new Map(Object.entries(typeof names === "object" && names !== null ? names : {}));
  return Array.from({ length: CLASSES }, (_, i) => String(named.get(`${i + 1}`) ?? i + 1));
}

function list(tree: FileTree, split: string): FileListing {
  const labelOf = readRow(tree, "imagelabels.mat", "labels");
  const images = readRow(tree, "setid.mat", VARIABLES[split] ?? split);
  const where = join(tree.path, "imagelabels.mat");
  const labels = images.map((image) => {
    const label = labelOf[image - 1];
    if (label === undefined) {
      throw new DataError(
        `${where} has labels of ${labelOf.length} images, but setid.mat names image ${image}: labels are missing.`,
      );
    }
    return checkLabel(label, CLASSES, `${where}: image ${image}`, 1);
  });
  return {
    kind: "files",
    classes: readNames(tree),
    files: images.map((image) => `jpg/image_${String(image).padStart(5, "0")}.jpg`),
    labels,
    listedIn: "setid.mat",
  };
}
