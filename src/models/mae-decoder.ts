/**
 * @file The decoder of masked autoencoders (He et al. 2022, section 3; facebookresearch/mae, models_mae.py): the
 * encoder's tokens at their places, a learned token at all others, fixed positions, a narrow transformer, pixels.
 */

import {
  add,
  concat,
  constant,
  GraphError,
  reshape,
  scatterRows,
  slice,
  type Tensor,
  where,
} from "../graph/index.js";
import {
  constantInitializer,
  type Linear,
  linear,
  linearParameters,
  type ParameterSpec,
  parameter,
  sinCosPositions,
} from "../nn/index.js";
import { batchRows, patchesNamed } from "./patches.js";
import {
  type Transformer,
  type TransformerConfig,
  transformer,
  transformerParameters,
} from "./transformer.js";
import type { VisionTransformerConfig } from "./vision-transformer-config.js";
import { initializersOf } from "./vision-transformer-parameters.js";

export interface MaeDecoder<Leaf> extends Transformer<Leaf> {
  /** `[decoder width, D]` */
  readonly embed: Linear<Leaf>;
  /** `[1, 1, decoder width]`: what stands for every patch that the encoder did not see. */
  readonly mask_token: Leaf;
  /** `[p * p * C, decoder width]` */
  readonly pred: Linear<Leaf>;
}

/** What the decoder depends on of the encoder. */
type Encoder = Pick<VisionTransformerConfig, "embedDim" | "patchSize" | "imageSize" | "channels">;

/** @throws RangeError when heads do not divide the width. */
export function maeDecoderParameters(encoder: Encoder, config: TransformerConfig): MaeDecoder<ParameterSpec> {
  const start = initializersOf(config.initialization);
  const options = { initializer: start.linear, biasInitializer: constantInitializer(0) };
  return {
    embed: linearParameters(encoder.embedDim, config.embedDim, options),
    mask_token: parameter([1, 1, config.embedDim], start.mask),
    ...transformerParameters("the decoder", config),
    pred: linearParameters(config.embedDim, encoder.patchSize ** 2 * encoder.channels, options),
  };
}

/** What the decoder is given of a batch. */
export interface MaeDecoderInput {
  /** The encoder's output: class token, then the kept patches, `[B, 1 + K, D]`. */
  readonly encoded: Tensor;
  /** Which patches these are, int64 or int32 `[B, K]` in raster order numbers; each at most once. */
  readonly kept: Tensor;
}

/** Predicted pixels of all patches, `[B, N, p * p * C]` in the order row, column, channel. */
export function maeDecoder(
  p: MaeDecoder<Tensor>,
  encoder: Encoder,
  config: TransformerConfig,
  { encoded, kept }: MaeDecoderInput,
): Tensor {
  const [batch, tokens] = encoded.shape as [number, number, number];
  const side = encoder.imageSize / encoder.patchSize;
  const count = side * side;
  if (kept.rank !== 2 || kept.shape[0] !== batch || kept.shape[1] !== tokens - 1) {
    throw new GraphError(
      `maeDecoder: ${encoded} holds a class token and ${tokens - 1} patches a sample, which ${kept} does not name`,
    );
  }
  const width = config.embedDim;
  const embedded = linear(p.embed, encoded);
  // The official code joins mask tokens and gathers; scattering the few seen rows makes no copies of the mask token,
  // and its gradient is a gather.
  const rows = batchRows(kept, count);
  const seen = reshape(slice(embedded, 1, 1), [rows.size, width]);
  const placed = where(
    reshape(patchesNamed(kept, count), [batch * count, 1]),
    scatterRows(rows, seen, batch * count),
    reshape(p.mask_token, [1, width]),
  );
  const grid = { rows: side, columns: side };
  const positions = constant(sinCosPositions(grid, width, "columnFirst"), [1, count, width], encoded.dtype);
  const patches = add(reshape(placed, [batch, count, width]), positions);
  // The class token's position is zero.
  const decoded = transformer(p, config, concat([slice(embedded, 1, 0, 1), patches], 1));
  return linear(p.pred, slice(decoded, 1, 1));
}
