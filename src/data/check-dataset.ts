/**
 * @file What is really there: a data set recognised, every image decoded, and the same images looked for in several
 * splits. Nothing is written.
 */

import { createHash } from "node:crypto";
import { noImage, reasonOf } from "./data-error.js";
import type { Metric } from "./dataset.js";
import { shrinkFor } from "./image.js";
import { inspectFiles } from "./inspect-files.js";
import type { Listing } from "./layout.js";
import { type FoundData, findData } from "./open-dataset.js";
import { listSplit } from "./open-layout.js";
import { openSource, type SampleSource } from "./sample-source.js";
import { SkipLog, type Skipped } from "./skip-log.js";

/** What was found of one split. */
export interface SplitCheck {
  readonly split: string;
  /** Samples that the split lists, or that its folder holds. */
  readonly listed: number;
  /** Images that decode. */
  readonly images: number;
  /** Classes of the set; undefined without labels. */
  readonly classes: number | undefined;
  /** Fewest and most images of a class, and classes without any. */
  readonly perClass: { readonly least: number; readonly most: number; readonly empty: number } | undefined;
  /** Sides in pixels of the images that decode: the smallest and largest width and height. */
  readonly sides:
    | { readonly width: readonly [number, number]; readonly height: readonly [number, number] }
    | undefined;
  /** Listed, but not there. */
  readonly missing: readonly string[];
  /** There, but no readable image. */
  readonly corrupt: readonly Skipped[];
  /** Images whose pixels an earlier image of the split has. */
  readonly repeated: number;
}

export interface DataCheck {
  readonly path: string;
  /** The layout, "folder of images" where none was recognised. */
  readonly recognised: string;
  readonly metric: Metric;
  readonly splits: readonly SplitCheck[];
  /** Images of one split whose pixels are in another one as well; pairs without any are left out. */
  readonly shared: readonly {
    readonly splits: readonly [string, string];
    readonly count: number;
    /** A pair of names. */
    readonly example: readonly [string, string];
  }[];
}

export interface CheckOptions {
  /** Check this split alone. */
  readonly split?: string;
  readonly signal?: AbortSignal;
  /** Called often, with images done and in all of a split. */
  readonly progress?: (split: string, done: number, total: number) => void;
}

/** Images decoded at once. */
const CONCURRENCY = 4;

/** By the hash of its pixels, an image that has them. */
type Seen = Map<string, string>;

/**
 * Reads a data set as a whole: every file decoded, every label checked.
 * @throws DataError when there is no data set or nothing in it, or what lists it is absent or makes no sense; the signal's
 *   reason when it is aborted. Files that are missing or damaged are no error here.
 */
export async function checkDataset(spec: string, options: CheckOptions = {}): Promise<DataCheck> {
  const found = await findData(spec);
  const { tree, layout } = found;
  const names = options.split === undefined ? (layout?.splits ?? ["train"]) : [options.split];
  const splits: SplitCheck[] = [];
  const seen = new Map<string, Seen>();
  for (const split of names) {
    const ofSplit: Seen = new Map();
    splits.push(await checkSplit(found, split, ofSplit, options));
    seen.set(split, ofSplit);
  }
  if (splits.every(({ listed, corrupt }) => listed + corrupt.length === 0)) throw noImage(tree.path);
  return {
    path: tree.path,
    recognised: layout?.title ?? "folder of images",
    metric: layout?.metric ?? "top1",
    splits,
    shared: sharedPixels(seen),
  };
}

function sharedPixels(seen: ReadonlyMap<string, Seen>): DataCheck["shared"] {
  const splits = [...seen];
  return splits.flatMap(([first, ofFirst], i) =>
    splits.slice(i + 1).flatMap(([second, ofSecond]) => {
      const common = [...ofSecond].filter(([hash]) => ofFirst.has(hash));
      const [example] = common;
      if (!example) return [];
      const [hash, name] = example;
      return [
        {
          splits: [first, second] as const,
          count: common.length,
          example: [ofFirst.get(hash) as string, name] as const,
        },
      ];
    }),
  );
}

