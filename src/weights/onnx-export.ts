/** @file An encoder as an ONNX model that any runtime computes, in float32 or with smaller numbers. */

import {
  constant,
  foldConstants,
  type Graph,
  GraphError,
  input,
  joinedFile,
  makeGraph,
  mean,
  type OnnxFile,
  runPasses,
  type Tensor,
  toHalfPrecision,
  writeOnnxFiles,
} from "../graph/index.js";
import { visionTransformer, visionTransformerParameters } from "../models/index.js";
import { treeLike } from "../nn/index.js";
import { mapValues } from "../records.js";
import { checkEncoder, type Encoder, EncoderError } from "./encoder.js";

/** Stands for the free batch size while tracing: a prime above every size that a model has. */
const BATCH = 1_000_003;

/**
 * What a model computes with; inputs and outputs are float32 in all of them.
 *
 * - `fp32`: the encoder itself.
 * - `fp16`: weights, sums and products in half precision; layer norms, softmax and means in float32.
 * - `int8`: linear layers in 8-bit integers: weights with one scale a row, what they act on with one scale and zero
 *   point for the tensor, found when it is computed (ONNX Runtime's dynamic quantisation); all else in float32.
 */
export type OnnxPrecision = "fp32" | "fp16" | "int8";

/** From exact to small. */
export const ONNX_PRECISIONS = ["fp32", "fp16", "int8"] as const satisfies readonly OnnxPrecision[];

export interface EncoderOnnxOptions {
  /** Side in pixels of the images it takes (default: the encoder's own); positions are interpolated. */
  readonly imageSize?: number;
  /** Default `fp32`. */
  readonly precision?: OnnxPrecision;
}

export interface EncoderOnnxFileOptions extends EncoderOnnxOptions {
  /** Of the model's file; `NAME_data`, `NAME_data_1`, … stand beside it where one file would be too large. */
  readonly name: string;
  /** What one file may hold (default: a little less than 2 GiB). */
  readonly maxFileBytes?: number;
}

/** `encoderOnnxFiles` as the bytes of one file. @throws EncoderError also when the model does not fit into one. */
export function encoderOnnx(encoder: Encoder, options: EncoderOnnxOptions = {}): Uint8Array {
  const [model, data] = encoderOnnxFiles(encoder, { ...options, name: "model.onnx" });
  if (!model || data) {
    throw new EncoderError(
      `encoder "${encoder.label}" does not fit into one ONNX file of at most 2 GiB; use \`encoderOnnxFiles\``,
    );
  }
  return joinedFile(model);
}

/**
 * Input `pixel_values` `[batch, C, H, W]`, normalised. Outputs as transformers names them: `last_hidden_state`
 * `[batch, T, D]` (class token, registers, patches) after the final norm, and `pooler_output` `[batch, D]`, the feature
 * that pretraining trained: the class token, or the mean of the patches. ONNX's own operators only.
 *
 * The files' pieces are the encoder's own arrays where they are stored as they are.
 *
 * @returns The model, and its data where they need files of their own.
 * @throws EncoderError when weights do not fit the architecture, or half precision cannot hold them.
 */
export function encoderOnnxFiles(encoder: Encoder, options: EncoderOnnxFileOptions): OnnxFile[] {
  const { imageSize, precision = "fp32", ...files } = options;
  checkEncoder(encoder);
  return writeOnnxFiles(inPrecision(encoderGraph(encoder, imageSize), encoder, precision), {
    target: { provider: "portable", contrib: false, quantized: precision === "int8" },
    batchStandIn: BATCH,
    metadata: { encoder: encoder.label, feature: encoder.trained },
    ...files,
  });
}

function encoderGraph({ config, weights, trained }: Encoder, imageSize = config.imageSize): Graph {
  const parameters = treeLike(
    visionTransformerParameters(config),
    mapValues(weights, ({ data, shape }): Tensor => constant(data, shape)),
  );
  const images = input("pixel_values", [BATCH, config.channels, imageSize, imageSize]);
  const { all, cls, patches } = visionTransformer(parameters, config, images);
  const pooled = trained === "cls" && cls ? cls : mean(patches, [1]);
  return runPasses(makeGraph({ last_hidden_state: all, pooler_output: pooled }));
}

/** Weights are combined before they are rounded. */
function inPrecision(graph: Graph, { label }: Encoder, precision: OnnxPrecision): Graph {
  if (precision === "fp32") return graph;
  const folded = foldConstants(graph);
  if (precision === "int8") return folded;
  try {
    return toHalfPrecision(folded);
  } catch (error) {
    if (!(error instanceof GraphError)) throw error;
    throw new EncoderError(`encoder "${label}" cannot be written in fp16: ${error.message}`, {
      cause: error,
    });
  }
}
