/** @file The mean and deviation that a source's images are normalised by, and weights that take ImageNet's instead. */

import { type Encoder, weightOf } from "./encoder.js";
import type { HostTensor } from "./host-tensor.js";
import { encoderPreprocessing } from "./preprocessing.js";

/** Per channel, on [0, 1]. */
export interface Normalization {
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** Closer than any 8-bit picture can tell. */
const NEGLIGIBLE = 5e-4;

/** Whether images so normalised are what every encoder here takes. */
export function isImagenet({ mean, std }: Normalization): boolean {
  const usual = encoderPreprocessing({ imageSize: 1 });
  const agrees = (a: readonly number[], b: readonly number[]) =>
    a.every((value, i) => Math.abs(value - (b[i] as number)) < NEGLIGIBLE);
  return agrees(mean, usual.mean) && agrees(std, usual.std);
}

/**
 * The encoder that computes from images normalised as ImageNet's what the given one computes from images normalised by
 * `normalization`. Both are affine maps of the pixels, and the patch projection is linear and has no border, so its
 * weights and bias take up the difference exactly.
 */
export function withImagenetNormalization(encoder: Encoder, { mean, std }: Normalization): Encoder {
  const usual = encoderPreprocessing(encoder.config);
  const weight = weightOf(encoder.weights, "patch_embed.proj.weight");
  const bias = weightOf(encoder.weights, "patch_embed.proj.bias");
  const [features, channels = 1] = weight.shape as [number, number];
  const area = weight.data.length / features / channels;
  const newWeight = new Float32Array(weight.data.length);
  const newBias = Float32Array.from(bias.data);
  for (let feature = 0; feature < features; feature++) {
    let shift = bias.data[feature] as number;
    for (let channel = 0; channel < channels; channel++) {
      // (u - m) / s by the source = x * scale + offset of x, the same pixels normalised as ImageNet's.
      const scale = (usual.std[channel] as number) / (std[channel] as number);
      const offset = ((usual.mean[channel] as number) - (mean[channel] as number)) / (std[channel] as number);
      const start = (feature * channels + channel) * area;
      for (let i = start; i < start + area; i++) {
        const value = weight.data[i] as number;
        newWeight[i] = value * scale;
        shift += value * offset;
      }
    }
    newBias[feature] = shift;
  }
  const replaced: Record<string, HostTensor<"float32">> = {
    "patch_embed.proj.weight": { ...weight, data: newWeight },
    "patch_embed.proj.bias": { ...bias, data: newBias },
  };
  return { ...encoder, weights: { ...encoder.weights, ...replaced } };
}

/** Reads three numbers of a configuration. */
function triple(value: unknown): readonly number[] | undefined {
  const isTriple =
    Array.isArray(value) && value.length === 3 && value.every((each) => typeof each === "number");
  return isTriple ? (value as number[]) : undefined;
}

/** What `preprocessor_config.json` (transformers) or `config.json` (timm) says; undefined when neither does. */
export function statedNormalization(
  preprocessor: Readonly<Record<string, unknown>> | undefined,
  config: Readonly<Record<string, unknown>> | undefined,
): Normalization | undefined {
  const pretrained = config?.pretrained_cfg as Readonly<Record<string, unknown>> | undefined;
  const mean = triple(preprocessor?.image_mean) ?? triple(pretrained?.mean);
  const std = triple(preprocessor?.image_std) ?? triple(pretrained?.std);
  return mean && std?.every((each) => each > 0) ? { mean, std } : undefined;
}
