/** @file A data set: a list of samples that can be named, labelled and decoded. */

import { createHash } from "node:crypto";
import { type DecodeOptions, type Raster, shrinkFor, sideRatio } from "./image.js";
import { openSource, type SampleSource } from "./sample-source.js";
import { SkipLog } from "./skip-log.js";

/** What a synthetic image shows; positions and scale as fractions of the image's side, angle in radians. */
export interface Factors {
  readonly class: number;
  readonly x: number;
  readonly y: number;
  readonly angle: number;
  readonly scale: number;
}

/** What the accuracies published on a data set mean: the share of all images, or the mean of the classes' shares. */
export type Metric = "top1" | "meanPerClass";

export interface Dataset {
  readonly name: string;
  /** The part of the data set that this is. Data without official parts are one part, "train". */
  readonly split: string;
  /** The data set's parts, the one to train on first. */
  readonly splits: readonly string[];
  /** The part whose accuracy is published: "test", or "val" where the test labels are secret. */
  readonly heldOutSplit: string | undefined;
  readonly metric: Metric;
  /** Number of samples. */
  readonly length: number;
  /** Class names by label; undefined when the data set has no labels. */
  readonly classes: readonly string[] | undefined;
  /** SHA-256 (hex) of the list of samples: names, sizes and labels, not their pixels. */
  readonly fingerprint: string;
  /** Files that were left out, at opening or since. */
  readonly skips: SkipLog;
  /** Class index; undefined when the data set has no labels. */
  label(index: number): number | undefined;
  /** Path relative to the data set, or another name that is its own. */
  sampleName(index: number): string;
  source(index: number): SampleSource;
  /** Pixels [height, width, 3], 8-bit sRGB. @throws Error naming the sample when it cannot be decoded. */
  decode(index: number, options?: DecodeOptions): Promise<Raster>;
  /** Known factors of variation, for synthetic images. */
  factors(index: number): Factors | undefined;
}

export interface DatasetParts extends Partial<Pick<Dataset, "split" | "splits" | "metric">> {
  readonly name: string;
  readonly heldOutSplit?: string | undefined;
  readonly length: number;
  readonly classes?: readonly string[] | undefined;
  readonly label?: (index: number) => number;
  readonly sampleName: (index: number) => string;
  readonly source: (index: number) => SampleSource;
  readonly factors?: (index: number) => Factors;
  readonly skips?: SkipLog;
  /** Text that identifies the list of samples. */
  readonly identity: Iterable<string>;
}

/** Builds a data set from its parts. Indices outside 0..length-1 throw a RangeError. */
export function makeDataset(parts: DatasetParts): Dataset {
  const hash = createHash("sha256");
  for (const text of parts.identity) hash.update(text);
  const skips = parts.skips ?? new SkipLog(parts.name);
  skips.total ||= parts.length;
  const check = (index: number) => {
    if (Number.isInteger(index) && index >= 0 && index < parts.length) return index;
    throw new RangeError(`Sample ${index} of ${parts.name}: expected an index from 0 to ${parts.length - 1}`);
  };
  const { split = "train", splits = [split], heldOutSplit, metric = "top1" } = parts;
  return {
    name: parts.name,
    split,
    splits,
    heldOutSplit,
    metric,
    length: parts.length,
    classes: parts.classes,
    fingerprint: hash.digest("hex"),
    skips,
    label: (index) => parts.label?.(check(index)),
    sampleName: (index) => parts.sampleName(check(index)),
    source: (index) => parts.source(check(index)),
    factors: (index) => parts.factors?.(check(index)),
    async decode(index, options = {}) {
      const source = parts.source(check(index));
      try {
        const opened = await openSource(source);
        return await opened.decode(shrinkFor(opened.header, sideRatio(opened.header, options)));
      } catch (error) {
        throw new Error(`Cannot decode ${parts.sampleName(index)} of ${parts.name}`, { cause: error });
      }
    },
  };
}
