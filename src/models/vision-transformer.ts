/** @file The forward pass of a vision transformer (Dosovitskiy et al. 2021), pre-norm, as in timm and DINOv2. */

import {
  add,
  at,
  broadcastTo,
  concat,
  constant,
  GraphError,
  gather,
  mul,
  reshape,
  scalar,
  slice,
  squeeze,
  type Tensor,
  where,
} from "../graph/index.js";
import {
  addForSome,
  attention,
  dropPath,
  dropPathRates,
  type Grid,
  interpolatePositions,
  layerNorm,
  layerScale,
  mlp,
  paddingBias,
  patchEmbedding,
  sinCosPositions,
  swiglu,
} from "../nn/index.js";
import { batchRows } from "./patches.js";
import type { VisionTransformerConfig } from "./vision-transformer-config.js";
import type { Block, VisionTransformer } from "./vision-transformer-parameters.js";

export interface VisionTransformerInputs {
  /** Factors of the residual branches, `[B, 2 * depth]`: rows of `drawDropPath`. Nothing is dropped when omitted. */
  readonly dropPath?: Tensor;
  /** Instead: the samples that compute each residual branch, int64 `[kept, 2 * depth]`: `drawKeptSamples`. */
  readonly keptSamples?: Tensor;
  /** Patches whose embedding is replaced, before positions are added: bool `[B, N]`, and the token, `[1, D]`. */
  readonly maskedTokens?: { readonly mask: Tensor; readonly token: Tensor };
  /** Patches that are computed at all, at their positions in the whole image; all when omitted. */
  readonly kept?: KeptPatches;
  /** Blocks whose output is returned too; negative indices count from the last. */
  readonly returnLayers?: readonly number[];
  /** Whether the final norm is applied to those outputs (default true). */
  readonly normalizeLayers?: boolean;
}

/** The patches that an encoder sees of each image. */
export interface KeptPatches {
  /** Numbers of the patches in raster order, int64 or int32 `[B, K]` in [0, N). */
  readonly indices: Tensor;
  /**
   * Places that only fill up the row of a sample that keeps fewer than K patches, bool `[B, K]`. No token attends to
   * them: the other tokens are exactly what they are without them, and what comes out there means nothing.
   */
  readonly padding?: Tensor;
}

/** Tokens by kind. */
export interface Tokens {
  /** Class token, registers, patches: `[B, T, D]`. */
  readonly all: Tensor;
  /** `[B, D]`; undefined when the architecture has no class token. */
  readonly cls: Tensor | undefined;
  /** `[B, N, D]` in raster order, or `[B, K, D]` in the order of the kept ones. */
  readonly patches: Tensor;
}

export interface Features extends Tokens {
  /** The outputs of `returnLayers`, in the order asked for. */
  readonly layers: readonly Tokens[];
}

/**
 * Features after the final norm.
 * @param images `[B, C, H, W]`, normalised. H and W may be any multiples of the patch size: positions are interpolated.
 * @throws GraphError when images, masks or factors do not fit.
 */
export function visionTransformer(
  p: VisionTransformer<Tensor>,
  config: VisionTransformerConfig,
  images: Tensor,
  inputs: VisionTransformerInputs = {},
): Features {
  const embedded = embed(p, config, images, inputs);
  const [batch, tokens, features] = embedded.shape as [number, number, number];
  const { returnLayers = [], normalizeLayers = true } = inputs;
  const wanted = returnLayers.map((index) => blockIndex(index, config.depth));
  const patchCount = tokens - config.registers - (config.classToken ? 1 : 0);
  const split = (rows: Tensor): Tokens => {
    const all = reshape(rows, [batch, tokens, features]);
    return {
      all,
      cls: config.classToken ? squeeze(slice(all, 1, 0, 1), 1) : undefined,
      patches: slice(all, 1, tokens - patchCount),
    };
  };

  // Between attention layers a token is a row like any other: one plain matrix, [B * T, D].
  let x = reshape(embedded, [batch * tokens, features]);
  const branchDrops = dropsOf(config, batch, inputs);
  const bias = keptBias(inputs.kept, tokens);
  const found = new Map<number, Tensor>();
  p.blocks.forEach((weights, i) => {
    x = block(weights, config, x, tokens, branchDrops(i), bias);
    if (wanted.includes(i)) found.set(i, x);
  });
  const final = layerNorm(p.norm, x, config.epsilon);
  const layers = wanted.map((i) => {
    const output = found.get(i) as Tensor;
    if (!normalizeLayers) return split(output);
    return split(i === config.depth - 1 ? final : layerNorm(p.norm, output, config.epsilon));
  });
  return { ...split(final), layers };
}

