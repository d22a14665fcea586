/** @file An encoder as an ONNX model that any runtime computes. */

import { constant, input, makeGraph, mean, runPasses, type Tensor, writeOnnx } from "../graph/index.js";
import { visionTransformer, visionTransformerParameters } from "../models/index.js";
import { treeLike } from "../nn/index.js";
import { mapValues } from "../records.js";
import { checkEncoder, type Encoder, EncoderError } from "./encoder.js";

/** Stands for the free batch size while tracing: a prime above every size that a model has. */
const BATCH = 1_000_003;

/** A protobuf message, and so an ONNX model in one file, ends below 2 GiB; a margin is left for the graph. */
const LARGEST_MODEL_BYTES = 2 ** 31 - 2 ** 24;

export interface EncoderOnnxOptions {
  /** Side in pixels of the images it takes (default: the encoder's own); positions are interpolated. */
  readonly imageSize?: number;
}

/**
 * Input `pixel_values` `[batch, C, H, W]`, normalised. Outputs as transformers names them: `last_hidden_state`
 * `[batch, T, D]` (class token, registers, patches) after the final norm, and `pooler_output` `[batch, D]`, the feature
 * that pretraining trained: the class token, or the mean of the patches. ONNX's own operators only.
 *
 * @throws EncoderError when weights do not fit the architecture or are too large for one file.
 */
export function encoderOnnx(encoder: Encoder, { imageSize }: EncoderOnnxOptions = {}): Uint8Array {
  checkEncoder(encoder);
  const { config, weights, trained, label } = encoder;
  const bytes = Object.values(weights).reduce((total, { data }) => total + data.byteLength, 0);
  if (bytes > LARGEST_MODEL_BYTES) {
    throw new EncoderError(
      `encoder "${label}" has ${(bytes / 2 ** 30).toFixed(1)} GiB of weights, and an ONNX model in one file at most ` +
        "2 GiB; export it without ONNX",
    );
  }
  const parameters = treeLike(
    visionTransformerParameters(config),
    mapValues(weights, ({ data, shape }): Tensor => constant(data, shape)),
  );
  const size = imageSize ?? config.imageSize;
  const images = input("pixel_values", [BATCH, config.channels, size, size]);
  const { all, cls, patches } = visionTransformer(parameters, config, images);
  const pooled = trained === "cls" && cls ? cls : mean(patches, [1]);
  const graph = runPasses(makeGraph({ last_hidden_state: all, pooler_output: pooled }));
  return writeOnnx(graph, {
    target: { provider: "portable", contrib: false },
    batchStandIn: BATCH,
    metadata: { encoder: label, feature: trained },
  });
}
