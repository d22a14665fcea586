/** @file Multi-head self-attention (Vaswani et al. 2017), in the layout of timm's ViT. */

import {
  add,
  GraphError,
  matmul,
  reshape,
  scalar,
  softmax,
  split,
  type Tensor,
  transpose,
  where,
} from "../graph/index.js";
import {
  type Linear,
  type LinearOptions,
  linear,
  linearParameters,
  normLinear,
  type PreNorm,
} from "./linear.js";
import type { ParameterSpec } from "./parameter.js";

export interface Attention<Leaf> {
  /** `[3D, D]`: rows are query, key, value, each head-major. */
  readonly qkv: Linear<Leaf>;
  readonly proj: Linear<Leaf>;
}

export interface AttentionOptions {
  /** Bias of query, key and value (default true). */
  readonly qkvBias?: boolean;
  readonly qkv?: LinearOptions;
  readonly proj?: LinearOptions;
}

export function attentionParameters(
  features: number,
  { qkvBias = true, qkv = {}, proj = {} }: AttentionOptions = {},
): Attention<ParameterSpec> {
  return {
    qkv: linearParameters(features, 3 * features, { ...qkv, bias: qkvBias }),
    proj: linearParameters(features, features, proj),
  };
}

/** So low that the softmax's weight of such a token is exactly 0, and finite, so that nothing becomes NaN. */
const NEVER = -1e9;

/**
 * What attention adds to its logits so that no token attends to padding.
 * @param padding bool `[B, N]` @returns `[B, 1, 1, N]`
 */
export function paddingBias(padding: Tensor): Tensor {
  const [batch, tokens] = padding.shape as [number, number];
  if (padding.dtype !== "bool" || padding.rank !== 2)
    throw new GraphError(`paddingBias: expected the padding as bool [B, N], got ${padding}`);
  return reshape(where(padding, scalar(NEVER), scalar(0)), [batch, 1, 1, tokens]);
}

/**
 * proj(softmax(Q Kᵀ / sqrt(D / heads) + bias) V) over the tokens of each sample.
 * @param x `[B * N, D]`, sample-major: all layers but this one see a plain matrix.
 * @param tokens N
 * @returns `[B * N, D]`
 * @param norm The layer norm of `x`, where it has not been applied yet.
 * @param bias Added to the logits, of a shape that broadcasts to `[B, heads, N, N]`; none when omitted.
 * @throws GraphError when heads do not divide D or tokens the rows.
 */
export function attention(
  p: Attention<Tensor>,
  x: Tensor,
  tokens: number,
  numHeads: number,
  norm?: PreNorm,
  bias?: Tensor,
): Tensor {
  const [rows, features] = x.shape as [number, number];
  if (features % numHeads !== 0) {
    throw new GraphError(`attention: ${numHeads} heads do not divide the ${features} features of ${x}`);
  }
  if (rows % tokens !== 0)
    throw new GraphError(`attention: ${tokens} tokens a sample do not divide the rows of ${x}`);
  const [batch, dim] = [rows / tokens, features / numHeads];
  // [B, N, 3, H, d] -> [3, B, H, N, d]: one pass over the data, after which q, k and v are contiguous.
  const joint = transpose(
    reshape(norm ? normLinear(norm, p.qkv, x) : linear(p.qkv, x), [batch, tokens, 3, numHeads, dim]),
    [2, 0, 3, 1, 4],
  );
  const [q, k, v] = split(joint, 0, [1, 1, 1]).map((part) =>
    reshape(part, [batch, numHeads, tokens, dim]),
  ) as [Tensor, Tensor, Tensor];
  const logits = matmul(q, k, { transposeB: true, scale: dim ** -0.5 });
  const weights = softmax(bias ? add(logits, bias) : logits);
  const mixed = transpose(matmul(weights, v), [0, 2, 1, 3]);
  return linear(p.proj, reshape(mixed, [rows, features]));
}