function blockIndex(index: number, depth: number): number {
  const place = index < 0 ? index + depth : index;
  if (!Number.isInteger(place) || place < 0 || place >= depth) {
    throw new GraphError(`visionTransformer: there is no block ${index} among ${depth}`);
  }
  return place;
}

/**
 * One block: x + branch(x) twice, attention, then the MLP.
 * @param x `[B * T, D]` @param tokens T @param bias Of the attention's logits.
 */
export function block(
  p: Block<Tensor>,
  { numHeads, epsilon, swiglu: isGated }: Pick<VisionTransformerConfig, "numHeads" | "epsilon" | "swiglu">,
  x: Tensor,
  tokens: number,
  [attentionDrop, mlpDrop]: BranchDrops = [undefined, undefined],
  bias?: Tensor,
): Tensor {
  const between = residual(x, p.ls1, attentionDrop, (rows) =>
    attention(p.attn, rows, tokens, numHeads, { affine: p.norm1, epsilon }, bias),
  );
  return residual(between, p.ls2, mlpDrop, (rows) =>
    (isGated ? swiglu : mlp)(p.mlp, rows, { affine: p.norm2, epsilon }),
  );
}

/** x + scale * branch(x), for all samples, with a factor for each, or for some. */
function residual(
  x: Tensor,
  scale: Block<Tensor>["ls1"],
  drop: BranchDrop | undefined,
  branch: (rows: Tensor) => Tensor,
): Tensor {
  if (drop && "samples" in drop) {
    return addForSome(x, drop.samples, drop.batch, (rows, factor) =>
      scale ? layerScale({ gamma: mul(scale.gamma, factor) }, branch(rows)) : mul(branch(rows), factor),
    );
  }
  const scaled = scale ? layerScale(scale, branch(x)) : branch(x);
  return add(x, drop ? dropPath(scaled, drop.factors) : scaled);
}

/** Factors of the samples, `[B]`, or the samples that compute the branch, `[kept]`. */
type BranchDrop = { readonly factors: Tensor } | { readonly samples: Tensor; readonly batch: number };

/** Of a block's two residual branches; undefined where nothing is ever dropped. */
export type BranchDrops = readonly [attention: BranchDrop | undefined, mlp: BranchDrop | undefined];

function dropsOf(
  { depth, dropPath: rate, dropPathGrowth }: VisionTransformerConfig,
  batch: number,
  { dropPath: factors, keptSamples }: VisionTransformerInputs,
): (block: number) => BranchDrops {
  const table = factors ?? keptSamples;
  if (!table) return () => [undefined, undefined];
  if (table.rank !== 2 || (factors && table.shape[0] !== batch) || table.shape[1] !== 2 * depth) {
    throw new GraphError(
      `visionTransformer: drop path takes factors [${batch}, ${2 * depth}] or samples [kept, ${2 * depth}], ` +
        `got ${table}`,
    );
  }
  const rates = dropPathRates(rate, depth, dropPathGrowth);
  const column = (i: number): BranchDrop => {
    const values = reshape(slice(table, 1, i, i + 1), [-1]);
    return factors ? { factors: values } : { samples: values, batch };
  };
  return (i) => (rates[i] === 0 ? [undefined, undefined] : [column(2 * i), column(2 * i + 1)]);
}

/** The bias that keeps tokens from attending to padding; none where there is no padding. */
function keptBias(kept: KeptPatches | undefined, tokens: number): Tensor | undefined {
  if (!kept?.padding) return undefined;
  const [batch, count] = kept.padding.shape as [number, number];
  const others = tokens - count;
  const none = broadcastTo(scalar(0, "bool"), [batch, others]);
  return paddingBias(others > 0 ? concat([none, kept.padding], 1) : kept.padding);
}

