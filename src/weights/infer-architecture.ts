/** @file The architecture of an encoder from the shapes of its tensors, and from a configuration for what they do not show. */

import { type VisionTransformerConfig, visionTransformerConfig } from "../models/index.js";
import { type PositionInterpolation, swigluHidden } from "../nn/index.js";
import { EncoderError } from "./encoder.js";
import type { Family, SourceConfig } from "./families/index.js";

/** What a user knows better. */
export interface ArchitectureOverrides {
  readonly numHeads?: number | undefined;
  readonly epsilon?: number | undefined;
  readonly interpolation?: PositionInterpolation | undefined;
}

export interface InferredArchitecture {
  readonly config: VisionTransformerConfig;
  /** What tensors do not show, and where it was taken from. */
  readonly assumed: readonly string[];
  /** Rows of the position table that belong to registers (timm): they are added to the registers. */
  readonly registerRows: number;
}

/** LayerScale's start in DINOv2's training; loaded weights replace it. */
const LAYER_SCALE = 1e-5;

export interface InferenceInput {
  /** For messages. */
  readonly path: string;
  readonly family: Family;
  /** By our names, of tensors as they are in the file. */
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  readonly source: SourceConfig | undefined;
  readonly overrides: ArchitectureOverrides;
}

/** @throws EncoderError when tensors are missing or contradict each other or the configuration. */
export function inferArchitecture(input: InferenceInput): InferredArchitecture {
  const { path, family, shapes } = input;
  const [embedDim = 0, channels = 0, patchSize = 0] = sized(input, "patch_embed.proj.weight", 4);
  const depth = blockCount(input);
  const [hidden = 0] = sized(input, "blocks.0.mlp.fc1.weight", 2);
  const [, inner = 0] = sized(input, "blocks.0.mlp.fc2.weight", 2);
  const swiglu = hidden === 2 * inner;
  const classToken = shapes.has("cls_token");
  const registers = shapes.get("reg_token")?.[1] ?? 0;
  const positions = positionRows(input, classToken, registers);
  const heads = headCount(input, embedDim);
  const epsilon = layerNormEpsilon(input);
  const options = {
    imageSize: positions.side * patchSize,
    patchSize,
    channels,
    embedDim,
    depth,
    numHeads: heads.value,
    mlpRatio: swiglu ? swigluRatio(input, embedDim, inner) : ratio(embedDim, hidden),
    swiglu,
    classToken,
    classPosition: positions.classRow,
    registers,
    maskToken: shapes.has("mask_token"),
    layerScale: shapes.has("blocks.0.ls1.gamma") ? LAYER_SCALE : undefined,
    qkvBias: shapes.has("blocks.0.attn.qkv.bias"),
    epsilon: epsilon.value,
    interpolation: input.overrides.interpolation ?? family.interpolation(registers),
    initialization: family.initialization,
  };
  let config: VisionTransformerConfig;
  try {
    config = visionTransformerConfig(options);
  } catch (error) {
    throw new EncoderError(`${path}: ${(error as Error).message}`, { cause: error });
  }
  checkSource(input, config, inner);
  return { config, assumed: [heads.from, epsilon.from], registerRows: positions.registerRows };
}

function sized({ path, shapes }: InferenceInput, name: string, rank: number): readonly number[] {
  const shape = shapes.get(name);
  if (shape?.length === rank) return shape;
  throw new EncoderError(
    `${path}: ${name} is ${shape ? `[${shape.join(", ")}], expected ${rank} dimensions` : "missing"}; ` +
      "the encoder is incomplete, or of another kind",
  );
}

function blockCount({ path, shapes }: InferenceInput): number {
  const indices = new Set<number>();
  for (const name of shapes.keys()) {
    const index = /^blocks\.(\d+)\./.exec(name)?.[1];
    if (index !== undefined) indices.add(Number(index));
  }
  const depth = indices.size;
  const gap = Array.from({ length: depth }, (_, i) => i).find((i) => !indices.has(i));
  if (depth === 0 || gap !== undefined) {
    throw new EncoderError(
      `${path}: block ${gap ?? 0} is missing among ${depth} blocks, expected blocks 0 to ${Math.max(depth - 1, 0)}`,
    );
  }
  return depth;
}

/** The grid of the position table: a square, with or without rows for the tokens before the patches. */
function positionRows(input: InferenceInput, classToken: boolean, registers: number) {
  const [, rows = 0] = sized(input, "pos_embed", 3);
  const before = classToken ? [1, 0, 1 + registers] : [0, registers];
  for (const count of before) {
    const side = Math.sqrt(rows - count);
    if (Number.isInteger(side) && side > 0) {
      const classRow = classToken && count > 0;
      return { side, classRow, registerRows: count - (classRow ? 1 : 0) };
    }
  }
  throw new EncoderError(
    `${input.path}: pos_embed has ${rows} rows, expected a square number of patches` +
      `${classToken ? " and one for the class token" : ""}: only square images are supported`,
  );
}

