/** @file What a step asks of a machine, from its traced programs: nothing is computed. */

import {
  bytesPerElement,
  countFlops,
  countMovedBytes,
  type Graph,
  peakActivationBytes,
  sizeOf,
  type TensorType,
} from "../graph/index.js";
import { flattenTree } from "../nn/index.js";
import { type ProgramDefinition, traceProgram } from "../runtime/index.js";
import type { RunConfig } from "./config.js";
import { updateOptions } from "./optimization.js";
import { buildMethod } from "./run-plan.js";
import { savedTypes, trainedSpecs } from "./state.js";
import { featuresProgram, gradientProgram } from "./step.js";
import { stepProgram } from "./training-step.js";
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
  /** Bytes that everything else reads and writes in that step. */
  readonly movedBytes: number;
  readonly memory: {
    /** Parameters, their moments, under accumulation the sums of their gradients, teacher and buffers, in bytes. */
    readonly state: number;
    /** Values that are alive at once in a step, or in a micro-batch's gradients, in bytes. */
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
  const microBatch = batchSize / accumulate;
  // A loss that couples samples is not defined for fewer than these.
  const traced = Math.max(microBatch, method.minimumBatch);
  const options = updateOptions(config, encoder.depth, { totalSteps: 1, stepsPerEpoch: 1 });
  const graphOf = (program: ProgramDefinition) => traceProgram(program).graph;
  const isDivided = accumulate > 1;
  const main = graphOf(
    isDivided ? gradientProgram(method, traced) : stepProgram(method, { ...options, batchSize: traced }),
  );
  const parts = batchSize / traced;
  const total = (count: (graph: Graph) => number): number => {
    if (!isDivided) return parts * count(main);
    const features = graphOf(featuresProgram(method, traced));
    return parts * (count(main) + count(features)) + count(graphOf(updateProgram(method, options)));
  };
  const sums = isDivided ? bytesOf(trainedSpecs(method)) : 0;
  return {
    parameters: parameterCounts(method),
    flops: total(countFlops),
    movedBytes: total(countMovedBytes),
    memory: {
      state: bytesOf(savedTypes(method, options.optimizer)) + sums,
      activations: (peakActivationBytes(main) * microBatch) / traced,
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