/** Class token, registers, patches: `[B, T, D]`, positions added. */
function embed(
  p: VisionTransformer<Tensor>,
  config: VisionTransformerConfig,
  images: Tensor,
  inputs: VisionTransformerInputs,
): Tensor {
  const { maskedTokens, kept } = inputs;
  const { patchSize, embedDim } = config;
  const [batch, , height, width] = images.shape as [number, number, number, number];
  const grid = { rows: height / patchSize, columns: width / patchSize };
  const count = grid.rows * grid.columns;
  if (kept) requireKept(kept, batch, inputs);
  const rows = patchEmbedding(p.patch_embed, images, kept && batchRows(kept.indices, count));
  const shown = maskedTokens ? masked(rows, maskedTokens) : rows;
  const { classPosition, patchPositions } = positions(p, config, grid, images);
  const patches = add(
    reshape(shown, [batch, -1, embedDim]),
    kept ? gather(patchPositions, 0, kept.indices) : reshape(patchPositions, [1, count, embedDim]),
  );
  const repeated = (token: Tensor) => broadcastTo(token, [batch, at(token.shape, 1), embedDim]);
  const cls = p.cls_token && (classPosition ? add(p.cls_token, classPosition) : p.cls_token);
  const parts = [cls && repeated(cls), p.reg_token && repeated(p.reg_token), patches];
  return concat(
    parts.filter((part) => part !== undefined),
    1,
  );
}

function requireKept(
  { indices, padding }: KeptPatches,
  batch: number,
  { maskedTokens, keptSamples }: VisionTransformerInputs,
): void {
  if (indices.rank !== 2 || indices.shape[0] !== batch) {
    throw new GraphError(`visionTransformer: kept patches are int64 [${batch}, K], got ${indices}`);
  }
  if (padding && padding.shape.join() !== indices.shape.join()) {
    throw new GraphError(`visionTransformer: the padding ${padding} is not of the kept patches' ${indices}`);
  }
  if (padding && keptSamples) {
    throw new GraphError("visionTransformer: padding is of all samples; drop path by sample goes with it");
  }
  if (maskedTokens) {
    throw new GraphError("visionTransformer: patches are either masked or left out; give one of both");
  }
}

function masked(patches: Tensor, { mask, token }: { readonly mask: Tensor; readonly token: Tensor }): Tensor {
  if (mask.dtype !== "bool" || mask.size !== at(patches.shape, 0)) {
    throw new GraphError(
      `visionTransformer: the mask must be bool with one element a patch of ${patches}, got ${mask}`,
    );
  }
  return where(reshape(mask, [mask.size, 1]), token, patches);
}

/** Positions for a grid: the class token's, `[1, 1, D]`, where it has one, and the patches', `[N, D]`. */
function positions(
  { pos_embed }: VisionTransformer<Tensor>,
  config: VisionTransformerConfig,
  grid: Grid,
  { dtype }: Tensor,
): { readonly classPosition: Tensor | undefined; readonly patchPositions: Tensor } {
  const { imageSize, patchSize, embedDim, interpolation } = config;
  const side = imageSize / patchSize;
  const native: Grid = { rows: side, columns: side };
  const resize = (table: Tensor) => interpolatePositions(table, native, grid, interpolation);
  if (config.positions !== "learned" || !pos_embed) {
    if (config.positions === "learned")
      throw new GraphError("visionTransformer: the parameters lack pos_embed");
    const fixed = sinCosPositions(native, embedDim, config.positions);
    return {
      classPosition: undefined,
      patchPositions: resize(constant(fixed, [side * side, embedDim], dtype)),
    };
  }
  const hasClassRow = config.classToken && config.classPosition;
  const patches = hasClassRow ? slice(pos_embed, 1, 1) : pos_embed;
  return {
    classPosition: hasClassRow ? slice(pos_embed, 1, 0, 1) : undefined,
    patchPositions: resize(reshape(patches, [side * side, embedDim])),
  };
}
