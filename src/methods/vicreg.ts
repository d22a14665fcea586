/**
 * @file VICReg (Bardes, Ponce & LeCun, ICLR 2022) with the loss and coefficients of SIE's code
 * (facebookresearch/SIE, src/models.py): the method that the paper puts the in-between task on first.
 *
 *   z = linear(patches of ViT(view))          [B, N, width], the first width - reserved channels are invariant
 *   x = expander(mean over patches of z_inv)  [B, 2048 (width - reserved) / width]
 *   L = 10 MSE(x1, x2) + 10 sum_views variance(x) + 1 sum_views covariance(x)
 */

import { z } from "zod";
import type { Tensor } from "../graph/index.js";
import {
  type Projector,
  projector,
  projectorParameters,
  type VisionTransformerConfig,
} from "../models/index.js";
import type { ParameterSpec } from "../nn/index.js";
import { vicregTerms } from "./losses/index.js";
import type { Method, MethodViews } from "./method.js";
import { type Represented, representation, representationOptions } from "./representation.js";

export const vicregOptions = representationOptions.extend({
  /** Hidden and output widths of the expander for the whole representation (SIE: 2048-2048-2048). */
  expander: z.array(z.int().positive()).min(1).default([2048, 2048, 2048]),
  invarianceWeight: z.number().nonnegative().default(10),
  varianceWeight: z.number().nonnegative().default(10),
  covarianceWeight: z.number().nonnegative().default(1),
});
export type VicregOptions = z.output<typeof vicregOptions>;

export interface VicregParameters<Leaf> extends Represented<Leaf> {
  expander: Projector<Leaf>;
}

/**
 * @param views The two global views are used.
 * @param reserved Channels of the representation that the loss leaves alone; the expander narrows in proportion.
 */
export function vicreg(
  encoder: VisionTransformerConfig,
  views: MethodViews,
  options: VicregOptions,
  reserved = 0,
): Method<VicregParameters<ParameterSpec>> {
  const represented = representation(encoder, options, reserved);
  const { width, invariant } = represented;
  const expanderWidths = options.expander.map((units) =>
    Math.max(1, Math.round((units * invariant) / width)),
  );
  const [first, second] = views.global;
  return {
    title: "VICReg",
    views: views.global,
    draws: represented.draws(2),
    evaluated: { weights: "student", feature: options.pool },
    schedules: {},
    buffers: {},
    minimumBatch: 2,
    parameters: {
      ...represented.parameters,
      expander: projectorParameters([invariant, ...expanderWidths]),
    },

    encode({ parameters, views: images, draws }) {
      const both = [images[first.name] as Tensor, images[second.name] as Tensor];
      const { pooled, ...equivariant } = represented.encode(parameters, both, draws);
      const [pooled1, pooled2] = pooled as [Tensor, Tensor];
      return { features: { pooled1, pooled2 }, losses: {}, ...equivariant };
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
