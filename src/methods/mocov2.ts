/**
 * @file MoCo v2 (He et al., CVPR 2020; Chen et al. 2020; facebookresearch/moco --mlp): a query is told its key, by a
 * slowly moving teacher, from the keys of the batches before.
 *
 *   q = head(mean over patches of ViT(v1))               [B, 128]: Linear, ReLU, Linear
 *   k = the same of v2 by the teacher, momentum 0.999    [B, 128]
 *   L = mean of -log(exp(q·k / T) / (exp(q·k / T) + sum over the queue of exp(q·old / T)))       (MoCo, eq. 1)
 *   queue <- the newest K keys
 *
 * Shuffled batch norm is not needed: there is no batch norm in a ViT, nor in this head.
 */

import { z } from "zod";
import { at, concat, slice, stopGradient, type Tensor } from "../graph/index.js";
import {
  type Projector,
  projector,
  projectorParameters,
  projectorStyles,
  type VisionTransformerConfig,
} from "../models/index.js";
import {
  constantSchedule,
  l2Normalize,
  type ParameterSpec,
  parameter,
  unitRowsInitializer,
} from "../nn/index.js";
import { infoNceWithQueue } from "./losses/index.js";
import type { Method, MethodViews } from "./method.js";
import { momentumOption, poolOption, temperatureOption } from "./options.js";
import { type Represented, representation } from "./representation.js";

export const mocov2Options = z.strictObject({
  /** Which token the head sees; the ResNet of the paper pools over places. */
  pool: poolOption.default("mean"),
  /** Output width of the head. */
  outputDim: z.int().positive().default(128),
  /** K, the keys that are remembered: a multiple of the batch. */
  queue: z.int().positive().default(65536),
  /** T (MoCo v2: 0.2; MoCo: 0.07). */
  temperature: temperatureOption.default(0.2),
  /** Of the teacher, in every step. */
  momentum: momentumOption.default(0.999),
});
export type Mocov2Options = z.output<typeof mocov2Options>;

export interface Mocov2Parameters<Leaf> extends Represented<Leaf> {
  projector: Projector<Leaf>;
}

/** @throws RangeError when the queue is no multiple of the batch. */
export function mocov2(
  encoder: VisionTransformerConfig,
  views: MethodViews,
  options: Mocov2Options,
  batchSize: number,
): Method<Mocov2Parameters<ParameterSpec>, Mocov2Parameters<ParameterSpec>> {
  const { queue, outputDim, temperature } = options;
  if (queue % batchSize !== 0) {
    const near = Math.max(1, Math.round(queue / batchSize)) * batchSize;
    throw new RangeError(
      `"method.queue" ${queue} is not a multiple of "batchSize" ${batchSize}, so a batch would push out a part of ` +
        `an older one; use ${near}, or another batch`,
    );
  }
  const represented = representation(encoder, { site: "encoder", width: 1, pool: options.pool });
  const { width } = represented;
  const parameters = {
    ...represented.parameters,
    projector: projectorParameters([width, width, outputDim], projectorStyles.mocov2),
  };
  const [first, second] = views.global;
  return {
    title: "MoCo v2",
    views: views.global,
    draws: represented.draws(1),
    evaluated: { weights: "student", feature: options.pool },
    schedules: {},
    // Rows of the queue, oldest first.
    buffers: { queue: parameter([queue, outputDim], unitRowsInitializer) },
    minimumBatch: 2,
    parameters,
    // The code averages before it computes keys, this after the update: the same teacher, as the momentum is constant.
    teacher: { parameters, momentum: () => constantSchedule(options.momentum) },

    encode({ parameters: student, teacher, views: images, draws }) {
      const [query] = represented.encode(student, [images[first.name] as Tensor], draws).pooled;
      const [key] = represented.encode(teacher, [images[second.name] as Tensor]).pooled;
      return { features: { query: query as Tensor, key: key as Tensor }, losses: {} };
    },

    objective({ parameters: student, teacher, features, buffers }) {
      const queries = projector(student.projector, features.query as Tensor);
      const keys = stopGradient(l2Normalize(projector(teacher.projector, features.key as Tensor)));
      const old = buffers.queue as Tensor;
      const { loss, accuracy } = infoNceWithQueue(queries, keys, old, temperature);
      return {
        losses: { contrast: { value: loss, weight: 1 } },
        buffers: { queue: concat([slice(old, 0, at(keys.shape, 0)), keys], 0) },
        metrics: { accuracy },
      };
    },
  };
}
