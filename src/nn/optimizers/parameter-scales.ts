/** @file Rules that give each parameter its multipliers of learning rate and weight decay. */

import type { Shape } from "../../graph/index.js";
import type { ParameterScale } from "./optimizer.js";

/** What a rule says of a parameter; what it leaves out stays. */
export type ScaleRule = (name: string, shape: Shape) => Partial<ParameterScale>;

/** Every parameter's multipliers: the products of what the rules say. */
export function parameterScales(
  parameters: Readonly<Record<string, { readonly shape: Shape }>>,
  rules: readonly ScaleRule[],
): Record<string, ParameterScale> {
  return Object.fromEntries(
    Object.entries(parameters).map(([name, { shape }]) => {
      const said = rules.map((rule) => rule(name, shape));
      const product = (key: keyof ParameterScale) =>
        said.reduce((total, scale) => total * (scale[key] ?? 1), 1);
      return [name, { learningRate: product("learningRate"), weightDecay: product("weightDecay") }];
    }),
  );
}

const noDecay: Partial<ParameterScale> = { weightDecay: 0 };

/** No weight decay for biases and vectors (iBOT, DINO, timm). Tokens and position tables, which are not, decay. */
export const excludeVectors: ScaleRule = (name, shape) =>
  name.endsWith(".bias") || shape.length <= 1 ? noDecay : {};

/** No weight decay for biases, normalisations and LayerScale, found by name (DINOv2, utils/param_groups.py). */
export const excludeNamedAsDinov2: ScaleRule = (name) =>
  name.endsWith(".bias") || name.includes("norm") || name.includes("gamma") ? noDecay : {};

/** No weight decay where the name matches. */
export function excludeMatching(pattern: RegExp): ScaleRule {
  return (name) => (pattern.test(name) ? noDecay : {});
}

/** The learning rate times `factor` where the name matches; 0 freezes (moments still accumulate). */
export function rateFor(pattern: RegExp, factor: number): ScaleRule {
  return (name) => (pattern.test(name) ? { learningRate: factor } : {});
}

/** Another rate for the patch projection (DINOv2: 0.2). */
export function patchEmbeddingRate(factor: number): ScaleRule {
  return rateFor(/(^|\.)patch_embed\./, factor);
}

/**
 * Layer-wise decay of a ViT's learning rate: rate^(depth + 1 - id), where embeddings have id 0, block i has i + 1,
 * and all else, heads included, depth + 1 (BEiT; DINOv2, utils/param_groups.py).
 */
export function layerwiseRate(rate: number, depth: number): ScaleRule {
  return (name) => {
    const block = /(?:^|\.)blocks\.(\d+)\./.exec(name);
    const isEmbedding = /(?:^|\.)(?:patch_embed\.|(?:pos_embed|cls_token|mask_token|reg_token)$)/.test(name);
    const id = block ? Number(block[1]) + 1 : isEmbedding ? 0 : depth + 1;
    return { learningRate: rate ** (depth + 1 - id) };
  };
}
