/**
 * @file SimCLR (Chen, Kornblith, Norouzi & Hinton, ICML 2020; google-research/simclr): an image's two views are found
 * among all views of the batch.
 *
 *   z = linear(patches of ViT(view))       [B, N, width], the first width - reserved channels are invariant
 *   x = head(mean over patches of z_inv)   [B, 128]: Linear, BatchNorm, ReLU, Linear; statistics over both views
 *   L = sum over the two views of the mean of -log(exp(x·y / T) / sum over all others of exp(x·other / T))   (eq. 1)
 */

import { z } from "zod";
import { concat, split, type Tensor } from "../graph/index.js";
import {
  type Projector,
  type ProjectorOptions,
  projector,
  projectorParameters,
  type VisionTransformerConfig,
} from "../models/index.js";
import type { ParameterSpec } from "../nn/index.js";
import { ntXent } from "./losses/index.js";
import type { Method, MethodViews } from "./method.js";
import { temperatureOption } from "./options.js";
import { type Represented, representation, representationOptions } from "./representation.js";

export const simclrOptions = representationOptions.extend({
  /** T (released code: 0.1). */
  temperature: temperatureOption.default(0.1),
  /** Hidden layers of the head, as wide as what they see (paper: 1; SimCLR v2: 2). */
  hiddenLayers: z.int().nonnegative().default(1),
  /** Output width of the head. */
  outputDim: z.int().positive().default(128),
  /** Batch normalisation of the head's output: `scale` in the released code, none in the paper. */
  outputNorm: z.enum(["none", "scale"]).default("none"),
});
export type SimclrOptions = z.output<typeof simclrOptions>;

export interface SimclrParameters<Leaf> extends Represented<Leaf> {
  projector: Projector<Leaf>;
}

/** @param reserved Channels of the representation that the loss leaves alone; the head's hidden layer narrows with it. */
export function simclr(
  encoder: VisionTransformerConfig,
  views: MethodViews,
  options: SimclrOptions,
  reserved = 0,
): Method<SimclrParameters<ParameterSpec>> {
  const represented = representation(encoder, options, reserved);
  const { invariant } = represented;
  const hidden = Array.from({ length: options.hiddenLayers }, () => invariant);
  const head: ProjectorOptions = { outputNorm: options.outputNorm };
  const [first, second] = views.global;
  return {
    title: "SimCLR",
    views: views.global,
    draws: represented.draws(2),
    evaluated: { weights: "student", feature: options.pool },
    schedules: {},
    buffers: {},
    minimumBatch: 2,
    parameters: {
      ...represented.parameters,
      projector: projectorParameters([invariant, ...hidden, options.outputDim], head),
    },

    encode({ parameters, views: images, draws }) {
      const both = [images[first.name] as Tensor, images[second.name] as Tensor];
      const { pooled, ...equivariant } = represented.encode(parameters, both, draws);
      const [pooled1, pooled2] = pooled as [Tensor, Tensor];
      return { features: { pooled1, pooled2 }, losses: {}, ...equivariant };
    },

    objective({ parameters, features }) {
      const both = concat([features.pooled1 as Tensor, features.pooled2 as Tensor], 0);
      const batch = (both.shape[0] as number) / 2;
      const projected = projector(parameters.projector, both, head);
      const [x, y] = split(projected, 0, [batch, batch]) as [Tensor, Tensor];
      const { loss, accuracy } = ntXent(x, y, options.temperature);
      return { losses: { contrast: { value: loss, weight: 1 } }, metrics: { accuracy } };
    },
  };
}
