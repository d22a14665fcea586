/** @file What a step asks of a machine, from its traced programs: nothing is computed. */

import { bytesPerElement, countFlops, peakActivationBytes, sizeOf, type TensorType } from "../graph/index.js";
import { flattenTree } from "../nn/index.js";
import { traceProgram } from "../runtime/index.js";
import type { RunConfig } from "./config.js";
import { MethodTrace } from "./method-trace.js";
import { updateOptions } from "./optimization.js";
import { buildMethod } from "./run-plan.js";
import { savedTypes, stateTypes, trainedSpecs } from "./state.js";
import { gradientProgram } from "./step.js";
import { stepInputTypes } from "./step-inputs.js";
import { updateProgram } from "./update.js";

export interface StepCost {
  readonly parameters: {
    readonly encoder: number;
    /** Everything else that is trained, by the first part of its name: `head`, `decoder`, … */
    readonly heads: Readonly<Record<string, number>>;
    readonly total: number;
    /** Moving averages, which are not trained. */
    readonly teacher: number;
  };
  /** Of matrix products and convolutions in a step of the whole batch, update included. */
  readonly flops: number;
  readonly memory: {
    /** Parameters, their gradients and moments, teacher and buffers, in bytes. */
    readonly state: number;
    /** Values that are alive at once in a (micro-)batch's gradients, in bytes. */
    readonly activations: number;
  };
  /** Images that are processed at once. */
  readonly microBatch: number;
}

/**
 * The cost of one step. Under accumulation it is that of all micro-batches, each of which is encoded twice.
 * @throws ConfigError when the method does not fit its encoder.
 */
export function stepCost(config: RunConfig): StepCost {
  const { batchSize, accumulate } = config;
  const { method, encoder } = buildMethod(config);
  const options = updateOptions(config, encoder.depth, { totalSteps: 1, stepsPerEpoch: 1 });
  const microBatch = batchSize / accumulate;
  // A loss that couples samples is not defined for fewer than these.
  const traced = Math.max(microBatch, method.minimumBatch);
  const gradients = traceProgram(gradientProgram(method, traced)).graph;
  const update = updateProgram(method, options);
  const parts = batchSize / traced;
  let flops = parts * countFlops(gradients) + countFlops(traceProgram(update).graph);
  if (accumulate > 1) {
    const features = traceProgram({
      name: "features",
      inputs: stepInputTypes(method, traced),
      state: Object.assign({}, ...Object.values(stateTypes(method))) as Record<string, TensorType>,
      trace: (inputs, state) => ({ outputs: new MethodTrace(method, inputs, state).encode().features }),
    });
    flops += parts * countFlops(features.graph);
  }
  return {
    parameters: parameterCounts(method),
    flops,
    memory: {
      state: bytesOf(savedTypes(method, options.optimizer)) + bytesOf(trainedSpecs(method)),
      activations: (peakActivationBytes(gradients) * microBatch) / traced,
    },
    microBatch,
  };
}

function parameterCounts(method: ReturnType<typeof buildMethod>["method"]): StepCost["parameters"] {
  const heads: Record<string, number> = {};
  let [encoder, total] = [0, 0];
  for (const [name, { shape }] of Object.entries(flattenTree(method.parameters) as Types)) {
    const size = sizeOf(shape);
    total += size;
    const [part = name] = name.split(".");
    if (part === "encoder") encoder += size;
    else heads[part] = (heads[part] ?? 0) + size;
  }
  const averaged = Object.values(flattenTree(method.teacher?.parameters ?? {}) as Types);
  return { encoder, heads, total, teacher: averaged.reduce((sum, { shape }) => sum + sizeOf(shape), 0) };
}

type Types = Readonly<Record<string, TensorType>>;

function bytesOf(types: Types): number {
  return Object.values(types).reduce(
    (sum, { dtype, shape }) => sum + bytesPerElement[dtype] * sizeOf(shape),
    0,
  );
}
