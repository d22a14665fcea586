/**
 * @file Encoders as models of Hugging Face's transformers: which of its architectures computes the same function,
 * its configuration, and the tensors under its names.
 */

import type { VisionTransformerConfig } from "../models/index.js";
import { sinCosPositions } from "../nn/index.js";
import { checkEncoder, type Encoder, EncoderError, expectedShapes, weightOf } from "./encoder.js";
import { elementCount, type HostTensor, toFloat32 } from "./host-tensor.js";
import {
  huggingFaceDinov2Names,
  huggingFaceDinov2SwigluNames,
  huggingFaceVitNames,
  mappedNames,
  type NameMap,
} from "./name-maps.js";
import type { Preprocessing } from "./preprocessing.js";
import type { SafetensorsFile } from "./safetensors.js";

/** `model_type` in a configuration. */
export type HuggingFaceModelType = "vit" | "ijepa" | "dinov2" | "dinov2_with_registers";

const classNames: Readonly<Record<HuggingFaceModelType, string>> = {
  vit: "ViTModel",
  ijepa: "IJepaModel",
  dinov2: "Dinov2Model",
  dinov2_with_registers: "Dinov2WithRegistersModel",
};

/**
 * The simplest architecture of transformers that computes what ours does.
 * @throws EncoderError when there is none, naming what it lacks.
 */
export function huggingFaceModelType(config: VisionTransformerConfig): HuggingFaceModelType {
  const { classToken, registers, layerScale, swiglu, maskToken, mlpRatio } = config;
  const special = [
    ...(registers > 0 ? [`registers ${registers}`] : []),
    ...(layerScale === undefined ? [] : ["layerScale"]),
    ...(swiglu ? ["swiglu"] : []),
    ...(maskToken ? ["maskToken"] : []),
  ];
  if (special.length === 0) return classToken ? "vit" : "ijepa";
  const unfit = classToken
    ? Number.isInteger(mlpRatio)
      ? undefined
      : `mlpRatio ${mlpRatio}, which DINOv2 takes as a whole number`
    : "no class token";
  if (unfit !== undefined) {
    throw new EncoderError(
      `transformers has no architecture with ${special.join(", ")} and ${unfit}; ` +
        "the encoder can be written as an ONNX model alone",
    );
  }
  return registers > 0 ? "dinov2_with_registers" : "dinov2";
}

const POSITIONS = "pos_embed";

function theirNames(map: NameMap, name: string): readonly string[] {
  const names = mappedNames(map, name);
  if (!names) throw new EncoderError(`internal: "${name}" has no name in transformers`);
  return names;
}

function nameMap(config: VisionTransformerConfig): NameMap {
  const type = huggingFaceModelType(config);
  if (type === "vit" || type === "ijepa") return huggingFaceVitNames;
  return config.swiglu ? huggingFaceDinov2SwigluNames : huggingFaceDinov2Names;
}

/** The fields of `config.json` that transformers and transformers.js read. @throws EncoderError as `huggingFaceModelType`. */
export function huggingFaceConfig(config: VisionTransformerConfig): Record<string, unknown> {
  const type = huggingFaceModelType(config);
  const common = {
    model_type: type,
    architectures: [classNames[type]],
    dtype: "float32",
    image_size: config.imageSize,
    patch_size: config.patchSize,
    num_channels: config.channels,
    hidden_size: config.embedDim,
    num_hidden_layers: config.depth,
    num_attention_heads: config.numHeads,
    hidden_act: "gelu",
    hidden_dropout_prob: 0,
    attention_probs_dropout_prob: 0,
    layer_norm_eps: config.epsilon,
    qkv_bias: config.qkvBias,
  };
  const intermediate = { intermediate_size: Math.floor(config.embedDim * config.mlpRatio) };
  // No layerscale_value: it is an initial value, and transformers refuses a whole number there.
  const dinov2 = {
    mlp_ratio: config.mlpRatio,
    use_swiglu_ffn: config.swiglu,
    drop_path_rate: config.dropPath,
  };
  switch (type) {
    case "vit":
      // With the identity as its pooler, the pooled output is the class token.
      return { ...common, ...intermediate, pooler_output_size: config.embedDim, pooler_act: "linear" };
    case "ijepa":
      return { ...common, ...intermediate };
    case "dinov2":
      return { ...common, ...dinov2, use_mask_token: config.maskToken };
    case "dinov2_with_registers":
      return { ...common, ...dinov2, num_register_tokens: config.registers };
  }
}

/** `preprocessor_config.json`: resize by the shorter side, cut out the middle. */
export function huggingFacePreprocessor(preprocessing: Preprocessing): Record<string, unknown> {
  const { resize, size, mean, std } = preprocessing;
  return {
    image_processor_type: "BitImageProcessor",
    do_convert_rgb: true,
    do_resize: true,
    size: { shortest_edge: resize },
    // Pillow's number of bicubic interpolation.
    resample: 3,
    do_center_crop: true,
    crop_size: { height: size, width: size },
    do_rescale: true,
    rescale_factor: 1 / 255,
    do_normalize: true,
    image_mean: mean,
    image_std: std,
  };
}

/** Rows `[start, end)` along the first dimension, without a copy. */
function rows({ shape, data }: HostTensor<"float32">, start: number, end: number): HostTensor<"float32"> {
  const [count = 1, ...rest] = shape;
  const size = data.length / count;
  return { dtype: "float32", shape: [end - start, ...rest], data: data.subarray(start * size, end * size) };
}

