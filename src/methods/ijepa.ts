/**
 * @file I-JEPA (Assran et al., CVPR 2023; facebookresearch/ijepa, src/train.py). One view, no class token, no
 * augmentation but the crop: from the patches of a context block, the features of four target blocks are predicted.
 *
 *   s_y = layer norm without scale and shift of teacher(x)            [B, N, D], the whole image
 *   s_x = encoder(x at the context's patches)                         [B, K, D]
 *   ŝ_i = predictor(s_x, a mask token at each place of target i)       [B, T, D], each target by itself
 *   L   = mean of smoothL1(ŝ_i, s_y at target i)
 *
 * The number of patches in a context and in a target changes from batch to batch, the shapes of a graph do not: rows
 * are filled up, no token attends to the filling, and the loss leaves it out. Everything else is then exactly as if it
 * were not there.
 */

import { z } from "zod";
import {
  abs,
  add,
  cast,
  div,
  gather,
  logicalNot,
  mean,
  minimum,
  mul,
  reshape,
  standardize,
  sub,
  sum,
  type Tensor,
} from "../graph/index.js";
import {
  batchRows,
  type IjepaPredictor,
  ijepaPredictor,
  ijepaPredictorParameters,
  patchCount,
  type TransformerConfig,
  type VisionTransformer,
  type VisionTransformerConfig,
  visionTransformer,
  visionTransformerParameters,
} from "../models/index.js";
import type { ParameterSpec } from "../nn/index.js";
import {
  contextCapacity,
  type MultiBlockOptions,
  multiBlockBounds,
  multiBlockMasks,
  normalize,
} from "../transforms/index.js";
import type { BatchDraw, Method, MethodViews } from "./method.js";

const range = (low: number, high: number) =>
  z
    .tuple([z.number().positive(), z.number().positive()])
    .refine(([least, most]) => least <= most, "goes down; exchange the two")
    .default([low, high]);
const share = (low: number, high: number) =>
  range(low, high).refine(([, most]) => most <= 1, "is a share of the image and ends at 1 at the most");

export const ijepaOptions = z.strictObject({
  /** Target blocks of an image. */
  targets: z.int().positive().default(4),
  /** Share of the image that a target block covers. */
  targetScale: share(0.15, 0.2),
  /** Rows over columns of a target block. */
  targetAspect: range(0.75, 1.5),
  /** Share of the image that the context block covers before the targets are cut out of it. */
  contextScale: share(0.85, 1),
  /** A block with no more patches than this is placed again. */
  minKeep: z.int().nonnegative().default(10),
  /** Whether the targets stay in the context. */
  allowOverlap: z.boolean().default(false),
  /**
   * Patches reserved for a context; longer ones are cut. The default is so large that this practically never happens
   * (see `contextCapacity`).
   */
  contextCapacity: z.int().positive().optional(),
  predictorDim: z.int().positive().default(384),
  predictorDepth: z.int().positive().default(12),
  /** Heads of the predictor's attention; the encoder's when omitted. */
  predictorHeads: z.int().positive().optional(),
  /** The teacher's momentum at the beginning and the end, linear in between. */
  momentum: z.tuple([z.number().min(0).max(1), z.number().min(0).max(1)]).default([0.996, 1]),
  /** Which encoder is evaluated and exported: the target encoder is the teacher, the context encoder the student. */
  evaluate: z.enum(["teacher", "student"]).default("teacher"),
});
export type IjepaOptions = z.output<typeof ijepaOptions>;

/** What I-JEPA asks of its encoder: no class token, fixed positions, its own initial values. */
export const ijepaEncoder = {
  classToken: false,
  positions: "columnFirst",
  initialization: "ijepa",
} as const satisfies Partial<VisionTransformerConfig>;

export interface IjepaParameters<Leaf> {
  encoder: VisionTransformer<Leaf>;
  predictor: IjepaPredictor<Leaf>;
}

export interface IjepaTeacher<Leaf> {
  encoder: VisionTransformer<Leaf>;
}

/** Under the root of the target's layer norm (PyTorch's default, not the encoder's). */
const TARGET_EPSILON = 1e-5;

