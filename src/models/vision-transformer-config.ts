/** @file The architectures of vision transformers: named sizes, options, and the check that they fit together. */

import { type PositionInterpolation, positionInterpolations, type SinCosOrder } from "../nn/index.js";

/** Widths and depths by name: ViT (Dosovitskiy et al. 2021), DeiT's Ti and S, DINOv2's g. */
export const visionTransformerPresets = {
  tiny: { embedDim: 192, depth: 12, numHeads: 3 },
  small: { embedDim: 384, depth: 12, numHeads: 6 },
  base: { embedDim: 768, depth: 12, numHeads: 12 },
  large: { embedDim: 1024, depth: 24, numHeads: 16 },
  huge: { embedDim: 1280, depth: 32, numHeads: 16 },
  giant: { embedDim: 1536, depth: 40, numHeads: 24 },
} as const;

export type VisionTransformerPreset = keyof typeof visionTransformerPresets;

/** How a ViT starts: as DINO, iBOT and timm; DINOv2; MoCo v3; MAE; I-JEPA. */
export type Initialization = "dino" | "dinov2" | "mocov3" | "mae" | "ijepa";

/** A complete architecture. */
export interface VisionTransformerConfig {
  /** Side in pixels of the images that the position embedding is made for. Others are interpolated. */
  readonly imageSize: number;
  readonly patchSize: number;
  readonly channels: number;
  readonly embedDim: number;
  readonly depth: number;
  readonly numHeads: number;
  /** Hidden units of the MLP per feature; SwiGLU takes two thirds of them. */
  readonly mlpRatio: number;
  readonly swiglu: boolean;
  /** Whether there is a class token. */
  readonly classToken: boolean;
  /** Whether the class token has a row in a learned position embedding (timm's `no_embed_class` is the opposite). */
  readonly classPosition: boolean;
  /** Register tokens, which have no position (Darcet et al. 2024). */
  readonly registers: number;
  /** Whether there is a token that stands for masked patches (iBOT, DINOv2). */
  readonly maskToken: boolean;
  /** Initial value of LayerScale; none when undefined. */
  readonly layerScale: number | undefined;
  readonly qkvBias: boolean;
  /** Of every layer normalisation. */
  readonly epsilon: number;
  /** Drop rate of the last block's branches; earlier ones by `dropPathGrowth`. */
  readonly dropPath: number;
  readonly dropPathGrowth: "linear" | "uniform";
  /** Learned, or fixed sine-cosine in one of two axis orders. */
  readonly positions: "learned" | SinCosOrder;
  readonly interpolation: PositionInterpolation;
  readonly initialization: Initialization;
}

export type VisionTransformerOptions = {
  /** Gives `embedDim`, `depth` and `numHeads`, each of which may still be given. */
  readonly preset?: VisionTransformerPreset | undefined;
} & Pick<VisionTransformerConfig, "imageSize" | "patchSize"> & {
    readonly [Key in keyof VisionTransformerConfig]?: VisionTransformerConfig[Key] | undefined;
  };

const defaults = {
  channels: 3,
  mlpRatio: 4,
  swiglu: false,
  classToken: true,
  classPosition: true,
  registers: 0,
  maskToken: false,
  layerScale: undefined,
  qkvBias: true,
  epsilon: 1e-6,
  dropPath: 0,
  dropPathGrowth: "linear",
  positions: "learned",
  interpolation: positionInterpolations.dino,
  initialization: "dino",
} as const satisfies Partial<VisionTransformerConfig>;

/**
 * The largest sizes: far above every model that was ever trained (ViT-22B has 48 blocks of 6,144 features). Beyond, a
 * configuration is damaged or hostile, and what is made for each block or feature would take minutes and all memory.
 */
const LARGEST = {
  imageSize: 16_384,
  patchSize: 16_384,
  channels: 1024,
  embedDim: 65_536,
  depth: 1024,
  numHeads: 4096,
  registers: 65_536,
  mlpRatio: 64,
} as const satisfies Partial<VisionTransformerConfig>;

/**
 * Completes and checks an architecture.
 * @throws RangeError when a size is missing or sizes do not fit, saying which and what would.
 */
export function visionTransformerConfig({
  preset,
  ...options
}: VisionTransformerOptions): VisionTransformerConfig {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const sizes = preset === undefined ? {} : visionTransformerPresets[preset];
  const config = { ...defaults, ...sizes, ...given } as VisionTransformerConfig;
  check(config);
  return config;
}

function check(config: VisionTransformerConfig): void {
  for (const key of ["imageSize", "patchSize", "channels", "embedDim", "depth", "numHeads"] as const) {
    const value = config[key];
    if (!Number.isInteger(value) || value < 1) {
      throw new RangeError(
        `vision transformer: ${key} must be a whole number above 0, got ${value}; name a preset or set it`,
      );
    }
  }
  for (const [key, most] of Object.entries(LARGEST)) {
    const value = config[key as keyof typeof LARGEST];
    if (value > most) {
      throw new RangeError(`vision transformer: ${key} is ${value}, expected at most ${most}`);
    }
  }
  const { imageSize, patchSize, embedDim, numHeads, mlpRatio, registers, dropPath, positions } = config;
  if (!(mlpRatio > 0)) throw new RangeError(`vision transformer: mlpRatio must be above 0, got ${mlpRatio}`);
  if (imageSize % patchSize !== 0) {
    const near = Math.max(1, Math.round(imageSize / patchSize)) * patchSize;
    throw new RangeError(
      `vision transformer: imageSize ${imageSize} is not a multiple of patchSize ${patchSize}; ` +
        `use imageSize ${near}, or another patchSize`,
    );
  }
  if (embedDim % numHeads !== 0) {
    const divisors = Array.from({ length: embedDim }, (_, i) => i + 1).filter(
      (heads) => embedDim % heads === 0,
    );
    const near = divisors.reduce((best, heads) =>
      Math.abs(heads - numHeads) < Math.abs(best - numHeads) ? heads : best,
    );
    throw new RangeError(
      `vision transformer: numHeads ${numHeads} does not divide embedDim ${embedDim}; use for example ${near} heads`,
    );
  }
  if (!Number.isInteger(registers) || registers < 0) {
    throw new RangeError(`vision transformer: registers must be a whole number, got ${registers}`);
  }
  if (!(dropPath >= 0 && dropPath < 1)) {
    throw new RangeError(`vision transformer: dropPath must be in [0, 1), got ${dropPath}`);
  }
  if (positions !== "learned" && embedDim % 4 !== 0) {
    throw new RangeError(
      `vision transformer: sine-cosine positions need an embedDim that is a multiple of 4, got ${embedDim}`,
    );
  }
}

/** Patches of an image of `imageSize`. */
export function patchCount({ imageSize, patchSize }: VisionTransformerConfig): number {
  return (imageSize / patchSize) ** 2;
}
