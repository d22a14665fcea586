/**
 * @file The configuration of a run: one schema, validated whole, unknown keys refused with the nearest name.
 * A recipe is a YAML file of this shape; the resolved configuration is written into the run folder.
 */

import { z } from "zod";
import { methodSchema } from "../methods/index.js";
import { type PipelineName, pipelineNames } from "../transforms/index.js";
import { issueLines } from "./schema-errors.js";

const positive = z.number().positive();
const count = z.int().positive();

const encoderSchema = z
  .strictObject({
    /** A named architecture: its widths and depth. */
    preset: z.enum(["tiny", "small", "base", "large", "huge", "giant"]).optional(),
    patchSize: z.int().positive(),
    embedDim: count.optional(),
    depth: count.optional(),
    numHeads: count.optional(),
    mlpRatio: positive.optional(),
    /** Register tokens (Darcet et al. 2024). */
    registers: z.int().nonnegative().optional(),
    /** Initial value of LayerScale; none when omitted. */
    layerScale: positive.optional(),
    swiglu: z.boolean().optional(),
    dropPath: z.number().min(0).lt(1).optional(),
    dropPathGrowth: z.enum(["linear", "uniform"]).optional(),
    classToken: z.boolean().optional(),
    /** Learned, or fixed sine-cosine in the axis order of one of two codes. */
    positions: z.enum(["learned", "columnFirst", "rowFirst"]).optional(),
    initialization: z.enum(["dino", "dinov2", "mocov3", "mae", "ijepa"]).optional(),
  })
  .describe("the vision transformer");

/** What is changed of a pipeline's crop. */
const cropSchema = z.strictObject({
  /** Share of the image's area, lowest and highest. */
  scale: z.tuple([positive.max(1), positive.max(1)]).optional(),
  interpolation: z.enum(["bicubic", "bilinear"]).optional(),
  flip: z.number().min(0).max(1).optional(),
});

/** What is changed of a pipeline's small crops. */
const localSchema = z.strictObject({
  /** Small crops of each image; 0 for none. */
  count: z.int().nonnegative().optional(),
  /** Side in pixels, a multiple of the patch size (default: 96 to 224 as the global crops, rounded to that). */
  size: count.optional(),
  /** Share of the image's area, lowest and highest. */
  scale: z.tuple([positive.max(1), positive.max(1)]).optional(),
});

export const configSchema = z.strictObject({
  name: z.string().min(1),
  /** What the recipe is for, in a sentence. */
  description: z.string().default(""),
  /** Where the paper has this row: the numbers of its tables, and what it calls the row. */
  table: z
    .strictObject({
      numbers: z.array(z.int().min(1).max(9)).default([]),
      row: z.string().min(1),
    })
    .optional(),
  imageSize: count.describe("side of the square views in pixels"),
  encoder: encoderSchema,
  method: methodSchema,
  augmentation: z.strictObject({
    /** Base augmentations by name; `all` is the paper's (DINOv2's), `rot` rotation alone. */
    pipeline: z.enum(pipelineNames as [PipelineName, ...PipelineName[]]).default("all"),
    /** Blur with the probabilities that DINOv2's code really has, or those it declares. */
    blurProbabilities: z.enum(["effective", "declared"]).default("effective"),
    crop: cropSchema.prefault({}),
    /** Small crops (multi-crop), for methods that take them. */
    local: localSchema.optional(),
    /** Whether both views are cut from the same crop. */
    sharedCrop: z.boolean().default(false),
  }),
  optimizer: z.strictObject({
    name: z.enum(["adamw", "adam", "sgd", "lars"]).default("adamw"),
    /** At a batch of `referenceBatch`. */
    baseLearningRate: positive,
    /** How the rate follows the batch: batch / reference, its square root (DINOv2), or not at all. */
    scaling: z.enum(["linear", "sqrt", "none"]).default("linear"),
    referenceBatch: count.default(256),
    minLearningRate: z.number().nonnegative().default(0),
    /** Share of the run over which the learning rate rises linearly. */
    warmup: z.number().min(0).max(1).default(0.05),
    /** The rate that it rises from, whatever the batch (I-JEPA: 2e-4). */
    warmupFrom: z.number().nonnegative().default(0),
    weightDecay: z.number().nonnegative().default(0.04),
    /** Weight decay at the end of the run (cosine); constant when omitted. */
    finalWeightDecay: z.number().nonnegative().optional(),
    /**
     * What does not decay: biases and vectors (iBOT, DINO, timm); biases, normalisations and LayerScale by name
     * (DINOv2); or nothing (MoCo v3).
     */
    undecayed: z.enum(["vectors", "named", "none"]).default("vectors"),
    /** The encoder's layer-wise decay of the learning rate (DINOv2: 0.9). */
    layerDecay: positive.max(1).optional(),
    /** The patch projection's learning rate, as a factor (DINOv2: 0.2). */
    patchEmbeddingRate: z.number().nonnegative().optional(),
    betas: z.tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)]).default([0.9, 0.999]),
    /** Largest norm of the gradient. */
    clip: z
      .strictObject({ norm: positive, scope: z.enum(["global", "tensor", "module"]).default("global") })
      .optional(),
  }),
  batchSize: count,
  /** Micro-batches per step; the gradient is the whole batch's, exactly. */
  accumulate: count.default(1),
  steps: count.optional(),
  epochs: positive.optional(),
  seed: z.int().nonnegative().default(0),
  log: z
    .strictObject({
      /** Steps between rows of metrics.jsonl. */
      every: count.default(10),
      /** How many times the in-between pictures are drawn over the run. */
      pictures: z.int().nonnegative().default(4),
      /** How many times the features are probed (k-NN where there are classes) over the run. */
      probes: z.int().nonnegative().default(4),
      /** Steps between checkpoints. */
      checkpointEvery: count.default(500),
      /** Checkpoints kept; older ones are removed. */
      keep: count.default(2),
    })
    .prefault({}),
});

