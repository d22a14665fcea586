/** @file What an encoder's `config.json` says beyond the fields of transformers, and the check of both. */

import { z } from "zod";
import { type VisionTransformerConfig, visionTransformerConfig } from "../models/index.js";
import { type Encoder, EncoderError } from "./encoder.js";
import { huggingFaceConfig } from "./huggingface.js";

/** The key of our block; its presence marks a folder as ours. */
export const CONFIG_KEY = "inbetween";

const count = z.int().positive();

const architectureSchema = z.strictObject({
  imageSize: count,
  patchSize: count,
  channels: count,
  embedDim: count,
  depth: count,
  numHeads: count,
  mlpRatio: z.number().positive(),
  swiglu: z.boolean(),
  classToken: z.boolean(),
  classPosition: z.boolean(),
  registers: z.int().nonnegative(),
  maskToken: z.boolean(),
  layerScale: z.number().optional(),
  qkvBias: z.boolean(),
  epsilon: z.number().positive(),
  dropPath: z.number().min(0).lt(1),
  dropPathGrowth: z.enum(["linear", "uniform"]),
  positions: z.enum(["learned", "columnFirst", "rowFirst"]),
  interpolation: z.strictObject({ offset: z.number(), antialias: z.boolean() }),
  initialization: z.enum(["dino", "dinov2", "mocov3", "mae", "ijepa"]),
});

const blockSchema = z.strictObject({
  format: z.literal(1),
  label: z.string(),
  /** The feature that pretraining trained. */
  feature: z.enum(["cls", "mean"]),
  origin: z
    .strictObject({
      method: z.string().exactOptional(),
      recipe: z.string().exactOptional(),
      steps: z.int().nonnegative().exactOptional(),
      seed: z.int().nonnegative().exactOptional(),
    })
    .exactOptional(),
  architecture: architectureSchema,
});

/** The fields of transformers that decide what is computed, in every architecture that we write. */
const decisive = [
  "model_type",
  "image_size",
  "patch_size",
  "num_channels",
  "hidden_size",
  "num_hidden_layers",
  "num_attention_heads",
  "layer_norm_eps",
];

/** An encoder without its weights. */
export type EncoderDescription = Omit<Encoder, "weights">;

/**
 * The contents of `config.json`.
 * @param dataFiles By ONNX model, how many files beside it hold its data, where it does not fit into one file.
 * @throws EncoderError when transformers has no such architecture.
 */
export function encoderConfigJson(
  { config, label, trained, origin }: EncoderDescription,
  dataFiles: Readonly<Record<string, number>> = {},
): string {
  const block = {
    format: 1,
    label,
    feature: trained,
    ...(origin ? { origin } : {}),
    architecture: config,
  } satisfies z.input<typeof blockSchema>;
  const browser =
    Object.keys(dataFiles).length === 0
      ? {}
      : { "transformers.js_config": { use_external_data_format: dataFiles } };
  return `${JSON.stringify({ ...huggingFaceConfig(config), ...browser, [CONFIG_KEY]: block }, null, 2)}\n`;
}

/**
 * Reads a `config.json` of ours.
 * @throws EncoderError when it is none, when a value is wrong, or when transformers' fields contradict our block.
 */
export function parseEncoderConfig(path: string, text: string): EncoderDescription {
  const fields = parseObject(path, text);
  if (!Object.hasOwn(fields, CONFIG_KEY)) {
    throw new EncoderError(
      `${path}: there is no "${CONFIG_KEY}" among its keys, expected a folder written by \`inbetween export\``,
    );
  }
  const result = blockSchema.safeParse(fields[CONFIG_KEY]);
  if (!result.success) {
    const issues = result.error.issues.map(
      ({ path: keys, message }) => `"${[CONFIG_KEY, ...keys].join(".")}": ${message}`,
    );
    throw new EncoderError(`${path}: ${issues.join("; ")}`);
  }
  const { label, feature, origin, architecture } = result.data;
  const config = checkedArchitecture(path, architecture);
  const expected = huggingFaceConfig(config);
  for (const key of decisive) {
    if (fields[key] === expected[key]) continue;
    throw new EncoderError(
      `${path}: "${key}" is ${JSON.stringify(fields[key])}, and ${JSON.stringify(expected[key])} by ` +
        `"${CONFIG_KEY}.architecture"; restore the config.json that was written with the weights`,
    );
  }
  return { config, label, trained: feature, ...(origin ? { origin } : {}) };
}

function parseObject(path: string, text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new EncoderError(
      `${path}: it is no JSON (${(error as Error).message}), expected an encoder's config.json`,
      {
        cause: error,
      },
    );
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new EncoderError(`${path}: it holds no object, expected an encoder's config.json`);
  }
  return value as Record<string, unknown>;
}

function checkedArchitecture(
  path: string,
  architecture: z.output<typeof architectureSchema>,
): VisionTransformerConfig {
  try {
    return visionTransformerConfig(architecture);
  } catch (error) {
    throw new EncoderError(`${path}: ${(error as Error).message}`, { cause: error });
  }
}
