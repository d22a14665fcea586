/**
 * @file iNaturalist 2017 to 2019 (Van Horn et al. 2018): `train2018.json` and `val2018.json` in the format of COCO, with
 * `images` (paths below the folder), `annotations` and `categories`. Classes are ordered by the categories' ids. The
 * labels of the test split are secret.
 */

import { join } from "node:path";
import { DataError } from "../data-error.js";
import { type FileTree, readTreeJson } from "../file-tree.js";
import type { FileListing, Layout } from "../layout.js";

const LIST = /^(train|val)(201[789])\.json$/;

export function recogniseInaturalist(tree: FileTree): Layout | undefined {
  const year = tree
    .list("")
    .files.map((name) => LIST.exec(name)?.[2])
    .find((found) => found !== undefined);
  if (year === undefined) return undefined;
  return {
    name: `inaturalist-${year}`,
    title: `iNaturalist ${year}`,
    splits: ["train", "val"],
    heldOutSplit: "val",
    metric: "top1",
    list: (split) => list(tree, `${split}${year}.json`),
  };
}

interface Entry {
  readonly id?: unknown;
  readonly image_id?: unknown;
  readonly category_id?: unknown;
  readonly file_name?: unknown;
  readonly name?: unknown;
}

function list(tree: FileTree, listedIn: string): FileListing {
  const where = join(tree.path, listedIn);
  const content = readTreeJson(tree, listedIn);
  const entries = (key: string): readonly Entry[] => {
    const value: unknown =
      typeof content === "object" && content !== null ? Reflect.get(content, key) : undefined;
    if (Array.isArray(value) && value.every((item) => typeof item === "object" && item !== null))
      return value;
    const missing = key === "annotations" ? " Labels are missing: is this the test split?" : "";
    throw new DataError(`${where} has no list "${key}".${missing}`);
  };
  const categories = [...entries("categories")].sort((a, b) => Number(a.id) - Number(b.id));
  const labelOfCategory = new Map(categories.map(({ id }, i) => [id, i]));
  const labelOfImage = new Map<unknown, number>();
  for (const { image_id, category_id } of entries("annotations")) {
    const label = labelOfCategory.get(category_id);
    if (label === undefined) {
      throw new DataError(
        `${where}: image ${image_id} is of category ${category_id}, which "categories" has not.`,
      );
    }
    labelOfImage.set(image_id, label);
  }
  const files: string[] = [];
  const labels: number[] = [];
  for (const { id, file_name } of entries("images")) {
    const label = labelOfImage.get(id);
    if (label === undefined || typeof file_name !== "string") {
      throw new DataError(
        `${where}: image ${id} has no ${label === undefined ? "annotation" : "file name"}.`,
      );
    }
    files.push(file_name);
    labels.push(label);
  }
  return {
    kind: "files",
    classes: categories.map(({ id, name }) => String(name ?? id)),
    files,
    labels,
    listedIn,
  };
}
