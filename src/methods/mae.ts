/**
 * @file Masked autoencoders (He et al., CVPR 2022; facebookresearch/mae, models_mae.py). One view; the encoder sees a
 * quarter of its patches, and a small decoder predicts the pixels of the others.
 *
 *   kept    = the int(N (1 - ratio)) patches with the smallest random numbers
 *   z       = ViT(x at kept)                                    [B, 1 + K, D], positions added before patches are dropped
 *   y       = decoder(z, a mask token at all other places)      [B, N, p p 3]
 *   t       = (patch - mean) / sqrt(var + 1e-6)                 per patch, unbiased variance
 *   L       = mean over hidden patches of MSE(y, t)
 */

import { z } from "zod";
import { add, cast, mean, mul, reshape, square, sub, sum, type Tensor, where } from "../graph/index.js";
import {
  imagesOfPatches,
  type MaeDecoder,
  maeDecoder,
  maeDecoderParameters,
  patchCount,
  patchesNamed,
  patchTargets,
  type TransformerConfig,
  type VisionTransformer,
  type VisionTransformerConfig,
  visionTransformer,
  visionTransformerParameters,
} from "../models/index.js";
import type { ParameterSpec } from "../nn/index.js";
import { denormalize, keptCount, normalize, randomKept } from "../transforms/index.js";
import type { Encoded, Method, MethodViews, RandomDraw } from "./method.js";

export const maeOptions = z.strictObject({
  /** Share of the patches that are hidden. */
  maskRatio: z.number().gt(0).lt(1).default(0.75),
  /** Whether each patch is predicted at mean 0 and deviation 1 (`norm_pix_loss`), or as the image's normalised pixels. */
  normalizeTargets: z.boolean().default(true),
  decoderDim: z.int().positive().default(512),
  decoderDepth: z.int().positive().default(8),
  decoderHeads: z.int().positive().default(16),
  /** The feature that is evaluated. The loss sees neither alone. */
  pool: z.enum(["cls", "mean"]).default("cls"),
});
export type MaeOptions = z.output<typeof maeOptions>;

/** What MAE asks of its encoder: fixed positions, and its own initial values. */
export const maeEncoder = {
  classToken: true,
  positions: "columnFirst",
  initialization: "mae",
} as const satisfies Partial<VisionTransformerConfig>;

export interface MaeParameters<Leaf> {
  encoder: VisionTransformer<Leaf>;
  decoder: MaeDecoder<Leaf>;
}

/** @param views The first global view is used. @throws RangeError when masks, widths or the encoder do not fit. */
export function mae(
  encoder: VisionTransformerConfig,
  views: MethodViews,
  options: MaeOptions,
): Method<MaeParameters<ParameterSpec>> {
  checkEncoder(encoder);
  const patches = patchCount(encoder);
  const kept = keptCount(patches, options.maskRatio);
  if (kept < 1 || kept === patches) {
    throw new RangeError(
      `a "maskRatio" of ${options.maskRatio} leaves ${kept} of ${patches} patches visible; use one between ` +
        `${round(1 / patches)} and ${round(1 - 1 / patches)}, or a smaller patch size`,
    );
  }
  const [view] = views.global;
  const decoderConfig: TransformerConfig = {
    embedDim: options.decoderDim,
    depth: options.decoderDepth,
    numHeads: options.decoderHeads,
    epsilon: encoder.epsilon,
    initialization: encoder.initialization,
  };
  const mask: RandomDraw = {
    parameters: { kept: [kept] },
    draw: (random) => ({ kept: randomKept(random, patches, options.maskRatio) }),
  };
  return {
    title: "MAE",
    views: [view],
    draws: { mask },
    evaluated: { weights: "student", feature: options.pool },
    schedules: {},
    buffers: {},
    minimumBatch: 1,
    parameters: {
      encoder: visionTransformerParameters(encoder),
      decoder: maeDecoderParameters(encoder, decoderConfig),
    },

    encode({ parameters, views: images, draws }) {
      const x = normalize(images[view.name] as Tensor);
      const indices = cast(draws.mask?.kept as Tensor, "int64");
      const encoded = visionTransformer(parameters.encoder, encoder, x, { kept: { indices } });
      const decoded = { encoded: encoded.all, kept: indices };
      const predicted = maeDecoder(parameters.decoder, encoder, decoderConfig, decoded);
      const { targets, scale } = patchTargets(x, encoder.patchSize, options.normalizeTargets);
      const wanted = reshape(targets, predicted.shape);
      const isSeen = patchesNamed(indices, patches);
      /** Mean over the hidden patches: as many in each sample. */
      const overHidden = (errors: Tensor): Tensor =>
        mul(sum(where(isSeen, 0, mean(errors, [2]))), 1 / (isSeen.size - indices.size));
      const pixels = scale
        ? reshape(add(mul(reshape(predicted, targets.shape), scale.deviation), scale.mean), wanted.shape)
        : predicted;
      return {
        features: { pooled: options.pool === "cls" ? (encoded.cls as Tensor) : mean(encoded.patches, [1]) },
        losses: { reconstruction: { value: overHidden(square(sub(predicted, wanted))), weight: 1 } },
        pictures: pictures(images[view.name] as Tensor, pixels, isSeen, encoder.patchSize),
        // What is predicted of patches at mean 0 without looking at them.
        baselines: { reconstruction: { "mean of the targets": overHidden(square(wanted)) } },
      };
    },

    // Samples do not meet.
    objective: () => ({ losses: {} }),
  };
}

function round(value: number): number {
  return Math.round(1000 * value) / 1000;
}

function checkEncoder({ classToken, registers, dropPath }: VisionTransformerConfig): void {
  const fail = (what: string): never => {
    throw new RangeError(`MAE: ${what}`);
  };
  if (!classToken) fail('the decoder takes the class token along; leave out "encoder.classToken"');
  if (registers > 0) fail('its decoder has no place for registers; leave out "encoder.registers"');
  if (dropPath > 0) fail('patches are dropped, residual branches are not; leave out "encoder.dropPath"');
}

/** The image, what the encoder sees of it, and the hidden patches as predicted. */
function pictures(
  image: Tensor,
  pixels: Tensor,
  isSeen: Tensor,
  patchSize: number,
): NonNullable<Encoded["pictures"]> {
  const { targets } = patchTargets(normalize(image), patchSize, false);
  const truth = reshape(targets, pixels.shape);
  const seen = reshape(isSeen, [...isSeen.shape, 1]);
  const show = (patches: Tensor): Tensor => denormalize(imagesOfPatches(patches, patchSize));
  return {
    image,
    // A normalised pixel of 0 is a mid-grey.
    visible: show(where(seen, truth, 0)),
    reconstruction: show(where(seen, truth, pixels)),
  };
}
