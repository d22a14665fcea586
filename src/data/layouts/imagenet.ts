/**
 * @file ImageNet-1k (ILSVRC 2012): `train/<wnid>/`, and `val/` either by wnid or flat as it was distributed.
 *
 * The class of an image is the place of its WordNet id among the sorted ones, as everywhere in this field. The development
 * kit counts otherwise: `ILSVRC2012_validation_ground_truth.txt` holds ILSVRC ids, which `meta.mat` translates.
 */

import { join } from "node:path";
import { DataError } from "../data-error.js";
import { compareNames, type FileTree, readTreeFile, readTreeLines, under } from "../file-tree.js";
import type { FileListing, Layout } from "../layout.js";
import { type MatlabArray, MatlabError, readMatlab } from "../matlab.js";
import type { SkipLog } from "../skip-log.js";

const WNID = /^n\d{8}$/;
const FLAT = /^ILSVRC2012_val_\d{8}\.JPEG$/i;

const FOLDERS: Readonly<Record<string, readonly string[]>> = {
  train: ["train", "ILSVRC2012_img_train"],
  val: ["val", "ILSVRC2012_img_val"],
};

/** Where people put the development kit. */
const KITS = ["ILSVRC2012_devkit_t12/data", "devkit/data", "data", "", "val", "ILSVRC2012_img_val"];
const GROUND_TRUTH = "ILSVRC2012_validation_ground_truth.txt";

export function recogniseImagenet(tree: FileTree): Layout | undefined {
  const folders = Object.entries(FOLDERS).map(([split, names]) => {
    const folder = names.find((name) => tree.list("").folders.includes(name));
    return [split, folder] as const;
  });
  const isOurs = folders.some(([, folder]) => {
    if (folder === undefined) return false;
    const inside = tree.list(folder);
    return inside.folders.some((name) => WNID.test(name)) || inside.files.some((name) => FLAT.test(name));
  });
  if (!isOurs) return undefined;
  const folderOf = new Map(folders);
  return {
    name: "imagenet-1k",
    title: "ImageNet-1k",
    splits: ["train", "val"],
    heldOutSplit: "val",
    metric: "top1",
    list: (split, skips) => {
      const folder = folderOf.get(split);
      if (folder === undefined) {
        throw new DataError(
          `${tree.path} has no folder ${split}/ with the ${split} split of ImageNet: add it.`,
        );
      }
      return list(tree, folder, folderOf.get("train") ?? folder, skips);
    },
  };
}

function wnidsIn(tree: FileTree, folder: string): string[] {
  return tree.list(folder).folders.filter((name) => WNID.test(name));
}

function list(tree: FileTree, folder: string, trainFolder: string, skips: SkipLog): FileListing {
  const kit = readKit(tree);
  const trained = wnidsIn(tree, trainFolder);
  const wnids = trained.length > 0 ? trained : [...(kit?.wnidOf.values() ?? [])].sort(compareNames);
  const labelOf = new Map(wnids.map((wnid, i) => [wnid, i]));
  const known = (wnid: string, where: string) => {
    const label = labelOf.get(wnid);
    if (label === undefined) {
      throw new DataError(`${where} is of the class ${wnid}, which ${join(tree.path, trainFolder)} has not.`);
    }
    return label;
  };
  const names = readNames(tree, kit);
  const classes = wnids.map((wnid) => names.get(wnid) ?? wnid);
  if (wnidsIn(tree, folder).length === 0) {
    return { kind: "files", classes, ...flatValidation(tree, folder, kit, known) };
  }
  const { files, unreachable } = tree.walk(folder, skips);
  const labels = files.map((file) => {
    const wnid = file.slice(folder.length + 1).split("/", 1)[0] as string;
    return WNID.test(wnid) ? known(wnid, join(tree.path, file)) : -1;
  });
  return { kind: "files", classes, files, labels, unreachable };
}

/**
 * Image N of the flat folder has the ILSVRC id in line N of the ground truth.
 * @throws DataError when the kit is missing, or its list is another one than the folder's.
 */
