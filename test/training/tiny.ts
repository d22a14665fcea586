/** @file Runs that take a second: the smallest configuration of every method, and what a run has left behind. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  findCheckpoint,
  type PretrainOptions,
  parseConfig,
  pretrain,
  type RunConfig,
} from "#src/training/index.js";
import type { HostTensor } from "#src/weights/index.js";

const vicreg = { name: "vicreg", width: 16, expander: [16, 16] };
const inbetween = { name: "inbetween", base: vicreg, equivariantDim: 8, decoderWidths: [8, 8, 8, 8] };

const simclr = { name: "simclr", width: 16, outputDim: 8 };
const mocov2 = { name: "mocov2", outputDim: 8, queue: 16 };
const mocov3 = { name: "mocov3", projector: [16, 16, 8], predictor: 16 };
const sie = { name: "sie", width: 16, equivariantDim: 8, expander: [16, 16] };
const crossAttention = {
  name: "cross-attention",
  width: 16,
  equivariantDim: 8,
  numHeads: 2,
  expander: [16, 16],
  decoderWidths: [8, 8, 8, 8],
};

export const tinyMethods = {
  vicreg,
  inbetween,
  simclr,
  mocov2,
  mocov3,
  sie,
  "cross-attention": crossAttention,
} as const;

/** A configuration as a recipe file holds it; `changes` replace its values. */
export function tinySource(changes: Readonly<Record<string, unknown>> = {}) {
  return {
    name: "tiny",
    imageSize: 16,
    encoder: { patchSize: 4, embedDim: 16, depth: 1, numHeads: 2 },
    method: inbetween as Record<string, unknown>,
    augmentation: { pipeline: "all" },
    optimizer: { baseLearningRate: 1e-2 } as Record<string, unknown>,
    batchSize: 8,
    steps: 6,
    log: { every: 1, pictures: 0, probes: 0, checkpointEvery: 3 } as Record<string, unknown>,
    ...changes,
  };
}

export function tinyConfig(changes: Readonly<Record<string, unknown>> = {}): RunConfig {
  return parseConfig(tinySource(changes), "tiny");
}

/** What a run's steps gave that must not depend on how often it was interrupted. */
export interface Course {
  /** By step, in the order in which they were made. */
  readonly steps: readonly { step: number; loss: Record<string, number>; gradientNorm: number }[];
  readonly warnings: readonly string[];
}

/** Pretrains in this process on 20 built-in images, and keeps what each step gave. */
export async function tinyRun(
  options: Partial<PretrainOptions> & { readonly out: string; readonly stopAfter?: number },
): Promise<Course> {
  const { stopAfter, ...rest } = options;
  const steps: { step: number; loss: Record<string, number>; gradientNorm: number }[] = [];
  const warnings: string[] = [];
  const controller = new AbortController();
  await pretrain({
    data: "synthetic:20",
    threads: 1,
    signal: controller.signal,
    warn: (message) => warnings.push(message),
    observe: () => ({
      step: ({ step, gradients: { losses }, gradientNorm }) => {
        steps.push({ step, loss: { ...losses }, gradientNorm });
        if (step === stopAfter) controller.abort();
      },
    }),
    ...rest,
  });
  return { steps, warnings };
}

/** All tensors of a run's newest checkpoint, by name. */
export async function tensorsOf(run: string): Promise<Map<string, HostTensor>> {
  const checkpoint = await findCheckpoint(run);
  await using file = await checkpoint.open();
  return await file.readAll();
}

/** Rows of a run's `metrics.jsonl`. */
export function metricsOf(run: string): Record<string, unknown>[] {
  const lines = readFileSync(join(run, "metrics.jsonl"), "utf8").trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
}