interface Sample {
  readonly name: string;
  readonly label: number | undefined;
  readonly source: SampleSource;
}

/** The samples of a listing that are there. */
async function samplesOf(
  { tree }: FoundData,
  listing: Listing,
  skips: SkipLog,
  missing: string[],
): Promise<Sample[]> {
  if (listing.kind === "placed") {
    return listing.names.map((name, i) => ({ name, label: listing.labels?.[i], source: listing.source(i) }));
  }
  const { files, labels } = listing;
  const inspected = await inspectFiles(tree, files, skips);
  missing.push(...inspected.missing.map((i) => files[i] as string));
  return inspected.usable.map((i) => {
    const name = files[i] as string;
    return { name, label: labels?.[i], source: tree.source(name) };
  });
}

async function listingsOf(
  { tree, layout }: FoundData,
  split: string,
  skips: SkipLog,
): Promise<readonly Listing[]> {
  if (layout) return listSplit(layout, split, tree.path, skips);
  const { files } = tree.walk("", skips);
  const folders = new Set(files.map((file) => file.slice(0, Math.max(0, file.indexOf("/")))));
  const classes = folders.size > 1 && !folders.has("") ? [...folders] : undefined;
  const labels = classes && files.map((file) => classes.indexOf(file.slice(0, file.indexOf("/"))));
  return [{ kind: "files", classes, files, labels }];
}

async function checkSplit(
  found: FoundData,
  split: string,
  seen: Seen,
  { signal, progress }: CheckOptions,
): Promise<SplitCheck> {
  const skips = new SkipLog(found.tree.path);
  const missing: string[] = [];
  const listings = await listingsOf(found, split, skips);
  const samples: Sample[] = [];
  let listed = 0;
  for (const listing of listings) {
    listed += listing.kind === "placed" ? listing.names.length : listing.files.length;
    for (const sample of await samplesOf(found, listing, skips, missing)) samples.push(sample);
  }
  const classes = listings[0]?.classes;
  const counts = new Int32Array(classes?.length ?? 0);
  const width: [number, number] = [Number.POSITIVE_INFINITY, 0];
  const height: [number, number] = [Number.POSITIVE_INFINITY, 0];
  let images = 0;
  let repeated = 0;
  let next = 0;
  let done = 0;
  const worker = async () => {
    for (;;) {
      signal?.throwIfAborted();
      const sample = samples[next++];
      if (!sample) return;
      const outcome = await decodeWhole(sample);
      progress?.(split, ++done, samples.length);
      if ("reason" in outcome) {
        skips.add(sample.name, outcome.reason);
        continue;
      }
      images++;
      if (sample.label !== undefined && sample.label >= 0)
        counts[sample.label] = (counts[sample.label] ?? 0) + 1;
      widen(width, outcome.width);
      widen(height, outcome.height);
      if (seen.has(outcome.hash)) repeated++;
      else seen.set(outcome.hash, sample.name);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  return {
    split,
    listed,
    images,
    classes: classes?.length,
    perClass: classes && {
      least: counts.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY),
      most: counts.reduce((a, b) => Math.max(a, b), 0),
      empty: counts.filter((count) => count === 0).length,
    },
    sides: images > 0 ? { width, height } : undefined,
    missing,
    corrupt: skips.entries,
    repeated,
  };
}

function widen(range: [number, number], value: number): void {
  range[0] = Math.min(range[0], value);
  range[1] = Math.max(range[1], value);
}

/** Decodes all of an image. Its hash is of its pixels: the same picture in two files has one hash. */
async function decodeWhole({
  source,
}: Sample): Promise<{ hash: string; width: number; height: number } | { reason: string }> {
  try {
    const opened = await openSource(source);
    const { width, height } = opened.header;
    const { data } = await opened.decode(shrinkFor(opened.header, 1));
    const hash = createHash("sha1").update(`${width}x${height}\0`).update(data).digest("base64");
    return { hash, width, height };
  } catch (error) {
    return { reason: reasonOf(error) };
  }
}