function flatValidation(
  tree: FileTree,
  folder: string,
  kit: Kit | undefined,
  known: (wnid: string, where: string) => number,
) {
  const place = KITS.map((candidate) => under(candidate, GROUND_TRUTH)).find((file) => tree.extent(file));
  if (place === undefined || !kit) {
    const missing = place === undefined ? GROUND_TRUTH : "meta.mat";
    throw new DataError(
      `${join(tree.path, folder)} is not sorted into classes, and ${missing} is missing: put the development kit, ` +
        "ILSVRC2012_devkit_t12, beside it.",
    );
  }
  const files: string[] = [];
  const labels: number[] = [];
  const images = tree.list(folder).files.filter((name) => FLAT.test(name));
  const ending = images[0]?.slice(-5) ?? ".JPEG";
  for (const [i, line] of readTreeLines(tree, place).entries()) {
    const wnid = kit.wnidOf.get(Number(line));
    if (wnid === undefined) {
      throw new DataError(
        `${join(tree.path, place)}, line ${i + 1}: "${line}" is no id of a class in ${kit.file}.`,
      );
    }
    const file = `${folder}/ILSVRC2012_val_${String(i + 1).padStart(8, "0")}${ending}`;
    files.push(file);
    labels.push(known(wnid, file));
  }
  if (files.length < images.length) {
    throw new DataError(
      `${join(tree.path, place)} has ${files.length} lines, one for each image, and ${join(tree.path, folder)} ` +
        `${images.length} images: labels are missing; download the development kit again.`,
    );
  }
  return { files, labels, listedIn: place };
}

interface Kit {
  readonly file: string;
  /** By ILSVRC id, the classes without children only: those that images have. */
  readonly wnidOf: ReadonlyMap<number, string>;
  /** Words by wnid. */
  readonly words: ReadonlyMap<string, string>;
}

function readKit(tree: FileTree): Kit | undefined {
  const place = KITS.map((candidate) => under(candidate, "meta.mat")).find((file) => tree.extent(file));
  if (place === undefined) return undefined;
  const file = join(tree.path, place);
  const synsets = readSynsets(readTreeFile(tree, place), file);
  const wnidOf = new Map<number, string>();
  const words = new Map<string, string>();
  for (const synset of synsets) {
    const id = number(synset.get("ILSVRC2012_ID"));
    const children = number(synset.get("num_children"));
    const wnid = text(synset.get("WNID"));
    if (id === undefined || children === undefined || wnid === undefined) {
      throw new DataError(
        `${file}: a synset lacks ILSVRC2012_ID, WNID or num_children; download the kit again.`,
      );
    }
    if (children > 0) continue;
    wnidOf.set(id, wnid);
    words.set(wnid, text(synset.get("words")) ?? wnid);
  }
  return { file, wnidOf, words };
}

function readSynsets(bytes: Uint8Array, file: string) {
  try {
    const synsets = readMatlab(bytes).get("synsets");
    if (synsets?.kind === "structure") return synsets.elements;
  } catch (error) {
    if (!(error instanceof MatlabError)) throw error;
    throw new DataError(`${file} cannot be read: ${error.message}. Download the kit again.`, {
      cause: error,
    });
  }
  throw new DataError(`${file} has no structure "synsets": not the file of the development kit.`);
}

const number = (array: MatlabArray | undefined) => (array?.kind === "numeric" ? array.values[0] : undefined);
const text = (array: MatlabArray | undefined) => (array?.kind === "text" ? array.text : undefined);

/** Words for each wnid: from the kit, or from Kaggle's list. */
function readNames(tree: FileTree, kit: Kit | undefined): ReadonlyMap<string, string> {
  if (kit) return kit.words;
  const list = "LOC_synset_mapping.txt";
  if (!tree.extent(list)) return new Map();
  return new Map(readTreeLines(tree, list).map((line) => [line.slice(0, 9), line.slice(9).trim()] as const));
}
