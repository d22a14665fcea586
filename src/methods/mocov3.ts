/**
 * @file MoCo v3 (Chen, Xie & He, ICCV 2021; facebookresearch/moco-v3): each view's prediction is found among the keys
 * that a slowly moving teacher makes of the other views of the batch. The patch projection keeps its random values.
 *
 *   q_i = predictor(projector([CLS] of ViT(v_i)))       [B, 256]
 *   k_i = projector([CLS] of ViT(v_i)) by the teacher   [B, 256]
 *   L = ctr(q_1, k_2) + ctr(q_2, k_1),  ctr(q, k) = -2 T mean of log(exp(q·k / T) / sum over the batch of exp(q·k' / T))
 *   momentum 1 - (1 - 0.99) (1 + cos(pi step / steps)) / 2                                        (Algorithm 1)
 */

import { z } from "zod";
import { add, type Tensor } from "../graph/index.js";
import {
  type Projector,
  projector,
  projectorParameters,
  projectorStyles,
  type VisionTransformerConfig,
  type VisionTransformerOptions,
} from "../models/index.js";
import { cosineSchedule, type ParameterSpec } from "../nn/index.js";
import { infoNceInBatch } from "./losses/index.js";
import type { Method, MethodViews } from "./method.js";
import { momentumOption, poolOption, temperatureOption } from "./options.js";
import { type Represented, representation } from "./representation.js";

export const mocov3Options = z.strictObject({
  pool: poolOption.default("cls"),
  /** Hidden and output widths of the projector. */
  projector: z.array(z.int().positive()).min(1).default([4096, 4096, 256]),
  /** Hidden width of the predictor, whose output is as wide as the projector's. */
  predictor: z.int().positive().default(4096),
  /** T. */
  temperature: temperatureOption.default(0.2),
  /** Of the teacher at the start; it rises to 1 along a cosine. */
  momentum: momentumOption.default(0.99),
  /** Whether the patch projection keeps its initial values (`--stop-grad-conv1`). */
  freezePatchProjection: z.boolean().default(true),
});
export type Mocov3Options = z.output<typeof mocov3Options>;

export interface Mocov3Averaged<Leaf> extends Represented<Leaf> {
  projector: Projector<Leaf>;
}

export interface Mocov3Parameters<Leaf> extends Mocov3Averaged<Leaf> {
  predictor: Projector<Leaf>;
}

/** Fixed sine-cosine positions and MoCo v3's initial values (vits.py). Its ViT-S has 12 heads: set by the recipe. */
export const mocov3Needs: Partial<VisionTransformerOptions> = {
  positions: "rowFirst",
  initialization: "mocov3",
};

export function mocov3(
  encoder: VisionTransformerConfig,
  views: MethodViews,
  options: Mocov3Options,
): Method<Mocov3Parameters<ParameterSpec>, Mocov3Averaged<ParameterSpec>> {
  const represented = representation(encoder, { site: "encoder", width: 1, pool: options.pool });
  const style = projectorStyles.mocov3;
  const outputDim = options.projector.at(-1) as number;
  const averaged = {
    ...represented.parameters,
    projector: projectorParameters([represented.width, ...options.projector], style),
  };
  const [first, second] = views.global;
  return {
    title: "MoCo v3",
    views: views.global,
    draws: represented.draws(2),
    evaluated: { weights: "student", feature: options.pool },
    schedules: {},
    buffers: {},
    minimumBatch: 2,
    parameters: {
      ...averaged,
      predictor: projectorParameters([outputDim, options.predictor, outputDim], style),
    },
    ...(options.freezePatchProjection ? { frozen: /^encoder\.patch_embed\./ } : {}),
    teacher: {
      parameters: averaged,
      // The code averages before the next step's keys are computed, with that step's momentum.
      momentum: ({ totalSteps }) => {
        const momentum = cosineSchedule(options.momentum, 1, totalSteps);
        return (step) => momentum(step + 1);
      },
    },

    encode({ parameters, teacher, views: images, draws }) {
      const both = [images[first.name] as Tensor, images[second.name] as Tensor];
      const [pooled1, pooled2] = represented.encode(parameters, both, draws).pooled as [Tensor, Tensor];
      const [key1, key2] = represented.encode(teacher, both).pooled as [Tensor, Tensor];
      return { features: { pooled1, pooled2, key1, key2 }, losses: {} };
    },

    objective({ parameters, teacher, features }) {
      const query = (pooled: Tensor) =>
        projector(parameters.predictor, projector(parameters.projector, pooled, style), style);
      const key = (pooled: Tensor) => projector(teacher.projector, pooled, style);
      const { temperature } = options;
      const one = infoNceInBatch(
        query(features.pooled1 as Tensor),
        key(features.key2 as Tensor),
        temperature,
      );
      const two = infoNceInBatch(
        query(features.pooled2 as Tensor),
        key(features.key1 as Tensor),
        temperature,
      );
      return {
        losses: { contrast: { value: add(one.loss, two.loss), weight: 1 } },
        metrics: { accuracy: one.accuracy },
      };
    },
  };
}
