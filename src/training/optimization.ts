/** @file From a configuration to the optimiser and the schedules of learning rate and weight decay. */

import type { RunLength } from "../methods/index.js";
import {
  adam,
  adamW,
  constantSchedule,
  cosineSchedule,
  excludeNamedAsDinov2,
  excludeVectors,
  lars,
  layerwiseRate,
  type Optimizer,
  patchEmbeddingRate,
  type ScaleRule,
  type Schedule,
  sgd,
  warmupCosineSchedule,
} from "../nn/index.js";
import type { RunConfig } from "./config.js";
import type { UpdateOptions } from "./update.js";

export interface Schedules {
  readonly learningRate: Schedule;
  readonly weightDecay: Schedule;
}

export function makeOptimizer({ optimizer: { name, betas } }: RunConfig): Optimizer {
  const [beta1, beta2] = betas;
  switch (name) {
    case "adamw":
      return adamW({ beta1, beta2 });
    case "adam":
      return adam({ beta1, beta2 });
    case "sgd":
      return sgd({ momentum: beta1 });
    case "lars":
      return lars({ momentum: beta1 });
  }
}

/** Multipliers of learning rate and weight decay by parameter. @param depth Blocks of the encoder. */
export function scaleRules({ optimizer }: RunConfig, depth: number): ScaleRule[] {
  const { undecayed, layerDecay, patchEmbeddingRate: patchRate } = optimizer;
  // Rules by the layer's number are about the encoder's blocks, not those of a decoder or predictor.
  const ofEncoder =
    (rule: ScaleRule): ScaleRule =>
    (name, shape) =>
      name.startsWith("encoder.") ? rule(name, shape) : {};
  return [
    ...(undecayed === "vectors" ? [excludeVectors] : undecayed === "named" ? [excludeNamedAsDinov2] : []),
    ...(layerDecay === undefined ? [] : [ofEncoder(layerwiseRate(layerDecay, depth))]),
    ...(patchRate === undefined ? [] : [ofEncoder(patchEmbeddingRate(patchRate))]),
  ];
}

/** What the update program is made from. @param depth Blocks of the encoder. */
export function updateOptions(config: RunConfig, depth: number, length: RunLength): UpdateOptions {
  const { clip } = config.optimizer;
  return {
    optimizer: makeOptimizer(config),
    clip: clip && { norm: clip.norm, scope: clip.scope === "global" ? "all" : clip.scope },
    rules: scaleRules(config, depth),
    length,
  };
}

/** The learning rate at its peak: the base rate, scaled by the batch. */
function peakRate({ optimizer, batchSize }: RunConfig): number {
  const { baseLearningRate, scaling, referenceBatch } = optimizer;
  const ratio = batchSize / referenceBatch;
  return baseLearningRate * (scaling === "none" ? 1 : scaling === "sqrt" ? Math.sqrt(ratio) : ratio);
}

/**
 * The learning rate rises linearly to its peak, then falls along a cosine. The weight decay is constant, or goes to
 * its final value along a cosine.
 */
export function makeSchedules(config: RunConfig, totalSteps: number): Schedules {
  const peak = peakRate(config);
  const { optimizer } = config;
  const { weightDecay, finalWeightDecay } = optimizer;
  return {
    learningRate: warmupCosineSchedule({
      base: peak,
      final: optimizer.minLearningRate,
      steps: totalSteps,
      warmupSteps: Math.round(optimizer.warmup * totalSteps),
      warmupFrom: optimizer.warmupFrom,
    }),
    weightDecay:
      finalWeightDecay === undefined
        ? constantSchedule(weightDecay)
        : cosineSchedule(weightDecay, finalWeightDecay, totalSteps),
  };
}
