/** @file From a configuration to the optimiser and the schedules of learning rate and weight decay. */

import {
  adam,
  adamW,
  constantSchedule,
  cosineSchedule,
  type Optimizer,
  type Schedule,
  sgd,
  warmupCosineSchedule,
} from "../nn/index.js";
import type { RunConfig } from "./config.js";

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
  }
}

/**
 * The learning rate rises linearly from 0, then falls along a cosine; it is the base rate times batch / 256 at its
 * peak. The weight decay is constant, or goes to its final value along a cosine.
 */
export function makeSchedules({ optimizer, batchSize }: RunConfig, totalSteps: number): Schedules {
  const peak = (optimizer.baseLearningRate * batchSize) / 256;
  const { weightDecay, finalWeightDecay } = optimizer;
  return {
    learningRate: warmupCosineSchedule({
      base: peak,
      final: optimizer.minLearningRate,
      steps: totalSteps,
      warmupSteps: Math.round(optimizer.warmup * totalSteps),
    }),
    weightDecay:
      finalWeightDecay === undefined
        ? constantSchedule(weightDecay)
        : cosineSchedule(weightDecay, finalWeightDecay, totalSteps),
  };
}
