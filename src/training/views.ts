/** @file The views that a configuration's augmentation describes. */

import type { MethodViews, ViewSpec } from "../methods/index.js";
import { augmentation, type PipelineView, pipeline } from "../transforms/index.js";
import type { RunConfig } from "./config.js";

/** What is changed of a crop. */
type Changes = { readonly [Key in keyof ViewSpec["crop"]]?: ViewSpec["crop"][Key] | undefined };

/** Small crops as a share of the global ones: DINO's 96 of 224 pixels. */
const LOCAL_SHARE = 96 / 224;

/** The global views `v1` and `u`, and the `local` ones: crops for the loader, augmentations for the graph. */
export function makeViews({ augmentation: options, imageSize, encoder }: RunConfig): MethodViews {
  const { blurProbabilities, sharedCrop } = options;
  const { globals, local } = pipeline(options.pipeline, { blurProbabilities });
  const view = (name: string, { crop, augmentation: spec }: PipelineView, changes: Changes): ViewSpec => ({
    name,
    crop: {
      ...crop,
      ...Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined)),
    },
    augment: augmentation(spec),
  });
  const changes = { ...options.crop, size: imageSize, ...(sharedCrop ? { group: "shared" } : {}) };
  const [first, second] = globals;
  const global = [view("v1", first, changes), view("u", second, changes)] as const;
  const { count = local?.count ?? 0, size, scale } = options.local ?? {};
  if (count === 0) return { global };
  const nearest = Math.max(1, Math.round((LOCAL_SHARE * imageSize) / encoder.patchSize)) * encoder.patchSize;
  const source = local ?? second;
  return {
    global,
    local: { ...view("local", source, { scale, size: size ?? nearest }), count },
  };
}