/** A complete configuration. */
export type RunConfig = z.output<typeof configSchema>;

/** A configuration that does not fit the schema, or whose parts do not fit each other. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
}

/** Validates a configuration. @throws ConfigError naming every key that is wrong, what it is and what it should be. */
export function parseConfig(source: unknown, where: string): RunConfig {
  const result = configSchema.safeParse(source);
  if (!result.success) {
    const lines = result.error.issues.flatMap((issue) => issueLines(issue, source, configSchema));
    throw new ConfigError(`${where}: ${lines.length === 1 ? lines[0] : `\n  ${lines.join("\n  ")}`}`);
  }
  checkTogether(result.data, where);
  return result.data;
}

/** Keys, with those above them, whose values differ between two configurations. */
export function differingKeys(a: unknown, b: unknown, path = ""): string[] {
  const isObject = (value: unknown): value is Record<string, unknown> =>
    typeof value === "object" && value !== null && !Array.isArray(value);
  if (!isObject(a) || !isObject(b)) return JSON.stringify(a) === JSON.stringify(b) ? [] : [`"${path}"`];
  const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])];
  return keys.flatMap((key) => differingKeys(a[key], b[key], path === "" ? key : `${path}.${key}`));
}

function checkTogether(config: RunConfig, where: string): void {
  const fail = (message: string): never => {
    throw new ConfigError(`${where}: ${message}`);
  };
  const { imageSize, encoder, batchSize, accumulate, augmentation } = config;
  const { size: local } = augmentation.local ?? {};
  if (local !== undefined && local % encoder.patchSize !== 0) {
    fail(
      `"augmentation.local.size" ${local} is not a multiple of "encoder.patchSize" ${encoder.patchSize}; ` +
        `use ${Math.max(1, Math.round(local / encoder.patchSize)) * encoder.patchSize}`,
    );
  }
  if (imageSize % encoder.patchSize !== 0) {
    const near = Math.max(1, Math.round(imageSize / encoder.patchSize)) * encoder.patchSize;
    fail(
      `"imageSize" ${imageSize} is not a multiple of "encoder.patchSize" ${encoder.patchSize}; ` +
        `use ${near}, or another patch size`,
    );
  }
  if (batchSize % accumulate !== 0) {
    fail(`"batchSize" ${batchSize} is not a multiple of "accumulate" ${accumulate}; choose a divisor`);
  }
  for (const key of ["crop", "local"] as const) {
    const [low, high] = augmentation[key]?.scale ?? [0, 1];
    if (low > high) fail(`"augmentation.${key}.scale" goes from ${low} down to ${high}; exchange them`);
  }
  if (config.steps !== undefined && config.epochs !== undefined) {
    fail(`"steps" ${config.steps} and "epochs" ${config.epochs} both set the length; keep one`);
  }
  if (config.steps === undefined && config.epochs === undefined) {
    fail('neither "steps" nor "epochs" sets the length of the run; give one');
  }
}
