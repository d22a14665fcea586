/** @file Encoders to be evaluated: frozen weights with their architecture. */

import { constant, type Tensor, type TensorType } from "../graph/index.js";
import {
  type VisionTransformer,
  type VisionTransformerConfig,
  visionTransformerParameters,
} from "../models/index.js";
import { flattenTree, initialize, type ParameterValue, treeLike } from "../nn/index.js";
import { mapValues, prefixed, unprefixed } from "../records.js";
import type { Device } from "../runtime/index.js";
import type { Encoder, FeatureKind } from "../weights/index.js";
import { EvaluationError } from "./evaluation-error.js";

export type { Encoder, FeatureKind };

/** Weights that are on a device already, such as those in training: state `statePrefix` + timm's name. */
export interface ResidentEncoder {
  readonly config: VisionTransformerConfig;
  readonly statePrefix: string;
}

/** The baseline of every table: an encoder as it starts. */
export function randomEncoder(
  config: VisionTransformerConfig,
  seed: number,
  trained: FeatureKind = "mean",
): Encoder {
  const weights = initialize(visionTransformerParameters(config), seed);
  return { config, weights, label: "random", trained };
}

/** An encoder's weights as the state of programs. */
export interface EncoderState {
  readonly config: VisionTransformerConfig;
  /** Types by state name. */
  readonly types: Readonly<Record<string, TensorType>>;
  /** The weights among a program's state. */
  parameters(state: Readonly<Record<string, Tensor>>): VisionTransformer<Tensor>;
}

/**
 * Frozen weights of up to this many bytes are part of the program: the runtime packs constant matrices for its products
 * when it loads them, which takes 15 % off a ViT-S. Larger ones are state, which is held once and not twice.
 */
const LARGEST_CONSTANT_BYTES = 2 ** 29;

/**
 * An encoder's weights as constants of the programs that are traced with them, where they are not on the device already
 * and not too large.
 * @throws EvaluationError when weights are missing or of another shape than the architecture's.
 */
export function constantWeights(encoder: Encoder | ResidentEncoder): EncoderState | undefined {
  if (!("weights" in encoder)) return undefined;
  const { config } = encoder;
  const specs = visionTransformerParameters(config);
  const values = mapValues(flattenTree(specs), ({ dtype, shape }, name) =>
    checkedWeight(encoder, name, { dtype, shape }),
  );
  const bytes = Object.values(values).reduce((total, { data }) => total + data.byteLength, 0);
  if (bytes > LARGEST_CONSTANT_BYTES) return undefined;
  const constants = mapValues(values, ({ data, shape }): Tensor => constant(data, shape));
  return { config, types: {}, parameters: () => treeLike(specs, constants) };
}

let uploads = 0;

/**
 * Puts an encoder's weights on a device under names of their own, where they stay until the device is closed, or takes
 * those that are there.
 * @throws EvaluationError when weights are missing or of another shape than the architecture's.
 */
export async function encoderState(
  device: Device,
  encoder: Encoder | ResidentEncoder,
): Promise<EncoderState> {
  const { config } = encoder;
  const specs = visionTransformerParameters(config);
  const types = mapValues(flattenTree(specs), ({ dtype, shape }): TensorType => ({ dtype, shape }));
  let prefix: string;
  if ("weights" in encoder) {
    const weights = mapValues(types, (type, name) => checkedWeight(encoder, name, type));
    prefix = `evaluation/encoder-${uploads++}.`;
    await device.setState(prefixed(weights, prefix));
  } else {
    prefix = encoder.statePrefix;
  }
  return {
    config,
    types: prefixed(types, prefix),
    parameters: (state) => treeLike(specs, unprefixed(state, prefix)),
  };
}

function checkedWeight({ weights, label }: Encoder, name: string, { shape }: TensorType): ParameterValue {
  const value = weights[name];
  const wanted = `encoder "${label}": "${name}" is float32[${shape.join(", ")}] in its architecture`;
  if (!value)
    throw new EvaluationError(
      `${wanted}, and is not among its weights; load the weights of this architecture`,
    );
  if (value.dtype !== "float32" || value.shape.join() !== shape.join()) {
    throw new EvaluationError(
      `${wanted}, and ${value.dtype}[${value.shape.join(", ")}] in its weights; give the configuration they were made with`,
    );
  }
  return value;
}
