/** @file Where the last block's attention looks: the picture that DINO made known (Caron et al. 2021, figure 1). */

import { at, matmul, mean, reshape, slice, softmax, split, type Tensor, transpose } from "../graph/index.js";
import { linear } from "../nn/index.js";
import { visionTransformer } from "./vision-transformer.js";
import type { VisionTransformerConfig } from "./vision-transformer-config.js";
import type { VisionTransformer } from "./vision-transformer-parameters.js";

/**
 * Attention of the class token to the patches in the last block, by head (DINO, visualize_attention.py); the mean over
 * all patches' attention where there is no class token. The shares that go to the class token and registers are left out.
 * @param images `[B, C, H, W]`, normalised @returns `[B, heads, N]`
 */
export function attentionMaps(
  p: VisionTransformer<Tensor>,
  config: VisionTransformerConfig,
  images: Tensor,
): Tensor {
  const { depth, numHeads, embedDim } = config;
  const last = at(p.blocks, depth - 1);
  // What the last attention sees: all blocks before it, then its own norm in the place of the final one.
  const before = { ...p, blocks: p.blocks.slice(0, -1), norm: last.norm1 };
  const { all, patches } = visionTransformer(before, { ...config, depth: depth - 1 }, images);
  const [batch, tokens] = all.shape as [number, number, number];
  const dim = embedDim / numHeads;
  const heads = transpose(
    reshape(linear(last.attn.qkv, all), [batch, tokens, 3, numHeads, dim]),
    [2, 0, 3, 1, 4],
  );
  const [q, k] = split(heads, 0, [1, 1, 1]).map((part) => reshape(part, [batch, numHeads, tokens, dim])) as [
    Tensor,
    Tensor,
  ];
  const patchCount = at(patches.shape, 1);
  const asking = config.classToken ? slice(q, 2, 0, 1) : slice(q, 2, tokens - patchCount);
  const weights = softmax(matmul(asking, k, { transposeB: true, scale: dim ** -0.5 }));
  return slice(mean(weights, [2]), 2, tokens - patchCount);
}