/** @param views The first global view is used. @throws RangeError when masks, widths or the encoder do not fit. */
export function ijepa(
  encoder: VisionTransformerConfig,
  views: MethodViews,
  options: IjepaOptions,
): Method<IjepaParameters<ParameterSpec>, IjepaTeacher<ParameterSpec>> {
  checkEncoder(encoder);
  const [view] = views.global;
  const predictorConfig: TransformerConfig = {
    embedDim: options.predictorDim,
    depth: options.predictorDepth,
    numHeads: options.predictorHeads ?? encoder.numHeads,
    epsilon: encoder.epsilon,
    initialization: encoder.initialization,
  };
  const weights = visionTransformerParameters(encoder);
  const patches = patchCount(encoder);
  return {
    title: "I-JEPA",
    views: [view],
    draws: { blocks: blocksDraw(Math.sqrt(patches), options) },
    evaluated: { weights: options.evaluate, feature: "mean" },
    schedules: {},
    buffers: {},
    minimumBatch: 1,
    parameters: { encoder: weights, predictor: ijepaPredictorParameters(encoder, predictorConfig) },
    teacher: {
      parameters: { encoder: weights },
      momentum: ({ totalSteps }) => {
        const [first, last] = options.momentum;
        return (step) => first + ((last - first) * step) / totalSteps;
      },
    },

    encode({ parameters, teacher, views: images, draws }) {
      const x = normalize(images[view.name] as Tensor);
      const { context, contextPadding, targets, targetPadding } = draws.blocks as Blocks<Tensor>;
      const seen = { indices: context, padding: contextPadding };
      const asked = { indices: targets, padding: targetPadding };

      const whole = visionTransformer(teacher.encoder, encoder, x).patches;
      const { normal } = standardize(reshape(whole, [-1, encoder.embedDim]), TARGET_EPSILON);
      const encoded = visionTransformer(parameters.encoder, encoder, x, { kept: seen }).patches;
      const input = { encoded, context: seen, targets: asked };
      const predicted = ijepaPredictor(parameters.predictor, encoder, predictorConfig, input);
      const wanted = reshape(gather(normal, 0, batchRows(targets, patches)), predicted.shape);

      const errors = mean(smoothL1(predicted, wanted), [3]);
      const counted = cast(logicalNot(targetPadding), errors.dtype);
      const perSample = div(sum(mul(errors, counted), [1, 2]), sum(counted, [1, 2]));
      return {
        features: { target: mean(whole, [1]) },
        losses: { prediction: { value: mean(perSample), weight: 1 } },
      };
    },

    // Samples do not meet.
    objective: () => ({ losses: {} }),
  };
}

/** d^2 / 2 where |d| < 1, |d| - 1/2 elsewhere: both are m (|d| - m / 2) with m = min(|d|, 1). */
function smoothL1(x: Tensor, y: Tensor): Tensor {
  const distance = abs(sub(x, y));
  const limited = minimum(distance, 1);
  return mul(limited, add(distance, mul(limited, -0.5)));
}

/** Places in raster order, and which of them only fill the row: `[B, K]` of the context, `[B, M, T]` of the targets. */
type Blocks<Value> = Readonly<Record<"context" | "contextPadding" | "targets" | "targetPadding", Value>>;

/** The masks of a (micro-)batch, filled up to what masks can come to. */
function blocksDraw(side: number, options: IjepaOptions): BatchDraw {
  const grid = { rows: side, columns: side };
  const blocks: MultiBlockOptions = options;
  const { largestTarget, largestContext } = multiBlockBounds(grid, blocks);
  const capacities = new Map<number, number>();
  const capacityOf = (batch: number): number => {
    const known = capacities.get(batch);
    if (known !== undefined) return known;
    const capacity = Math.min(
      options.contextCapacity ?? contextCapacity(grid, blocks, batch),
      largestContext,
    );
    capacities.set(batch, capacity);
    return capacity;
  };
  const filled = (places: readonly number[], length: number): number[] =>
    Array.from({ length }, (_, i) => places[i] ?? 0);
  const filling = (places: readonly number[], length: number): number[] =>
    Array.from({ length }, (_, i) => (i < places.length ? 0 : 1));
  return {
    types: (batch) => {
      const context = [batch, capacityOf(batch)];
      const targets = [batch, options.targets, largestTarget];
      return {
        context: { dtype: "int64", shape: context },
        contextPadding: { dtype: "bool", shape: context },
        targets: { dtype: "int64", shape: targets },
        targetPadding: { dtype: "bool", shape: targets },
      };
    },
    drawBatch: (random, batch): Blocks<number[]> => {
      const capacity = capacityOf(batch);
      const streams = Array.from({ length: batch }, () => random);
      const masks = multiBlockMasks(random, streams, grid, blocks, capacity);
      const contexts = masks.map(({ context }) => context);
      const targets = masks.flatMap((mask) => mask.targets);
      return {
        context: contexts.flatMap((places) => filled(places, capacity)),
        contextPadding: contexts.flatMap((places) => filling(places, capacity)),
        targets: targets.flatMap((places) => filled(places, largestTarget)),
        targetPadding: targets.flatMap((places) => filling(places, largestTarget)),
      };
    },
  };
}

function checkEncoder({ classToken, registers, dropPath }: VisionTransformerConfig): void {
  const fail = (what: string): never => {
    throw new RangeError(`I-JEPA: ${what}`);
  };
  if (classToken) fail('its encoder has no class token; leave out "encoder.classToken"');
  if (registers > 0) fail('its predictor has no place for registers; leave out "encoder.registers"');
  if (dropPath > 0) fail('patches are dropped, residual branches are not; leave out "encoder.dropPath"');
}