function filled(shape: readonly number[], value: number): HostTensor<"float32"> {
  return { dtype: "float32", shape, data: new Float32Array(elementCount(shape)).fill(value) };
}

/** Whether transformers' table of positions starts with a row for the class token that ours does not have. */
function lacksClassRow({ classToken, classPosition, positions }: VisionTransformerConfig): boolean {
  return classToken && (!classPosition || positions !== "learned");
}

/** Positions as transformers holds them: fixed ones as numbers, a row of zeros where the class token has none. */
function theirPositions({ config, weights }: Encoder): HostTensor<"float32"> {
  const { embedDim, imageSize, patchSize, positions } = config;
  const side = imageSize / patchSize;
  const table =
    positions === "learned"
      ? weightOf(weights, POSITIONS).data
      : sinCosPositions({ rows: side, columns: side }, embedDim, positions);
  const start = lacksClassRow(config) ? embedDim : 0;
  const data = new Float32Array(start + table.length);
  data.set(table, start);
  return { dtype: "float32", shape: [1, data.length / embedDim, embedDim], data };
}

/** What transformers' architecture has and ours does not, with the values that make it do nothing. */
function fillers(config: VisionTransformerConfig): Map<string, HostTensor<"float32">> {
  const { embedDim, depth, layerScale, maskToken } = config;
  const type = huggingFaceModelType(config);
  const tensors = new Map<string, HostTensor<"float32">>();
  if (type === "vit") {
    const identity = filled([embedDim, embedDim], 0);
    for (let i = 0; i < embedDim; i++) identity.data[i * embedDim + i] = 1;
    tensors.set("pooler.dense.weight", identity);
    tensors.set("pooler.dense.bias", filled([embedDim], 0));
  }
  if (type === "dinov2" || type === "dinov2_with_registers") {
    for (let i = 0; layerScale === undefined && i < depth; i++) {
      tensors.set(`encoder.layer.${i}.layer_scale1.lambda1`, filled([embedDim], 1));
      tensors.set(`encoder.layer.${i}.layer_scale2.lambda1`, filled([embedDim], 1));
    }
  }
  if (type === "dinov2_with_registers" && !maskToken) {
    tensors.set("embeddings.mask_token", filled([1, embedDim], 0));
  }
  return tensors;
}

/** An encoder's tensors under the names of transformers, its arrays where they can be used without a copy. */
export function toHuggingFace(encoder: Encoder): Map<string, HostTensor<"float32">> {
  checkEncoder(encoder);
  const { config, weights } = encoder;
  const map = nameMap(config);
  const tensors = fillers(config);
  for (const name of Object.keys(expectedShapes(config))) {
    if (name === POSITIONS) continue;
    const weight = weightOf(weights, name);
    const theirs = theirNames(map, name);
    const size = (weight.shape[0] ?? 1) / theirs.length;
    theirs.forEach((each, i) => {
      tensors.set(each, theirs.length === 1 ? weight : rows(weight, i * size, (i + 1) * size));
    });
  }
  tensors.set("embeddings.position_embeddings", theirPositions(encoder));
  return tensors;
}

/**
 * The weights of an architecture from a file with the names of transformers; other tensors are left where they are.
 * @throws EncoderError naming the tensors that are missing, or one whose shape is not the architecture's.
 */
export async function fromHuggingFace(
  config: VisionTransformerConfig,
  file: SafetensorsFile,
): Promise<Record<string, HostTensor<"float32">>> {
  const map = nameMap(config);
  const shapes = expectedShapes(config);
  const missing = Object.keys(shapes)
    .flatMap((name) => theirNames(map, name))
    .filter((name) => !file.has(name));
  if (missing.length > 0) {
    const more = missing.length > 3 ? `, … (${missing.length} in all)` : "";
    throw new EncoderError(
      `${file.path}: the tensors ${missing.slice(0, 3).join(", ")}${more} are missing; the configuration beside it ` +
        `describes ${config.depth} blocks of ${config.embedDim} features`,
    );
  }
  const weights: Record<string, HostTensor<"float32">> = {};
  for (const [name, shape] of Object.entries(shapes)) {
    const theirs = theirNames(map, name);
    const [first = 1, second = 1, ...rest] = shape;
    if (name === POSITIONS && lacksClassRow(config)) {
      const table = await readAs(file, theirs, [first, second + 1, ...rest]);
      weights[name] = { dtype: "float32", shape, data: table.subarray(config.embedDim) };
    } else {
      const part = theirs.length === 1 ? shape : [first / theirs.length, ...shape.slice(1)];
      weights[name] = { dtype: "float32", shape, data: await readAs(file, theirs, part) };
    }
  }
  return weights;
}

/** Tensors of one shape, one after the other. */
async function readAs(
  file: SafetensorsFile,
  names: readonly string[],
  shape: readonly number[],
): Promise<Float32Array> {
  const parts: Float32Array[] = [];
  for (const name of names) {
    const found = file.info(name).shape;
    if (found.join() !== shape.join()) {
      throw new EncoderError(
        `${file.path}: the tensor ${name} is [${found.join(", ")}], and the configuration beside it makes it ` +
          `[${shape.join(", ")}]; use the config.json that was written with these weights`,
      );
    }
    parts.push(toFloat32(await file.read(name)));
  }
  const [only] = parts;
  if (only && parts.length === 1) return only;
  const size = elementCount(shape);
  const joined = new Float32Array(parts.length * size);
  parts.forEach((values, i) => {
    joined.set(values, i * size);
  });
  return joined;
}
