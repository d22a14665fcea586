/** @file What `bench step` measures: a model, a method and a batch, by their names on the command line. */

import { mean, square, sub, type Tensor } from "../../graph/index.js";
import type { Method } from "../../methods/index.js";
import {
  type VisionTransformer,
  type VisionTransformerConfig,
  visionTransformer,
  visionTransformerParameters,
  visionTransformerPresets,
} from "../../models/index.js";
import {
  type Linear,
  linear,
  linearParameters,
  normalInitializer,
  type ParameterSpec,
  parameter,
} from "../../nn/index.js";
import { buildMethod, parseConfig, type RunConfig, suggestion } from "../../training/index.js";
import { normalize, type RandomTransform, randomResizedCrop } from "../../transforms/index.js";
import { CommandError } from "../output.js";

export const benchMethods = ["plain", "vicreg", "inbetween"] as const;
export type BenchMethod = (typeof benchMethods)[number];

/** Plain data, which is sent to the process that measures it. */
export interface Workload {
  readonly model: string;
  readonly method: BenchMethod;
  /** Images a step. */
  readonly batch: number;
}

/** The sizes that a peer in another language needs to build the same model. */
export interface ModelSizes {
  readonly image: number;
  readonly patch: number;
  readonly dim: number;
  readonly depth: number;
  readonly heads: number;
}

/** The models of the documented figures, and their batches. */
export const namedModels: Readonly<Record<string, number>> = {
  "vit-tiny-4@32": 64,
  "vit-small-16@224": 8,
  quick: 64,
};
const OTHER_BATCH = 8;

/** The model of the quick-start recipes. */
const quick: ModelSizes = { image: 32, patch: 4, dim: 128, depth: 6, heads: 4 };

/** The sizes that a model's name stands for: `quick`, or `vit-PRESET-PATCH@SIZE`. @throws CommandError */
export function modelSizes(model: string): ModelSizes {
  if (model === "quick") return quick;
  const [, preset = "", patch, image] = /^vit-([a-z]+)-(\d+)@(\d+)$/.exec(model) ?? [];
  const sizes = Object.entries(visionTransformerPresets).find(([name]) => name === preset)?.[1];
  if (!sizes) {
    throw new CommandError(
      `no model "${model}"${suggestion(model, Object.keys(namedModels))} ` +
        `(or any vit-PRESET-PATCH@SIZE with a preset of ${Object.keys(visionTransformerPresets).join(", ")})`,
    );
  }
  const { embedDim, depth, numHeads } = sizes;
  return { image: Number(image), patch: Number(patch), dim: embedDim, depth, heads: numHeads };
}

export function defaultBatch(model: string): number {
  return namedModels[model] ?? OTHER_BATCH;
}

/** The configuration and method of a workload. @throws ConfigError when its sizes do not fit. */
export function makeWorkload({ model, method, batch }: Workload): { config: RunConfig; method: Method } {
  const { image, patch, dim, depth, heads } = modelSizes(model);
  const vicreg = { name: "vicreg" };
  // The paper's heads (section 4.1), whatever the encoder: the methods' own defaults.
  const ours = { name: "inbetween", base: vicreg, transformation: "se2", equivariantDim: 256 };
  const config = parseConfig(
    {
      name: `bench ${model}`,
      imageSize: image,
      encoder: { patchSize: patch, embedDim: dim, depth, numHeads: heads },
      method: method === "inbetween" ? ours : vicreg,
      augmentation: { pipeline: "all" },
      optimizer: { baseLearningRate: 1e-4, weightDecay: 0.05 },
      batchSize: batch,
      steps: 1,
    },
    `bench step --model ${model}`,
  );
  const built = buildMethod(config);
  return { config, method: method === "plain" ? regression(built.encoder, batch) : built.method };
}

const unchanged: RandomTransform = { parameters: {}, draw: () => ({}), apply: (images) => images };

/** Width of the regression's target. */
const TARGETS = 512;

interface RegressionParameters<Leaf> {
  encoder: VisionTransformer<Leaf>;
  head: Linear<Leaf>;
}

/**
 * The plain step of a ViT, as a method like any other: the mean square of (Linear(mean of the patch tokens) - a fixed
 * target), images unchanged.
 */
function regression(
  encoder: VisionTransformerConfig,
  batch: number,
): Method<RegressionParameters<ParameterSpec>> {
  return {
    title: "plain",
    views: [{ name: "image", crop: randomResizedCrop(encoder.imageSize, [1, 1]), augment: unchanged }],
    draws: {},
    schedules: {},
    minimumBatch: 1,
    evaluated: { weights: "student", feature: "mean" },
    buffers: { target: parameter([batch, TARGETS], normalInitializer(1)) },
    parameters: {
      encoder: visionTransformerParameters(encoder),
      head: linearParameters(encoder.embedDim, TARGETS),
    },
    encode({ parameters, views }) {
      const { patches } = visionTransformer(parameters.encoder, encoder, normalize(views.image as Tensor));
      const features = linear(parameters.head, mean(patches, [1]));
      return { features: { features }, losses: {} };
    },
    objective: ({ features, buffers }) => {
      const error = square(sub(features.features as Tensor, buffers.target as Tensor));
      return { losses: { regression: { value: mean(error), weight: 1 } } };
    },
  };
}
