/** @file From a recognised layout to the data set of one split. */

import { join } from "node:path";
import { DataError } from "./data-error.js";
import { type Dataset, makeDataset } from "./dataset.js";
import type { FileTree } from "./file-tree.js";
import { inspectFiles } from "./inspect-files.js";
import { type FileListing, type Layout, type Listing, type PlacedListing, splitParts } from "./layout.js";
import { SkipLog } from "./skip-log.js";

/** All samples of a split, one listing after the other where it is a union. @throws DataError */
export async function listSplit(
  layout: Layout,
  split: string,
  where: string,
  skips: SkipLog,
): Promise<readonly Listing[]> {
  const listings: Listing[] = [];
  for (const part of splitParts(layout, split, where)) listings.push(await layout.list(part, skips));
  return listings;
}

/** What makes samples of a listing. */
interface Samples {
  readonly names: readonly string[];
  readonly labels: readonly (number | undefined)[];
  readonly sizes: ArrayLike<number> | undefined;
  readonly source: PlacedListing["source"];
}

/**
 * Opens a split of a layout.
 * @throws DataError when the layout has no such split, when the split names absent files, or too many are unusable.
 */
export async function openLayout(
  { layout, tree }: { readonly layout: Layout; readonly tree: FileTree },
  split: string,
  skippedFile?: string,
): Promise<Dataset> {
  const skips = new SkipLog(tree.path, skippedFile);
  const parts: Samples[] = [];
  const listings = await listSplit(layout, split, tree.path, skips);
  for (const listing of listings) {
    parts.push(
      listing.kind === "placed" ? placed(listing, skips) : await usable(tree, listing, split, skips),
    );
  }
  skips.check();
  const names = parts.flatMap((part) => part.names);
  const labels = parts.flatMap((part) => part.labels);
  if (names.length === 0)
    throw new DataError(`The ${split} split of ${tree.path} (${layout.title}) has no image.`);
  const starts = parts.map((_, p) => parts.slice(0, p).reduce((sum, part) => sum + part.names.length, 0));
  const partOf = (i: number) => starts.findLastIndex((start) => start <= i);
  const { classes } = listings[0] as Listing;
  if (classes) checkLabelled(names, labels, tree.path);
  // An alias of a split has that split's name.
  const resolved = splitParts(layout, split, tree.path);
  const name = resolved.length === 1 ? (resolved[0] as string) : split;
  return makeDataset({
    name: `${layout.name}/${name}`,
    split: name,
    splits: [...layout.splits, ...Object.keys(layout.unions ?? {})],
    heldOutSplit: layout.heldOutSplit,
    metric: layout.metric,
    length: names.length,
    classes,
    ...(classes && { label: (i: number) => labels[i] as number }),
    sampleName: (i) => names[i] as string,
    source: (i) => {
      const part = partOf(i);
      return (parts[part] as Samples).source(i - (starts[part] as number));
    },
    skips,
    identity: identity(parts),
  });
}

function* identity(parts: readonly Samples[]): Generator<string> {
  for (const { names, labels, sizes } of parts) {
    for (const [i, name] of names.entries()) {
      yield sizes ? `${name}\0${sizes[i]}\0${labels[i]}\0` : `${name}\0${labels[i]}\0`;
    }
  }
}

function placed({ names, labels, sizes, source }: PlacedListing, skips: SkipLog): Samples {
  skips.total += names.length;
  return { names, labels: names.map((_, i) => labels?.[i]), sizes, source };
}

/** The files of a listing that begin like images. @throws DataError when some are not there. */
async function usable(tree: FileTree, listing: FileListing, split: string, skips: SkipLog): Promise<Samples> {
  const { files, labels, listedIn, unreachable = 0 } = listing;
  skips.total += files.length + unreachable;
  const { usable, sizes, missing } = await inspectFiles(tree, files, skips);
  const [first] = missing;
  if (first !== undefined) {
    const list = listedIn === undefined ? "" : ` in ${join(tree.path, listedIn)}`;
    throw new DataError(
      `The ${split} split${list} names ${missing.length} of ${files.length} files that are not there, ` +
        `the first ${join(tree.path, files[first] as string)}: unpack the data set again; ` +
        "`inbetween data check` lists them.",
    );
  }
  return {
    names: usable.map((i) => files[i] as string),
    labels: usable.map((i) => labels?.[i]),
    sizes,
    source: (i) => tree.source(files[usable[i] as number] as string),
  };
}

/** @throws DataError when a sample has no class although others have. */
function checkLabelled(
  names: readonly string[],
  labels: readonly (number | undefined)[],
  where: string,
): void {
  const without = labels.flatMap((label, i) =>
    label === undefined || label < 0 ? [names[i] as string] : [],
  );
  if (without.length === 0) return;
  throw new DataError(
    `${without.length} of ${names.length} images in ${where} have no label, the first ${without[0]}: ` +
      "put them into the folders of their classes.",
  );
}
