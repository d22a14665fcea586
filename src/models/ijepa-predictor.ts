/**
 * @file The predictor of I-JEPA (Assran et al. 2023, section 3; facebookresearch/ijepa, src/models/
 * vision_transformer.py): from the context's tokens and the places of a target block to the block's features.
 */

import {
  add,
  at,
  broadcastTo,
  concat,
  constant,
  expandDims,
  GraphError,
  gather,
  reshape,
  slice,
  type Tensor,
} from "../graph/index.js";
import {
  constantInitializer,
  type Linear,
  linear,
  linearParameters,
  type ParameterSpec,
  paddingBias,
  parameter,
  sinCosPositions,
} from "../nn/index.js";
import {
  type Transformer,
  type TransformerConfig,
  transformer,
  transformerParameters,
} from "./transformer.js";
import type { KeptPatches } from "./vision-transformer.js";
import type { VisionTransformerConfig } from "./vision-transformer-config.js";
import { initializersOf } from "./vision-transformer-parameters.js";

export interface IjepaPredictor<Leaf> extends Transformer<Leaf> {
  /** `[predictor width, D]` */
  readonly embed: Linear<Leaf>;
  /** `[1, 1, predictor width]`: what stands for every patch of a target block. */
  readonly mask_token: Leaf;
  /** `[D, predictor width]` */
  readonly proj: Linear<Leaf>;
}

type Encoder = Pick<VisionTransformerConfig, "embedDim" | "patchSize" | "imageSize">;

/** @throws RangeError when heads do not divide the width. */
export function ijepaPredictorParameters(
  { embedDim }: Encoder,
  config: TransformerConfig,
): IjepaPredictor<ParameterSpec> {
  const start = initializersOf(config.initialization);
  const options = { initializer: start.linear, biasInitializer: constantInitializer(0) };
  return {
    embed: linearParameters(embedDim, config.embedDim, options),
    mask_token: parameter([1, 1, config.embedDim], start.mask),
    ...transformerParameters("the predictor", config),
    proj: linearParameters(config.embedDim, embedDim, options),
  };
}

export interface IjepaPredictorInput {
  /** The context's tokens, `[B, K, D]`. */
  readonly encoded: Tensor;
  /** Which patches these are; indices `[B, K]`. */
  readonly context: KeptPatches;
  /** The patches of each target block; indices and padding `[B, M, T]` for M blocks. */
  readonly targets: KeptPatches;
}

/**
 * The features of each target block, predicted by itself: `[B, M, T, D]`.
 * @throws GraphError when tokens and places do not fit.
 */
export function ijepaPredictor(
  p: IjepaPredictor<Tensor>,
  encoder: Encoder,
  config: TransformerConfig,
  { encoded, context, targets }: IjepaPredictorInput,
): Tensor {
  const [batch, kept] = encoded.shape as [number, number];
  const [, blocks, size] = targets.indices.shape as [number, number, number];
  if (context.indices.shape.join() !== [batch, kept].join() || targets.indices.rank !== 3) {
    throw new GraphError(
      `ijepaPredictor: ${encoded} needs places [${batch}, ${kept}] of the context and [${batch}, M, T] of the ` +
        `targets, got ${context.indices} and ${targets.indices}`,
    );
  }
  const width = config.embedDim;
  const side = encoder.imageSize / encoder.patchSize;
  const table = constant(
    sinCosPositions({ rows: side, columns: side }, width, "columnFirst"),
    [side * side, width],
    encoded.dtype,
  );
  const seen = add(linear(p.embed, encoded), gather(table, 0, context.indices));
  const asked = add(gather(table, 0, targets.indices), p.mask_token);
  // Every block is a sequence of its own: the context before it, repeated.
  const perBlock = (x: Tensor): Tensor => broadcastTo(expandDims(x, 1), [batch, blocks, ...x.shape.slice(1)]);
  const sequences = reshape(concat([perBlock(seen), asked], 2), [batch * blocks, kept + size, width]);
  const padding =
    context.padding && targets.padding
      ? reshape(concat([perBlock(context.padding), targets.padding], 2), [batch * blocks, kept + size])
      : undefined;
  const predicted = transformer(p, config, sequences, padding && paddingBias(padding));
  return reshape(linear(p.proj, slice(predicted, 1, kept)), [batch, blocks, size, at(encoded.shape, 2)]);
}
