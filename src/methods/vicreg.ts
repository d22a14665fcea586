/**
 * @file VICReg (Bardes, Ponce & LeCun, ICLR 2022) with the loss and coefficients of SIE's code
 * (facebookresearch/SIE, src/models.py): the method that the paper puts the in-between task on first.
 *
 *   z = linear(patches of ViT(view))          [B, N, width], the first width - reserved channels are invariant
 *   x = expander(mean over patches of z_inv)  [B, 2048 (width - reserved) / width]
 *   L = 10 MSE(x1, x2) + 10 sum_views variance(x) + 1 sum_views covariance(x)
 */

import { z } from "zod";
import {
  add,
  concat,
  matmul,
  mean,
  mul,
  relu,
  slice,
  split,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
  variance,
} from "../graph/index.js";
import {
  type Projector,
  projector,
  projectorParameters,
  type VisionTransformer,
  type VisionTransformerConfig,
  visionTransformer,
  visionTransformerParameters,
} from "../models/index.js";
import {
  drawDropPath,
  dropPathRates,
  type Linear,
  linear,
  linearParameters,
  type ParameterSpec,
} from "../nn/index.js";
import { normalize } from "../transforms/index.js";
import type { Method, MethodViews, RandomDraw } from "./method.js";

export const vicregOptions = z.strictObject({
  /**
   * What is split into invariant and equivariant channels: a linear layer on the encoder's patches (paper section
   * 4.1), or the patches themselves.
   */
  site: z.enum(["linear", "encoder"]).default("linear"),
  /** Channels of the linear layer (paper section 4.1: 512); at site `encoder` the embedding's width is used. */
  width: z.int().positive().default(512),
  /** Hidden and output widths of the expander for the whole representation (SIE: 2048-2048-2048). */
  expander: z.array(z.int().positive()).min(1).default([2048, 2048, 2048]),
  /** Which token the loss sees. */
  pool: z.enum(["mean", "cls"]).default("mean"),
  invarianceWeight: z.number().nonnegative().default(10),
  varianceWeight: z.number().nonnegative().default(10),
  covarianceWeight: z.number().nonnegative().default(1),
});
export type VicregOptions = z.output<typeof vicregOptions>;

export interface VicregParameters<Leaf> {
  encoder: VisionTransformer<Leaf>;
  /** Patch features to the representation; absent where the features themselves are it. */
  head?: Linear<Leaf>;
  expander: Projector<Leaf>;
}

/** The three terms, unweighted. */
export interface VicregTerms {
  readonly invariance: Tensor;
  readonly variance: Tensor;
  readonly covariance: Tensor;
}

/** Added to the variance under the root (SIE's value). */
const VARIANCE_EPSILON = 1e-4;

/**
 * The terms for two views' embeddings, `[B, D]` each (SIE src/models.py, class VICReg):
 * invariance is the mean squared difference, variance the hinge mean(relu(1 - std)) / 2 summed over views,
 * covariance the sum of squared off-diagonal covariances / D summed over views.
 */
export function vicregTerms(x: Tensor, y: Tensor): VicregTerms {
  return {
    invariance: mean(square(sub(x, y))),
    variance: add(varianceHinge(x), varianceHinge(y)),
    covariance: add(covariancePenalty(x), covariancePenalty(y)),
  };
}

function varianceHinge(x: Tensor): Tensor {
  const std = sqrt(add(variance(x, [0]), VARIANCE_EPSILON));
  return mul(mean(relu(sub(1, std))), 0.5);
}

function covariancePenalty(x: Tensor): Tensor {
  const [batch, width] = x.shape as [number, number];
  const centred = sub(x, mean(x, [0], { keepDims: true }));
  const covariance = matmul(centred, centred, { transposeA: true, scale: 1 / (batch - 1) });
  // The diagonal is the variances, so its squares need no masked matrix.
  const diagonal = mul(sum(square(centred), [0]), 1 / (batch - 1));
  return mul(sub(sum(square(covariance)), sum(square(diagonal))), 1 / width);
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
  const width = options.site === "linear" ? options.width : encoder.embedDim;
  if (reserved >= width) {
    throw new RangeError(
      `${reserved} equivariant channels leave nothing of the ${width} for the loss; use fewer than ${width}`,
    );
  }
  const invariant = width - reserved;
  const share = invariant / width;
  const expanderWidths = options.expander.map((width) => Math.max(1, Math.round(width * share)));
  const [first, second] = views.global;
  return {
    title: "VICReg",
    views: views.global,
    draws: encoder.dropPath > 0 ? { dropPath: dropPathDraw(encoder) } : {},
    evaluated: { weights: "student", feature: options.pool },
    schedules: {},
    buffers: {},
    minimumBatch: 2,
    parameters: {
      encoder: visionTransformerParameters(encoder),
      ...(options.site === "linear" ? { head: linearParameters(encoder.embedDim, width) } : {}),
      expander: projectorParameters([invariant, ...expanderWidths]),
    },

    encode({ parameters, views: images, draws }) {
      // Both views in one forward pass.
      const both = concat([images[first.name] as Tensor, images[second.name] as Tensor], 0);
      const { cls, patches } = visionTransformer(
        parameters.encoder,
        encoder,
        normalize(both),
        branchFactors(draws.dropPath),
      );
      const batch = both.shape[0] as number;
      const represent = (x: Tensor): Tensor => (parameters.head ? linear(parameters.head, x) : x);
      const tokens = represent(patches);
      const pooled =
        options.pool === "cls" && cls
          ? slice(represent(cls), 1, 0, invariant)
          : mean(slice(tokens, 2, 0, invariant), [1]);
      const [pooled1, pooled2] = split(pooled, 0, [batch / 2, batch / 2]) as [Tensor, Tensor];
      const features = { pooled1, pooled2 };
      if (reserved === 0) return { features, losses: {} };
      const equivariant = split(slice(tokens, 2, invariant), 0, [batch / 2, batch / 2]) as [Tensor, Tensor];
      return { features, losses: {}, equivariant };
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

/** Factors of the residual branches of both views' encoders (stochastic depth), `[2 * depth]` each. */
function dropPathDraw({ dropPath, depth, dropPathGrowth }: VisionTransformerConfig): RandomDraw {
  const rates = dropPathRates(dropPath, depth, dropPathGrowth);
  return {
    parameters: { first: [2 * depth], second: [2 * depth] },
    draw: (random) => ({ first: drawDropPath(rates, random), second: drawDropPath(rates, random) }),
  };
}

/** The factors in the order of the joint forward pass. */
function branchFactors(draws: Readonly<Record<string, Tensor>> | undefined): { dropPath?: Tensor } {
  return draws ? { dropPath: concat([draws.first as Tensor, draws.second as Tensor], 0) } : {};
}
