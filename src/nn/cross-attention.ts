/** @file Multi-head cross-attention (Vaswani et al. 2017): queries of one sequence, keys and values of another. */

import { GraphError, matmul, reshape, softmax, split, type Tensor, transpose } from "../graph/index.js";
import { type Linear, type LinearOptions, linear, linearParameters } from "./linear.js";
import type { ParameterSpec } from "./parameter.js";

export interface CrossAttention<Leaf> {
  readonly q: Linear<Leaf>;
  /** `[2D, context]`: rows are key, then value, each head-major. */
  readonly kv: Linear<Leaf>;
  readonly proj: Linear<Leaf>;
}

/** @param context Features of a token of the other sequence; `features` when omitted. */
export function crossAttentionParameters(
  features: number,
  { context = features, ...options }: LinearOptions & { readonly context?: number } = {},
): CrossAttention<ParameterSpec> {
  return {
    q: linearParameters(features, features, options),
    kv: linearParameters(context, 2 * features, options),
    proj: linearParameters(features, features, options),
  };
}

/**
 * proj(softmax(Q Kᵀ / sqrt(D / heads)) V) with Q from x, K and V from y.
 * @param x `[B, N, D]` @param y `[B, M, context]` @returns `[B, N, D]`
 * @throws GraphError when batches differ or heads do not divide D.
 */
export function crossAttention(p: CrossAttention<Tensor>, x: Tensor, y: Tensor, numHeads: number): Tensor {
  const [batch, queries, features] = x.shape as [number, number, number];
  const [contextBatch, keys] = y.shape as [number, number];
  if (x.rank !== 3 || y.rank !== 3 || contextBatch !== batch) {
    throw new GraphError(
      `crossAttention: expected tokens [B, N, D] and [B, M, E] of one batch, got ${x}, ${y}`,
    );
  }
  if (features % numHeads !== 0) {
    throw new GraphError(`crossAttention: ${numHeads} heads do not divide the ${features} features of ${x}`);
  }
  const dim = features / numHeads;
  const q = transpose(reshape(linear(p.q, x), [batch, queries, numHeads, dim]), [0, 2, 1, 3]);
  // [B, M, 2, H, d] -> [2, B, H, M, d], after which k and v are contiguous.
  const joint = transpose(reshape(linear(p.kv, y), [batch, keys, 2, numHeads, dim]), [2, 0, 3, 1, 4]);
  const [k, v] = split(joint, 0, [1, 1]).map((part) => reshape(part, [batch, numHeads, keys, dim])) as [
    Tensor,
    Tensor,
  ];
  const weights = softmax(matmul(q, k, { transposeB: true, scale: dim ** -0.5 }));
  const mixed = transpose(matmul(weights, v), [0, 2, 1, 3]);
  return linear(p.proj, reshape(mixed, [batch, queries, features]));
}
