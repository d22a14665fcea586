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
import { loadRecipe } from "../recipes.js";

/** What is measured under a name. */
interface Subject {
  /** Whose method, heads, augmentation and optimiser are taken. */
  readonly recipe: string;
  /** What the step does with its views: augments them, or takes them as they come from the loader. */
  readonly views: "augmented" | "given";
  /** With small crops. */
  readonly isMultiCrop?: boolean;
  /** The same method without the in-between task. */
  readonly base?: string;
  /** The same step in PyTorch. */
  readonly peer?: PeerStep;
}

interface PeerStep {
  /** A script of `bench/peer`. */
  readonly script: string;
  readonly flags?: readonly string[];
  /** It is run compiled too. */
  readonly isCompiled: boolean;
}

const subjects = {
  plain: { recipe: "paper/vicreg", views: "given", peer: { script: "step.py", isCompiled: true } },
  vicreg: {
    recipe: "paper/vicreg",
    views: "augmented",
    peer: { script: "ours_vicreg_step.py", flags: ["--method", "vicreg"], isCompiled: true },
  },
  // The official code is eager, and to compile these two takes torch longer than to measure them.
  ibot: {
    recipe: "paper/ibot-vits",
    views: "given",
    isMultiCrop: true,
    peer: { script: "ibot_step.py", isCompiled: false },
  },
  dinov2: {
    recipe: "paper/dinov2",
    views: "given",
    isMultiCrop: true,
    peer: { script: "dinov2_step.py", isCompiled: false },
  },
  mae: { recipe: "paper/mae", views: "given", peer: { script: "mae_step.py", isCompiled: true } },
  "inbetween-vicreg": {
    recipe: "paper/inbetween-vicreg-all-se2",
    views: "augmented",
    base: "vicreg",
    peer: { script: "ours_vicreg_step.py", flags: ["--method", "ours"], isCompiled: true },
  },
  "inbetween-ibot": { recipe: "paper/inbetween-ibot-vits", views: "given", isMultiCrop: true, base: "ibot" },
  "inbetween-dinov2": { recipe: "paper/inbetween-dinov2", views: "given", isMultiCrop: true, base: "dinov2" },
} as const satisfies Readonly<Record<string, Subject>>;

export type BenchMethod = keyof typeof subjects;
export const benchMethods = Object.keys(subjects) as BenchMethod[];

/** Small crops of each image, as the paper's DINOv2 has them. */
const LOCAL_CROPS = 8;

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
/** Ten crops of each image are as much work as several views. */
const MULTI_CROP_BATCH = 4;

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

export function defaultBatch(model: string, method: BenchMethod): number {
  if (subjectOf(method).isMultiCrop) return MULTI_CROP_BATCH;
  return namedModels[model] ?? OTHER_BATCH;
}

function subjectOf(method: BenchMethod): Subject {
  return subjects[method];
}

/** The method that this one puts the in-between task on. */
export function baseOf(method: BenchMethod): string | undefined {
  return subjectOf(method).base;
}

interface PeerCommand {
  readonly script: string;
  readonly flags: readonly string[];
  readonly modes: readonly string[];
}

/** The peer's script, its flags for the same step, and the modes that it is run in. */
export function peerStep(workload: Workload): PeerCommand | undefined {
  const { model, method, batch } = workload;
  const { peer } = subjectOf(method);
  if (!peer) return undefined;
  const sizes = Object.entries(modelSizes(model)).flatMap(([name, value]) => [`--${name}`, `${value}`]);
  const local = makeWorkload(workload).method.views.find(({ name }) => name === "local");
  const flags = [
    ...(peer.flags ?? []),
    ...["--model", "quickstart", ...sizes, "--batch", `${batch}`],
    ...(local ? ["--locals", `${local.count}`, "--local-size", `${local.crop.size}`] : []),
  ];
  return { script: peer.script, flags, modes: peer.isCompiled ? ["eager", "compile"] : ["eager"] };
}

/** The configuration and method of a workload. @throws ConfigError when its sizes do not fit. */
export function makeWorkload({ model, method, batch }: Workload): { config: RunConfig; method: Method } {
  const { image, patch, dim, depth, heads } = modelSizes(model);
  const { recipe: name, isMultiCrop, views } = subjectOf(method);
  // The paper's heads (section 4.1), whatever the encoder.
  const recipe = loadRecipe(name);
  const { augmentation } = recipe;
  const config = parseConfig(
    {
      ...recipe,
      imageSize: image,
      encoder: { ...recipe.encoder, patchSize: patch, embedDim: dim, depth, numHeads: heads },
      augmentation: isMultiCrop
        ? { ...augmentation, local: { ...augmentation.local, count: LOCAL_CROPS } }
        : augmentation,
      batchSize: batch,
      accumulate: 1,
    },
    `bench step --model ${model}`,
  );
  const built = buildMethod(config);
  if (method === "plain") return { config, method: regression(built.encoder, batch) };
  if (views === "augmented") return { config, method: built.method };
  const given = built.method.views.map((view) => ({ ...view, augment: unchanged }));
  return { config, method: { ...built.method, views: given } };
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
