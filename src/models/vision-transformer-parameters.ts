/** @file The parameters of a vision transformer, named as in timm, and how they start. */

import {
  type Affine,
  type Attention,
  affineParameters,
  attentionParameters,
  constantInitializer,
  type Initializer,
  type LayerScale,
  type LinearOptions,
  layerScaleParameters,
  type Mlp,
  mlpParameters,
  normalInitializer,
  type ParameterSpec,
  type PatchEmbedding,
  parameter,
  patchEmbeddingParameters,
  swigluHidden,
  swigluParameters,
  truncatedNormalInitializer,
  xavierUniformInitializer,
  zerosInitializer,
} from "../nn/index.js";
import {
  type Initialization,
  patchCount,
  type VisionTransformerConfig,
} from "./vision-transformer-config.js";

/** One transformer block. */
export interface Block<Leaf> {
  readonly norm1: Affine<Leaf>;
  readonly attn: Attention<Leaf>;
  readonly ls1?: LayerScale<Leaf>;
  readonly norm2: Affine<Leaf>;
  readonly mlp: Mlp<Leaf>;
  readonly ls2?: LayerScale<Leaf>;
}

/** Flattened names are timm's: `blocks.0.attn.qkv.weight`. */
export interface VisionTransformer<Leaf> {
  /** `[1, 1, D]` */
  readonly cls_token?: Leaf;
  /** `[1, R, D]` */
  readonly reg_token?: Leaf;
  /** `[1, D]` */
  readonly mask_token?: Leaf;
  /** `[1, N, D]`, or `[1, 1 + N, D]` with a row for the class token; none when positions are fixed. */
  readonly pos_embed?: Leaf;
  readonly patch_embed: PatchEmbedding<Leaf>;
  readonly blocks: readonly Block<Leaf>[];
  readonly norm: Affine<Leaf>;
}

interface Initializers {
  readonly linear: Initializer;
  readonly qkv: Initializer;
  /** Class and register tokens. */
  readonly token: Initializer;
  readonly mask: Initializer;
  /** Weight and bias of the patch projection; PyTorch's default when undefined. */
  readonly patch?: Initializer;
  readonly patchBias?: Initializer;
}

const usual = truncatedNormalInitializer(0.02);
const tiny = normalInitializer(1e-6);
const xavier = xavierUniformInitializer();
const patchAsMatrix = { patch: xavierUniformInitializer({ asMatrix: true }) };

const initializers: Readonly<Record<Initialization, Initializers>> = {
  // iBOT, models/vision_transformer.py
  dino: { linear: usual, qkv: usual, token: usual, mask: zerosInitializer },
  // dinov2, models/vision_transformer.py
  dinov2: { linear: usual, qkv: usual, token: tiny, mask: zerosInitializer },
  // moco-v3, vits.py: query, key and value are initialised apart, the patch bias is zero
  mocov3: {
    linear: xavier,
    qkv: xavierUniformInitializer({ parts: 3 }),
    token: tiny,
    mask: zerosInitializer,
    ...patchAsMatrix,
    patchBias: zerosInitializer,
  },
  // ijepa, src/models/vision_transformer.py and src/helper.py: the second undoes the first's rescaling by depth
  ijepa: {
    linear: usual,
    qkv: usual,
    token: usual,
    mask: usual,
    patch: usual,
    patchBias: zerosInitializer,
  },
  // mae, models_mae.py: the patch bias keeps PyTorch's default
  mae: {
    linear: xavier,
    qkv: xavier,
    token: normalInitializer(0.02),
    mask: normalInitializer(0.02),
    ...patchAsMatrix,
  },
};

/** The parameters of a ViT of this architecture. */
export function visionTransformerParameters(
  config: VisionTransformerConfig,
): VisionTransformer<ParameterSpec> {
  const { embedDim, registers, classToken, positions } = config;
  const start = initializers[config.initialization];
  const rows = patchCount(config) + (classToken && config.classPosition ? 1 : 0);
  return {
    ...(classToken ? { cls_token: parameter([1, 1, embedDim], start.token) } : {}),
    ...(registers > 0 ? { reg_token: parameter([1, registers, embedDim], start.token) } : {}),
    ...(config.maskToken ? { mask_token: parameter([1, embedDim], start.mask) } : {}),
    ...(positions === "learned" ? { pos_embed: parameter([1, rows, embedDim], usual) } : {}),
    patch_embed: patchEmbeddingParameters(config.channels, embedDim, config.patchSize, {
      ...(start.patch ? { initializer: start.patch } : {}),
      ...(start.patchBias ? { biasInitializer: start.patchBias } : {}),
    }),
    blocks: Array.from({ length: config.depth }, () => blockParameters(config)),
    norm: affineParameters(embedDim),
  };
}

/** The linear layers and tokens beside an encoder start as those in it. */
export function initializersOf(initialization: Initialization): Pick<Initializers, "linear" | "mask"> {
  return initializers[initialization];
}

/** What a block's parameters depend on. */
export type BlockConfig = Pick<
  VisionTransformerConfig,
  "embedDim" | "mlpRatio" | "swiglu" | "qkvBias" | "layerScale" | "initialization"
>;

/** The parameters of one block. */
export function blockParameters(config: BlockConfig): Block<ParameterSpec> {
  const { embedDim, mlpRatio, swiglu, qkvBias, layerScale } = config;
  const start = initializers[config.initialization];
  const zeroBias = constantInitializer(0);
  const usualLinear: LinearOptions = { initializer: start.linear, biasInitializer: zeroBias };
  const hidden = Math.floor(embedDim * mlpRatio);
  const scales =
    layerScale === undefined
      ? undefined
      : { ls1: layerScaleParameters(embedDim, layerScale), ls2: layerScaleParameters(embedDim, layerScale) };
  return {
    norm1: affineParameters(embedDim),
    attn: attentionParameters(embedDim, {
      qkvBias,
      qkv: { initializer: start.qkv, biasInitializer: zeroBias },
      proj: usualLinear,
    }),
    ...(scales ? { ls1: scales.ls1 } : {}),
    norm2: affineParameters(embedDim),
    mlp: swiglu
      ? swigluParameters(embedDim, swigluHidden(hidden), usualLinear)
      : mlpParameters(embedDim, hidden, usualLinear),
    ...(scales ? { ls2: scales.ls2 } : {}),
  };
}
