/**
 * @file The predecessor of the in-between task, arXiv 2412.03314 ("cross-attention reconstruction" in the paper's tables):
 * VICReg on the invariant channels, and one view reconstructed from both views' equivariant channels, blended by
 * cross-attention. Its text leaves much open; docs/methods/cross-attention.md lists what was chosen here.
 *
 *   v1 = A1(I),  v2 = g_theta(A2(I))
 *   z_i = linear(patches of ViT(v_i))                           [B, N, 512] = [inv_i | equi_i], 256 each
 *   y = equi_2 + attention(queries equi_2, keys and values equi_1)
 *   L = VICReg(inv_1, inv_2) + lambda MSE(decoder(y), v2)
 */

import { z } from "zod";
import { add, mean, square, sub, type Tensor } from "../graph/index.js";
import {
  type Decoder,
  decoder,
  decoderParameters,
  type Projector,
  projector,
  projectorParameters,
  type VisionTransformerConfig,
} from "../models/index.js";
import {
  type CrossAttention,
  crossAttention,
  crossAttentionParameters,
  type ParameterSpec,
} from "../nn/index.js";
import { denormalize, normalize, transformation } from "../transforms/index.js";
import { meanSquaredError, vicregTerms } from "./losses/index.js";
import type { Method, MethodViews } from "./method.js";
import { type Represented, representation, representationOptions } from "./representation.js";

export const crossAttentionOptions = representationOptions.extend({
  /** Equivariant channels of the representation, its last ones (256 of 512). */
  equivariantDim: z.int().positive().default(256),
  /** What the second view is transformed by, beyond its augmentations. */
  transformation: z.enum(["none", "rotation", "translation", "se2", "color", "blur"]).default("se2"),
  /** The view that is reconstructed: its tokens ask, the other's answer. */
  target: z.enum(["first", "second"]).default("second"),
  /** Heads of the cross-attention. */
  numHeads: z.int().positive().default(8),
  /** Whether the asking tokens are added to what they are answered. */
  residual: z.boolean().default(true),
  /** Weight of the reconstruction. */
  lambda: z.number().nonnegative().default(1),
  /** Output channels of the decoder's linear layer and of its first three convolutions. */
  decoderWidths: z.array(z.int().positive()).length(4).default([256, 128, 64, 32]),
  /** Hidden and output widths of the expander for the whole representation, as VICReg's. */
  expander: z.array(z.int().positive()).min(1).default([2048, 2048, 2048]),
  invarianceWeight: z.number().nonnegative().default(10),
  varianceWeight: z.number().nonnegative().default(10),
  covarianceWeight: z.number().nonnegative().default(1),
});
export type CrossAttentionOptions = z.output<typeof crossAttentionOptions>;

export interface CrossAttentionParameters<Leaf> extends Represented<Leaf> {
  expander: Projector<Leaf>;
  blend: CrossAttention<Leaf>;
  decoder: Decoder<Leaf>;
}

/** @throws RangeError when channels, heads or patches do not fit. */
export function crossAttentionReconstruction(
  encoder: VisionTransformerConfig,
  views: MethodViews,
  options: CrossAttentionOptions,
): Method<CrossAttentionParameters<ParameterSpec>> {
  const { equivariantDim, numHeads } = options;
  const represented = representation(encoder, options, equivariantDim);
  const { width, invariant } = represented;
  if (equivariantDim % numHeads !== 0) {
    throw new RangeError(
      `"method.numHeads" ${numHeads} does not divide "method.equivariantDim" ${equivariantDim}; use a divisor`,
    );
  }
  const expanderWidths = options.expander.map((units) =>
    Math.max(1, Math.round((units * invariant) / width)),
  );
  const g = options.transformation === "none" ? undefined : transformation(options.transformation);
  const [first, second] = views.global;
  return {
    title: "Cross-attention reconstruction",
    views: views.global,
    draws: { ...represented.draws(2), ...(g ? { theta: g } : {}) },
    evaluated: { weights: "student", feature: options.pool },
    schedules: {},
    buffers: {},
    minimumBatch: 2,
    parameters: {
      ...represented.parameters,
      expander: projectorParameters([invariant, ...expanderWidths]),
      blend: crossAttentionParameters(equivariantDim),
      decoder: decoderParameters({
        inputDim: equivariantDim,
        widths: options.decoderWidths,
        patchSize: encoder.patchSize,
      }),
    },

    encode({ parameters, views: images, draws }) {
      const v1 = images[first.name] as Tensor;
      const u = images[second.name] as Tensor;
      const v2 = g ? g.apply(u, draws.theta ?? {}) : u;
      const { pooled, equivariant } = represented.encode(parameters, [v1, v2], draws);
      const [pooled1, pooled2] = pooled as [Tensor, Tensor];
      const [equivariant1, equivariant2] = equivariant as readonly [Tensor, Tensor];
      const isSecond = options.target === "second";
      const [asking, answering] = isSecond ? [equivariant2, equivariant1] : [equivariant1, equivariant2];
      const [target, other] = isSecond ? [v2, v1] : [v1, v2];
      const answer = crossAttention(parameters.blend, asking, answering, numHeads);
      const reconstruction = decoder(parameters.decoder, options.residual ? add(asking, answer) : answer);
      const wanted = normalize(target);
      const error = mean(square(sub(reconstruction, wanted)));
      const meanColour = mean(wanted, [2, 3], { keepDims: true });
      return {
        features: { pooled1, pooled2 },
        losses: { reconstruction: { value: error, weight: options.lambda } },
        pictures: { v1, v2, reconstruction: denormalize(reconstruction) },
        baselines: {
          reconstruction: {
            "copy of the other view": meanSquaredError(normalize(other), wanted),
            "mean colour": meanSquaredError(meanColour, wanted),
          },
        },
      };
    },

    objective({ parameters, features }) {
      const x = projector(parameters.expander, features.pooled1 as Tensor);
      const y = projector(parameters.expander, features.pooled2 as Tensor);
      const terms = vicregTerms(x, y);
      return {
        losses: {
          invariance: { value: terms.invariance, weight: options.invarianceWeight },
          variance: { value: terms.variance, weight: options.varianceWeight },
          covariance: { value: terms.covariance, weight: options.covarianceWeight },
        },
      };
    },
  };
}