interface Known<T> {
  readonly value: T;
  readonly from: string;
}

function headCount({ path, family, source, overrides }: InferenceInput, embedDim: number): Known<number> {
  if (overrides.numHeads !== undefined) {
    return { value: overrides.numHeads, from: `${overrides.numHeads} heads, as asked for` };
  }
  const configured =
    family.modelType === undefined ? timmArgument(source, "num_heads") : source?.num_attention_heads;
  if (typeof configured === "number")
    return { value: configured, from: `${configured} heads, by config.json` };
  // transformers writes all values; a configuration without this one means its default.
  if (family.modelType !== undefined && source) return { value: 12, from: "12 heads, transformers' default" };
  const usual = family.heads?.[embedDim];
  if (usual !== undefined) {
    return { value: usual, from: `${usual} heads, as ${family.title}'s models of width ${embedDim} have` };
  }
  throw new EncoderError(
    `${path}: the number of heads cannot be read from tensors, and ` +
      `${family.modelType === undefined ? `${family.title} has no published model of width ${embedDim}` : "there is no config.json"}; ` +
      "give it with --heads",
  );
}

function layerNormEpsilon({ path, family, source, overrides }: InferenceInput): Known<number> {
  const { epsilon } = overrides;
  if (epsilon !== undefined) return { value: epsilon, from: `epsilon ${short(epsilon)}, as asked for` };
  if (family.epsilon !== undefined) {
    return { value: family.epsilon, from: `epsilon ${short(family.epsilon)}, as in ${family.title}'s code` };
  }
  const configured = source?.layer_norm_eps;
  if (typeof configured === "number")
    return { value: configured, from: `epsilon ${short(configured)}, by config.json` };
  if (source) {
    const value = /^dinov2/.test(family.modelType ?? "") ? 1e-6 : 1e-12;
    return { value, from: `epsilon ${short(value)}, transformers' default` };
  }
  throw new EncoderError(
    `${path}: the epsilon of the layer norms cannot be read from tensors, and there is no config.json; give it with ` +
      "--epsilon",
  );
}

function short(value: number): string {
  return value < 1e-3 ? value.toExponential() : String(value);
}

/** timm's config.json may hold arguments of the model. */
function timmArgument(source: SourceConfig | undefined, key: string): unknown {
  const args = source?.model_args;
  return typeof args === "object" && args !== null ? (args as Record<string, unknown>)[key] : undefined;
}

/** Hidden units per feature, so that their product is the hidden width again. */
function ratio(embedDim: number, hidden: number): number {
  const exact = hidden / embedDim;
  return Math.floor(embedDim * exact) === hidden ? exact : (hidden + 0.5) / embedDim;
}

/** The ratio of the MLP that a SwiGLU of `hidden` units stands for, a whole number where one fits. */
function swigluRatio({ path }: InferenceInput, embedDim: number, hidden: number): number {
  for (let whole = 1; whole <= 16; whole++) if (swigluHidden(embedDim * whole) === hidden) return whole;
  const exact = ratio(embedDim, Math.ceil(hidden * 1.5));
  if (swigluHidden(Math.floor(embedDim * exact)) === hidden) return exact;
  throw new EncoderError(`${path}: SwiGLU has ${hidden} hidden units, expected a multiple of 8`);
}

/** Compares what tensors show with what config.json says. */
function checkSource(
  { path, family, source }: InferenceInput,
  config: VisionTransformerConfig,
  inner: number,
): void {
  if (!source || family.modelType === undefined) return;
  const shown: Readonly<Record<string, unknown>> = {
    hidden_size: config.embedDim,
    num_hidden_layers: config.depth,
    patch_size: config.patchSize,
    image_size: config.imageSize,
    num_channels: config.channels,
    qkv_bias: config.qkvBias,
    ...(config.registers > 0 ? { num_register_tokens: config.registers } : {}),
    ...(/^dinov2/.test(family.modelType) ? { use_swiglu_ffn: config.swiglu } : { intermediate_size: inner }),
  };
  for (const [key, value] of Object.entries(shown)) {
    const said =
      Array.isArray(source[key]) && source[key].every((each) => each === value) ? value : source[key];
    if (said === undefined || said === value) continue;
    throw new EncoderError(
      `${path}: its config.json says "${key}": ${JSON.stringify(source[key])}, and its tensors ${JSON.stringify(value)}; ` +
        "use the config.json that was written with these weights",
    );
  }
  if (source.hidden_act !== undefined && source.hidden_act !== "gelu") {
    throw new EncoderError(
      `${path}: its activation is ${JSON.stringify(source.hidden_act)}, expected "gelu": another would give other features`,
    );
  }
}
