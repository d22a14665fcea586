/**
 * @file SIE (Garrido, Najman & LeCun, ICML 2023; facebookresearch/SIE, src/models.py, class SIE) on natural images: a
 * half of the representation is the same in both views, the other is taken from one view to the other by a linear map
 * that a hyper-network makes of the known transformation between them.
 *
 *   v1 = A1(I),  u = A2(I),  v2 = g_theta(u)              theta is known, scaled to [-1, 1]
 *   z = linear(mean over patches of ViT(view))            [B, 512] = [inv | equi]
 *   x = [expander_inv(inv) | expander_equi(equi)]         [B, 1024 + 1024]
 *   L = 10 MSE(x1_inv, x2_inv) + 10 f MSE(W(theta) x1_equi, x2_equi)
 *     + 10 (variance(x1) + variance(x2) + variance(W(theta) x1_equi)) + covariance(x1) + covariance(x2)
 *
 * f is 0.45, as in SIE's README; 4.5, the default of its main.py, is ten times what the published numbers were made with.
 */

import { z } from "zod";
import { concat, slice, type Tensor } from "../graph/index.js";
import {
  type EquivariantPredictor,
  equivariantPredictor,
  equivariantPredictorParameters,
  type Projector,
  projector,
  projectorParameters,
  type VisionTransformerConfig,
} from "../models/index.js";
import type { ParameterSpec } from "../nn/index.js";
import { scaleTheta, sequence, type Transformation, transformation } from "../transforms/index.js";
import { meanSquaredError, varianceHinge, vicregTerms } from "./losses/index.js";
import type { Method, MethodViews } from "./method.js";
import { type Represented, representation, representationOptions } from "./representation.js";

/**
 * The known transformations by the names of the paper's tables. `all` is every one of them after another; rotation and
 * translation in one resampling, as se2.
 */
export const sieModes = {
  rot: ["rotation"],
  color: ["color"],
  blur: ["blur"],
  trans: ["translation"],
  all: ["color", "blur", "se2"],
} as const satisfies Record<string, readonly Transformation["name"][]>;

export const sieOptions = representationOptions.extend({
  /** What is known between the views. */
  mode: z.enum(["rot", "color", "blur", "trans", "all"]).default("all"),
  /** Equivariant channels of the representation, its last ones (SIE: 256 of 512). */
  equivariantDim: z.int().positive().default(256),
  /** Hidden and output widths of both expanders together, shared in proportion (SIE: 2048-2048-2048). */
  expander: z.array(z.int().positive()).min(1).default([2048, 2048, 2048]),
  /** Two hidden layers in the hyper-network. */
  deep: z.boolean().default(false),
  /**
   * Biases of the hyper-network. SIE has none: its parameters are quaternions, which are never 0. These here are 0 at the
   * middle of their ranges, where W would be 0 too without biases, and W(-theta) = -W(theta).
   */
  hyperBias: z.boolean().default(true),
  /** Whether the hyper-network also makes a shift of the prediction. */
  biasPrediction: z.boolean().default(false),
  invarianceWeight: z.number().nonnegative().default(10),
  /** f: the equivariance is weighed by this times `invarianceWeight`. */
  equivariantFactor: z.number().nonnegative().default(0.45),
  varianceWeight: z.number().nonnegative().default(10),
  covarianceWeight: z.number().nonnegative().default(1),
});
export type SieOptions = z.output<typeof sieOptions>;

export interface SieParameters<Leaf> extends Represented<Leaf> {
  expanders: { readonly invariant: Projector<Leaf>; readonly equivariant: Projector<Leaf> };
  predictor: EquivariantPredictor<Leaf>;
}

/** @throws RangeError when no channel is left that is not equivariant. */
export function sie(
  encoder: VisionTransformerConfig,
  views: MethodViews,
  options: SieOptions,
): Method<SieParameters<ParameterSpec>> {
  const represented = representation(encoder, options);
  const { width } = represented;
  const equivariant = options.equivariantDim;
  const invariant = width - equivariant;
  if (invariant < 1) {
    throw new RangeError(
      `"method.equivariantDim" ${equivariant} leaves nothing of the ${width} channels for the invariant part; ` +
        `use fewer than ${width}`,
    );
  }
  const widths = (channels: number) =>
    options.expander.map((units) => Math.max(1, Math.round((units * channels) / width)));
  const [invariantWidths, equivariantWidths] = [widths(invariant), widths(equivariant)];
  const known = sieModes[options.mode].map((name) => transformation(name));
  const g = sequence(Object.fromEntries(known.map((step) => [step.name, step])));
  const latent = known.reduce((total, { components }) => total + components.length, 0);
  const [first, second] = views.global;
  return {
    title: `SIE(${options.mode})`,
    views: views.global,
    draws: { ...represented.draws(2), theta: g },
    evaluated: { weights: "student", feature: options.pool },
    schedules: {},
    buffers: {},
    minimumBatch: 2,
    parameters: {
      ...represented.parameters,
      expanders: {
        invariant: projectorParameters([invariant, ...invariantWidths]),
        equivariant: projectorParameters([equivariant, ...equivariantWidths]),
      },
      predictor: equivariantPredictorParameters(latent, equivariantWidths.at(-1) as number, {
        deep: options.deep,
        bias: options.hyperBias,
        biasPrediction: options.biasPrediction,
      }),
    },

    encode({ parameters, views: images, draws }) {
      const drawn = draws.theta ?? {};
      const v1 = images[first.name] as Tensor;
      const v2 = g.apply(images[second.name] as Tensor, drawn);
      const [pooled1, pooled2] = represented.encode(parameters, [v1, v2], draws).pooled as [Tensor, Tensor];
      const theta = concat(
        known.map((step) => scaleTheta(step, drawn[`${step.name}/theta`] as Tensor)),
        1,
      );
      return { features: { pooled1, pooled2, theta }, losses: {} };
    },

    objective({ parameters, features }) {
      const [x1, x2] = [features.pooled1, features.pooled2].map((pooled) => ({
        invariant: projector(parameters.expanders.invariant, slice(pooled as Tensor, 1, 0, invariant)),
        equivariant: projector(parameters.expanders.equivariant, slice(pooled as Tensor, 1, invariant)),
      })) as [Parts, Parts];
      const predicted = equivariantPredictor(parameters.predictor, x1.equivariant, features.theta as Tensor);
      const joint = ({ invariant: inv, equivariant: equi }: Parts) => concat([inv, equi], 1);
      const { variance, covariance } = vicregTerms(joint(x1), joint(x2));
      const { invarianceWeight, varianceWeight } = options;
      return {
        losses: {
          invariance: { value: meanSquaredError(x1.invariant, x2.invariant), weight: invarianceWeight },
          equivariance: {
            value: meanSquaredError(predicted, x2.equivariant),
            weight: options.equivariantFactor * invarianceWeight,
          },
          variance: { value: variance, weight: varianceWeight },
          predictedVariance: { value: varianceHinge(predicted), weight: varianceWeight },
          covariance: { value: covariance, weight: options.covarianceWeight },
        },
      };
    },
  };
}

interface Parts {
  readonly invariant: Tensor;
  readonly equivariant: Tensor;
}
