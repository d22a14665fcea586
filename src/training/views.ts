/** @file The two views that a configuration's augmentation describes. */

import type { ViewSpec } from "../methods/index.js";
import { augmentation, type PipelineView, pipeline } from "../transforms/index.js";
import type { RunConfig } from "./config.js";

/** `v1` and `u`: crops for the loader, augmentations for the graph. */
export function makeViews({ augmentation: options, imageSize }: RunConfig): [ViewSpec, ViewSpec] {
  const { blurProbabilities, sharedCrop } = options;
  const changes = Object.fromEntries(Object.entries(options.crop).filter(([, value]) => value !== undefined));
  const view = (name: string, { crop, augmentation: spec }: PipelineView): ViewSpec => ({
    name,
    crop: { ...crop, ...changes, size: imageSize, ...(sharedCrop ? { group: "shared" } : {}) },
    augment: augmentation(spec),
  });
  const [first, second] = pipeline(options.pipeline, { blurProbabilities }).globals;
  return [view("v1", first), view("u", second)];
}
