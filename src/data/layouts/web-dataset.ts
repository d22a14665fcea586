/**
 * @file WebDataset shards: tar archives whose members belong together by their name up to the first dot, an image
 * (`.jpg`, `.png`, `.webp`) with its class in `.cls` (a number) or `.json` (`label` or `cls`). They stay packed: members
 * are read by their offset.
 */

import { closeSync, openSync, readSync } from "node:fs";
import { basename, join } from "node:path";
import { DataError } from "../data-error.js";
import { type FileTree, readTreeLines, under } from "../file-tree.js";
import { checkLabel, type Layout, type PlacedListing } from "../layout.js";
import { indexTar, type TarMember } from "../tar.js";
import { splitNamed } from "./split-folders.js";

const IMAGES = new Set(["jpg", "jpeg", "png", "webp"]);
const LABELS = new Set(["cls", "json"]);

/** Class names, one a line, beside the shards. */
const CLASS_FILES = ["classnames.txt", "classes.txt"];

/** A label or its JSON; more is something else. */
const MAX_LABEL_BYTES = 1 << 20;

/** A member's key and extension. */
function parts(name: string): { key: string; extension: string } {
  const start = name.lastIndexOf("/") + 1;
  const dot = name.indexOf(".", start);
  if (dot < 0) return { key: name, extension: "" };
  return { key: name.slice(0, dot), extension: name.slice(dot + 1).toLowerCase() };
}

/** Whether an archive is a shard: whether an image in it has a label or a caption beside it. */
export function isShard(members: readonly TarMember[]): boolean {
  const keys = new Set<string>();
  for (const { name } of members) {
    const { key, extension } = parts(name);
    if (IMAGES.has(extension)) keys.add(key);
  }
  return members.some(({ name }) => {
    const { key, extension } = parts(name);
    return (LABELS.has(extension) || extension === "txt") && keys.has(key);
  });
}

/** Shards in a folder, or in its folders of splits. An archive among loose images, or with no labels in it, is none. */
export async function recogniseShards(tree: FileTree): Promise<Layout | undefined> {
  const { files, folders } = tree.list("");
  if (files.some((file) => IMAGES.has(parts(file).extension))) return undefined;
  const isTar = (name: string) => /\.tar$/i.test(name);
  const shards = new Map<string, string[]>();
  const add = (split: string, file: string) => shards.set(split, [...(shards.get(split) ?? []), file]);
  for (const file of files.filter(isTar)) {
    // "imagenet-train-0001.tar"
    const word = file.split(/[-_.]/).find((part) => splitNamed(part) !== undefined);
    add((word === undefined ? undefined : splitNamed(word)) ?? "train", file);
  }
  for (const folder of folders) {
    const split = splitNamed(folder);
    if (split === undefined) continue;
    for (const file of tree.list(folder).files.filter(isTar)) add(split, under(folder, file));
  }
  if (shards.size === 0) return undefined;
  const paths = new Map(
    [...shards].map(([split, names]) => [split, names.map((name) => join(tree.path, name))] as const),
  );
  const [first] = [...paths.values()].flat();
  if (first === undefined || !isShard(await indexTar(first))) return undefined;
  const classFile = CLASS_FILES.find((name) => tree.extent(name));
  return shardLayout(tree.name, paths, classFile === undefined ? undefined : readTreeLines(tree, classFile));
}

/** @param shards Paths of the shards of each split. */
export function shardLayout(
  name: string,
  shards: ReadonlyMap<string, readonly string[]>,
  classes?: readonly string[],
): Layout {
  const splits = ["train", "val", "test"].filter((split) => shards.has(split));
  return {
    name,
    title: "WebDataset shards",
    splits,
    heldOutSplit: ["test", "val"].find((split) => shards.has(split)),
    metric: "top1",
    list: (split) => list(shards.get(split) ?? [], classes),
  };
}

async function list(shards: readonly string[], named: readonly string[] | undefined): Promise<PlacedListing> {
  const names: string[] = [];
  const sizes: number[] = [];
  const labels: (number | undefined)[] = [];
  const places: { path: string; offset: number }[] = [];
  for (const path of shards) {
    for (const { image, label } of await readShard(path)) {
      names.push(`${basename(path)}/${image.name}`);
      sizes.push(image.size);
      labels.push(label);
      places.push({ path, offset: image.offset });
    }
  }
  const unlabelled = labels.indexOf(undefined);
  const isLabelled = labels.some((label) => label !== undefined);
  if (isLabelled && unlabelled >= 0) {
    throw new DataError(
      `${names[unlabelled]} has no label (.cls, or "label" in .json), but other samples have.`,
    );
  }
  const complete = isLabelled ? (labels as number[]) : undefined;
  const classes = complete && (named ?? numbered(complete));
  if (classes) {
    for (const [i, label] of complete.entries()) checkLabel(label, classes.length, names[i] as string);
  }
  return {
    kind: "placed",
    classes,
    names,
    labels: complete,
    sizes,
    source: (i) => ({ kind: "slice", ...(places[i] as (typeof places)[number]), size: sizes[i] as number }),
  };
}

/** Numbers up to the largest label as names. */
function numbered(labels: readonly number[]): string[] {
  const largest = labels.reduce((a, b) => Math.max(a, b), 0);
  if (largest >= 1 << 20) throw new DataError(`A label is ${largest}: expected the number of a class.`);
  return Array.from({ length: largest + 1 }, (_, i) => `${i}`);
}

/** The images of a shard in its order, with their labels. */
async function readShard(path: string): Promise<{ image: TarMember; label: number | undefined }[]> {
  const images = new Map<string, TarMember>();
  const labels = new Map<string, TarMember>();
  for (const member of await indexTar(path)) {
    const { key, extension } = parts(member.name);
    if (IMAGES.has(extension) && !images.has(key)) images.set(key, member);
    // A .cls says it more plainly than a .json.
    if (extension === "cls" || (extension === "json" && !labels.has(key))) labels.set(key, member);
  }
  const descriptor = openSync(path, "r");
  try {
    return [...images].map(([key, image]) => {
      const member = labels.get(key);
      return { image, label: member && readLabel(descriptor, member, path) };
    });
  } finally {
    closeSync(descriptor);
  }
}

/** @throws DataError when a label is there but is none. */
function readLabel(descriptor: number, { name, offset, size }: TarMember, path: string): number | undefined {
  const where = `${name} in ${path}`;
  if (size > MAX_LABEL_BYTES) throw new DataError(`${where} has ${size} bytes: too many for a label.`);
  const bytes = new Uint8Array(size);
  for (let done = 0; done < size; ) {
    const got = readSync(descriptor, bytes, done, size - done, offset + done);
    if (got === 0) throw new DataError(`${where} is cut off.`);
    done += got;
  }
  const content = new TextDecoder().decode(bytes).trim();
  if (name.toLowerCase().endsWith(".cls")) {
    if (/^\d+$/.test(content)) return Number(content);
    throw new DataError(`${where} holds "${content.slice(0, 40)}", expected the number of a class.`);
  }
  try {
    const value: unknown = JSON.parse(content);
    if (typeof value !== "object" || value === null) return undefined;
    const label = Reflect.get(value, "label") ?? Reflect.get(value, "cls");
    return Number.isInteger(label) ? label : undefined;
  } catch {
    throw new DataError(`${where} is no JSON.`);
  }
}
