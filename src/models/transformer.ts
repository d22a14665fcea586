/** @file A plain transformer over tokens that are already embedded: what decoders and predictors are made of. */

import { GraphError, reshape, type Tensor } from "../graph/index.js";
import { type Affine, affineParameters, layerNorm, type ParameterSpec } from "../nn/index.js";
import { block } from "./vision-transformer.js";
import type { Initialization } from "./vision-transformer-config.js";
import { type Block, blockParameters } from "./vision-transformer-parameters.js";

export interface Transformer<Leaf> {
  readonly blocks: readonly Block<Leaf>[];
  readonly norm: Affine<Leaf>;
}

export interface TransformerConfig {
  readonly embedDim: number;
  readonly depth: number;
  readonly numHeads: number;
  /** Of every layer normalisation. */
  readonly epsilon: number;
  readonly initialization: Initialization;
}

/** MLPs are four times as wide as the embedding. @throws RangeError when heads do not divide the width. */
export function transformerParameters(
  name: string,
  { embedDim, depth, numHeads, initialization }: TransformerConfig,
): Transformer<ParameterSpec> {
  if (embedDim % numHeads !== 0) {
    throw new RangeError(
      `${name}: ${numHeads} heads do not divide its width ${embedDim}; use a width that is a multiple of ${numHeads}`,
    );
  }
  if (embedDim % 4 !== 0) {
    throw new RangeError(
      `${name}: its sine-cosine positions need a width that is a multiple of 4, got ${embedDim}`,
    );
  }
  return {
    blocks: Array.from({ length: depth }, () =>
      blockParameters({
        embedDim,
        mlpRatio: 4,
        swiglu: false,
        qkvBias: true,
        layerScale: undefined,
        initialization,
      }),
    ),
    norm: affineParameters(embedDim),
  };
}

/**
 * Blocks, then the norm.
 * @param tokens `[B, T, D]` @param bias Of the attention's logits (`paddingBias`). @returns `[B, T, D]`
 */
export function transformer(
  p: Transformer<Tensor>,
  { numHeads, epsilon }: TransformerConfig,
  tokens: Tensor,
  bias?: Tensor,
): Tensor {
  const [batch, count, features] = tokens.shape;
  if (tokens.rank !== 3 || batch === undefined || count === undefined || features === undefined)
    throw new GraphError(`transformer: expected tokens [B, T, D], got ${tokens}`);
  const rows = p.blocks.reduce(
    (x, weights) => block(weights, { numHeads, epsilon, swiglu: false }, x, count, undefined, bias),
    reshape(tokens, [batch * count, features]),
  );
  return reshape(layerNorm(p.norm, rows, epsilon), tokens.shape);
}
