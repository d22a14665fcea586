/**
 * @file Multi-crop (Caron et al. 2020): two global views and several small local ones of each image, with one forward
 * pass for all crops of a size.
 */

import { concat, reshape, type Tensor } from "../graph/index.js";
import { type VisionTransformer, type VisionTransformerConfig, visionTransformer } from "../models/index.js";
import { drawDropPath, drawKeptSamples, dropPathRates, keptSampleCount } from "../nn/index.js";
import { mapValues } from "../records.js";
import { normalize } from "../transforms/index.js";
import type { BatchDraw, MethodViews, RandomDraw, ViewSpec } from "./method.js";

/** All crops of a batch of B samples, normalised. */
export interface Crops {
  /** `[2 B, 3, H, W]`: the first views of all samples, then the second. */
  readonly global: Tensor;
  /** `[B * count, 3, h, w]`, sample by sample. */
  readonly local: Tensor | undefined;
}

/** The views that a multi-crop method takes: all there are. */
export function multiCropViews({ global, local }: MethodViews): ViewSpec[] {
  return local ? [...global, local] : [...global];
}

export function multiCrop(
  images: Readonly<Record<string, Tensor>>,
  { global: [first, second], local }: MethodViews,
): Crops {
  return {
    global: normalize(concat([images[first.name] as Tensor, images[second.name] as Tensor], 0)),
    local: local && normalize(images[local.name] as Tensor),
  };
}

/** What an encoder makes of the crops, after its final norm. */
export interface CropFeatures {
  /** Class tokens of the global crops, `[2, B, D]`. */
  readonly global: Tensor;
  /** Patches of the global crops, `[2 B * N, D]`: those of the first crop in raster order, then of the second, … */
  readonly patches: Tensor;
  /** Class tokens of the local crops, `[B, count, D]`. */
  readonly local: Tensor | undefined;
}

export interface CropInputs {
  /** Masked patches of the global crops, bool `[2 B, N]`. */
  readonly mask?: Tensor | undefined;
  /** What `cropDropPath` drew. */
  readonly dropPath?: Readonly<Record<string, Tensor>> | undefined;
  /** What `cropKeptSamples` drew, instead. */
  readonly keptSamples?: Readonly<Record<string, Tensor>> | undefined;
}

/** @throws RangeError for an encoder without a class token, or one without a mask token when there is a mask. */
export function encodeCrops(
  p: VisionTransformer<Tensor>,
  config: VisionTransformerConfig,
  { global, local }: Crops,
  { mask, dropPath, keptSamples }: CropInputs = {},
): CropFeatures {
  const token = p.mask_token;
  if (mask && !token) throw new RangeError("masked patches need an encoder with a mask token");
  const ofGlobal = visionTransformer(p, config, global, {
    ...(mask && token ? { maskedTokens: { mask, token } } : {}),
    ...(dropPath ? { dropPath: concat([dropPath.first as Tensor, dropPath.second as Tensor], 0) } : {}),
    ...(keptSamples ? { keptSamples: keptSamples.global as Tensor } : {}),
  });
  const width = config.embedDim;
  const samples = (global.shape[0] as number) / 2;
  const factors = dropPath?.local;
  const ofLocal =
    local &&
    visionTransformer(p, config, local, {
      ...(factors ? { dropPath: reshape(factors, [local.shape[0] as number, 2 * config.depth]) } : {}),
      ...(keptSamples ? { keptSamples: keptSamples.local as Tensor } : {}),
    });
  return {
    global: reshape(classToken(ofGlobal.cls), [2, samples, width]),
    patches: reshape(ofGlobal.patches, [-1, width]),
    local: ofLocal && reshape(classToken(ofLocal.cls), [samples, -1, width]),
  };
}

function classToken(cls: Tensor | undefined): Tensor {
  if (!cls)
    throw new RangeError("multi-crop compares class tokens; use an encoder with one (classToken: true)");
  return cls;
}

/** Factors of the residual branches of all crops of a sample (stochastic depth), where the encoder drops any. */
export function cropDropPath(
  { dropPath, depth, dropPathGrowth }: VisionTransformerConfig,
  { local }: MethodViews,
): Record<string, RandomDraw> {
  if (dropPath === 0) return {};
  const rates = dropPathRates(dropPath, depth, dropPathGrowth);
  const count = local?.count ?? (local ? 1 : 0);
  const draw: RandomDraw = {
    parameters: {
      first: [2 * depth],
      second: [2 * depth],
      ...(count > 0 ? { local: [count, 2 * depth] } : {}),
    },
    draw: (random) => ({
      first: drawDropPath(rates, random),
      second: drawDropPath(rates, random),
      ...(count > 0
        ? { local: Array.from({ length: count }, () => drawDropPath(rates, random)).flat() }
        : {}),
    }),
  };
  return { dropPath: draw };
}

/**
 * The samples that compute each residual branch of the global and of the local crops: DINOv2's kind of stochastic depth
 * for rates above 0.1 (dinov2/layers/block.py).
 */
export function cropKeptSamples(
  { dropPath: rate, depth }: VisionTransformerConfig,
  { local }: MethodViews,
): Record<string, BatchDraw> {
  const crops: Record<string, number> = { global: 2, ...(local ? { local: local.count ?? 1 } : {}) };
  const draw: BatchDraw = {
    types: (batch) =>
      mapValues(crops, (count) => ({
        dtype: "int64",
        shape: [keptSampleCount(count * batch, rate), 2 * depth],
      })),
    drawBatch: (random, batch) =>
      mapValues(crops, (count) => drawKeptSamples(random, count * batch, rate, 2 * depth)),
  };
  return { keptSamples: draw };
}
