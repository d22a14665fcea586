/** @file What a data set's official layout says: its splits, its classes, and the samples of each split. */

import { DataError } from "./data-error.js";
import type { Metric } from "./dataset.js";
import type { FileTree } from "./file-tree.js";
import type { SampleSource } from "./sample-source.js";
import type { SkipLog } from "./skip-log.js";

/** A layout recognised in a folder or archive. Nothing of a split is read before it is listed. */
export interface Layout {
  /** Short name, such as "fgvc-aircraft". */
  readonly name: string;
  /** As people write it. */
  readonly title: string;
  /** Splits that no sample shares, the one to train on first. */
  readonly splits: readonly string[];
  /** Other names of splits: a union of splits with a name of its own, or another name of one. */
  readonly unions?: Readonly<Record<string, readonly string[]>>;
  /** See `Dataset`. */
  readonly heldOutSplit: string | undefined;
  readonly metric: Metric;
  /** @throws DataError when what lists the split is absent or makes no sense. */
  list(split: string, skips: SkipLog): Listing | Promise<Listing>;
}

/** Samples that are image files of the tree. */
export interface FileListing {
  readonly kind: "files";
  /** Class names by label; undefined without labels. */
  readonly classes: readonly string[] | undefined;
  /** Paths in the tree: of those listed some may be absent. */
  readonly files: readonly string[];
  /** Class of each file, -1 where it has none; undefined when no file has one. */
  readonly labels: ArrayLike<number> | undefined;
  /** The file whose bytes list them, for messages; undefined when the tree itself does. */
  readonly listedIn?: string;
  /** Entries that cannot be reached, in `skips` already. */
  readonly unreachable?: number;
}

/** Samples that lie somewhere else, known to be there. */
export interface PlacedListing {
  readonly kind: "placed";
  readonly classes: readonly string[] | undefined;
  readonly names: readonly string[];
  readonly labels: ArrayLike<number> | undefined;
  /** Bytes of each, where they differ. */
  readonly sizes?: ArrayLike<number>;
  source(index: number): SampleSource;
}

export type Listing = FileListing | PlacedListing;

/** Finds a layout in a tree; undefined when it is another one. @throws DataError when it is this one, and damaged. */
export type Recogniser = (tree: FileTree) => Layout | undefined | Promise<Layout | undefined>;

/** The split's own name and what it is made of. @throws DataError when the layout has none of that name. */
export function splitParts(layout: Layout, split: string, where: string): readonly string[] {
  const { splits, unions = {} } = layout;
  if (splits.includes(split)) return [split];
  const parts = Object.hasOwn(unions, split) ? unions[split] : undefined;
  if (parts) return parts;
  const names = [...splits, ...Object.keys(unions)].join(", ");
  throw new DataError(
    `${where} (${layout.title}) has no split "${split}": it has ${names}; name one of these with --split.`,
  );
}

/**
 * The label, from 0, of a class number as a file has it.
 * @param first The number that the file gives to the first class.
 * @throws DataError naming the place when it is the number of no class.
 */
export function checkLabel(number: number, classes: number, where: string, first: 0 | 1 = 0): number {
  const label = number - first;
  if (Number.isInteger(label) && label >= 0 && label < classes) return label;
  throw new DataError(`${where} has label ${number}, expected ${first} to ${classes - 1 + first}.`);
}
