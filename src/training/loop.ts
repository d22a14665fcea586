/**
 * @file The training loop: batches in, steps on the device, rows and checkpoints out. It reads top to bottom; what
 * a step computes is in training-step.ts, what is kept on disk in checkpoint-store.ts and run-folder.ts.
 */

import { createLoader, type Dataset, type Loader } from "../data/index.js";
import type { Method, RunLength } from "../methods/index.js";
import type { RunConfig } from "./config.js";
import { NonFiniteError } from "./dump.js";
import type { Schedules } from "./optimization.js";
import { type Gradients, isFiniteStep } from "./step.js";
import { cropsOf, stepInputs } from "./step-inputs.js";
import type { TrainingStep } from "./training-step.js";

/** What happened in one step. */
export interface StepReport {
  /** Steps finished, counted from 1. */
  readonly step: number;
  readonly epoch: number;
  readonly gradients: Gradients;
  readonly gradientNorm: number;
  readonly learningRate: number;
  readonly weightDecay: number;
  /** Seconds since the loop began. */
  readonly seconds: number;
  /** Seconds of these in which the loop waited for data. */
  readonly waitSeconds: number;
}

export interface LoopOptions {
  readonly config: RunConfig;
  readonly method: Method;
  readonly dataset: Dataset;
  readonly trainingStep: TrainingStep;
  readonly schedules: Schedules;
  /** Steps already done. */
  readonly startStep: number;
  readonly length: RunLength;
  /** Called after each step; the loop goes on when it resolves. */
  readonly onStep: (report: StepReport) => Promise<void>;
  /** Stops the loop after the step under way. */
  readonly signal: AbortSignal;
}

/** Runs steps until the end or the signal. @throws NonFiniteError at a step that left the parameters as they were. */
export async function trainingLoop(options: LoopOptions): Promise<void> {
  const { config, method, dataset, trainingStep, schedules, startStep, length, onStep, signal } = options;
  const { totalSteps, stepsPerEpoch } = length;
  if (startStep >= totalSteps) return;
  const loader: Loader = createLoader({
    dataset,
    batchSize: config.batchSize,
    views: cropsOf(method),
    seed: config.seed,
    startStep,
  });
  const start = performance.now();
  try {
    for (let step = startStep; step < totalSteps && !signal.aborted; step++) {
      const { value: batch } = await loader.next();
      if (!batch) throw new Error(`internal: the loader ended before step ${step + 1}`);
      const inputs = stepInputs(method, batch, { ...config, length });
      const settings = {
        step,
        learningRate: schedules.learningRate(step),
        weightDecay: schedules.weightDecay(step),
      };
      const computed = await trainingStep.run(inputs, settings);
      if (!isFiniteStep(computed)) throw new NonFiniteError(step, computed, inputs);
      await onStep({
        ...settings,
        step: step + 1,
        epoch: (step + 1) / stepsPerEpoch,
        gradients: computed,
        gradientNorm: Math.hypot(...Object.values(computed.norms)),
        seconds: (performance.now() - start) / 1000,
        waitSeconds: loader.waitSeconds,
      });
    }
  } finally {
    await loader.close();
  }
}
