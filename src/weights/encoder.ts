/** @file An encoder apart from how it was trained: its architecture, its weights, how its images are prepared. */

import { type VisionTransformerConfig, visionTransformerParameters } from "../models/index.js";
import { flattenTree } from "../nn/index.js";
import type { HostTensor } from "./host-tensor.js";

/** One vector per image: the class token, or the mean of the patch tokens; both after the final norm. */
export type FeatureKind = "cls" | "mean";

/** Where an encoder comes from, as far as it is known. */
export interface EncoderOrigin {
  /** The pretraining method as the tables name it, e.g. `Ours(VICReg, all, se2)`. */
  readonly method?: string;
  readonly recipe?: string;
  /** Training steps that were taken. */
  readonly steps?: number;
  readonly seed?: number;
}

export interface Encoder {
  readonly config: VisionTransformerConfig;
  /** By timm's names, without a prefix: `blocks.0.attn.qkv.weight`. */
  readonly weights: Readonly<Record<string, HostTensor<"float32">>>;
  /** Label in tables. */
  readonly label: string;
  /** The feature that the pretraining loss saw, which is the one to use when none is asked for. */
  readonly trained: FeatureKind;
  readonly origin?: EncoderOrigin;
}

/** An encoder that cannot be written, or a folder that holds none: the message says what, why, and what to do. */
export class EncoderError extends Error {
  override readonly name = "EncoderError";
}

/** The shapes of an architecture's weights by timm's names. */
export function expectedShapes(config: VisionTransformerConfig): Record<string, readonly number[]> {
  const specs = flattenTree(visionTransformerParameters(config));
  return Object.fromEntries(Object.entries(specs).map(([name, { shape }]) => [name, shape]));
}

/** @throws EncoderError when there is no weight of this name. */
export function weightOf(weights: Encoder["weights"], name: string): HostTensor<"float32"> {
  const weight = weights[name];
  if (!weight)
    throw new EncoderError(`the weight "${name}" is missing; give all weights of the architecture`);
  return weight;
}

/**
 * @throws EncoderError when weights are missing, unknown, or of another shape than the architecture's, or when the
 * trained feature is a class token that it does not have.
 */
export function checkEncoder({ config, weights, label, trained }: Encoder): void {
  if (trained === "cls" && !config.classToken) {
    throw new EncoderError(
      `encoder "${label}" is said to be trained by its class token, and has none; use "mean"`,
    );
  }
  const shapes = expectedShapes(config);
  for (const [name, shape] of Object.entries(shapes)) {
    const weight = weightOf(weights, name);
    if (weight.shape.join() !== shape.join()) {
      throw new EncoderError(
        `encoder "${label}": "${name}" is [${weight.shape.join(", ")}], and [${shape.join(", ")}] in its ` +
          "architecture; give the configuration that the weights were made with",
      );
    }
  }
  const unknown = Object.keys(weights).find((name) => !Object.hasOwn(shapes, name));
  if (unknown !== undefined) {
    throw new EncoderError(
      `encoder "${label}": "${unknown}" is no weight of its architecture; give the encoder's weights alone`,
    );
  }
}
