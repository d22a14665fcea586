/**
 * @file Base augmentations as the methods' official codes configure them: data only. The crop is done by the loader,
 * the rest by `augmentation(...)`. All of them work on unrounded levels here, where the codes that augment PIL images
 * round to 8 bits after each step.
 */

import type { AugmentationSpec, BlurSpec } from "./augmentation.js";
import { type CropSpec, randomResizedCrop, wholeImage } from "./crops.js";

/** One view: how it is cut and what is done to it. */
export interface PipelineView {
  /** With the size that the source uses; give another one for other images. */
  readonly crop: CropSpec;
  readonly augmentation: AugmentationSpec;
}

export interface Pipeline {
  /** The two global views; a method with one view takes the first. */
  readonly globals: readonly [PipelineView, PipelineView];
  /** Small crops, and how many of them. */
  readonly local?: PipelineView & { readonly count: number };
}

export interface PipelineOptions {
  /**
   * Of DINOv2's blur. Its released code blurs with the complement of the probability that it declares
   * (dinov2/data/transforms.py, GaussianBlur): 0, 0.9 and 0.5 for the first and second global and the local views,
   * where 1, 0.1 and 0.5 were meant. Default: what the released models were trained with.
   */
  readonly blurProbabilities?: "effective" | "declared";
}

/** Jitter and grey of the DINO family and of MoCo v3. */
const dinoColor = {
  jitter: { brightness: 0.4, contrast: 0.4, saturation: 0.2, hue: 0.1, probability: 0.8 },
  grayscale: 0.2,
} as const;

/**
 * PIL's GaussianBlur, whose radius is the standard deviation. PIL approximates it by three box filters; here it is the
 * Gaussian itself, to four of the largest sigma.
 */
const pilBlur = (probability: number): BlurSpec => ({ probability, sigma: [0.1, 2], kernelSize: 17 });

/** torchvision's with the 9 weights of dinov2/data/transforms.py. */
const dinov2Blur = (probability: number): BlurSpec => ({ probability, sigma: [0.1, 2], kernelSize: 9 });

interface CropScales {
  readonly global: readonly [number, number];
  readonly local: readonly [number, number];
  readonly count: number;
}

/** The two global views and the local ones of the DINO family, with each view's blur. */
function dinoFamily(
  { global, local, count }: CropScales,
  blurs: readonly [first: BlurSpec, second: BlurSpec, local: BlurSpec],
): Pipeline {
  const crop = randomResizedCrop(224, global);
  return {
    globals: [
      { crop, augmentation: { ...dinoColor, blur: blurs[0] } },
      { crop, augmentation: { ...dinoColor, blur: blurs[1], solarize: 0.2 } },
    ],
    local: { crop: randomResizedCrop(96, local), augmentation: { ...dinoColor, blur: blurs[2] }, count },
  };
}

function dinov2({ blurProbabilities = "effective" }: PipelineOptions): Pipeline {
  const [first, second, local] = blurProbabilities === "effective" ? [0, 0.9, 0.5] : [1, 0.1, 0.5];
  return dinoFamily({ global: [0.32, 1], local: [0.05, 0.32], count: 8 }, [
    dinov2Blur(first as number),
    dinov2Blur(second as number),
    dinov2Blur(local as number),
  ]);
}

/** Both views alike. */
function twice(crop: CropSpec, augmentation: AugmentationSpec): Pipeline {
  const view = { crop, augmentation };
  return { globals: [view, view] };
}

const pilBlurs = [pilBlur(1), pilBlur(0.1), pilBlur(0.5)] as const;
const bilinear = { interpolation: "bilinear" } as const;

const pipelines = {
  /** The paper's "all": DINOv2's (dinov2/data/augmentations.py). */
  all: dinov2,
  /** The paper's "rot": rotation alone (Table 1's range), of the whole image. */
  rot: () => twice(wholeImage(224), { rotation: 45 }),
  /** The whole image as it is. */
  none: () => twice(wholeImage(224), {}),
  dinov2,
  /** bytedance/ibot main_ibot.py, with the README's crops for ViT-S. */
  ibot: () => dinoFamily({ global: [0.25, 1], local: [0.05, 0.25], count: 10 }, pilBlurs),
  /** facebookresearch/dino main_dino.py. */
  dino: () => dinoFamily({ global: [0.4, 1], local: [0.05, 0.4], count: 8 }, pilBlurs),
  /** facebookresearch/moco main_moco.py --aug-plus. */
  mocov2: () =>
    twice(randomResizedCrop(224, [0.2, 1], bilinear), {
      jitter: { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1, probability: 0.8 },
      grayscale: 0.2,
      blur: pilBlur(0.5),
    }),
  /** facebookresearch/moco-v3 main_moco.py. */
  mocov3: (): Pipeline => {
    const crop = randomResizedCrop(224, [0.08, 1], bilinear);
    return {
      globals: [
        { crop, augmentation: { ...dinoColor, blur: pilBlur(1) } },
        { crop, augmentation: { ...dinoColor, blur: pilBlur(0.1), solarize: 0.2 } },
      ],
    };
  },
  /** facebookresearch/mae main_pretrain.py: one view, cropped and flipped. */
  mae: () => twice(randomResizedCrop(224, [0.2, 1]), {}),
  /** facebookresearch/ijepa configs/in1k_vith14_ep300.yaml: one view, cropped. */
  ijepa: () => twice(randomResizedCrop(224, [0.3, 1], { ...bilinear, flip: 0 }), {}),
  /**
   * google-research/simclr data_util.py at strength 1. Jitter is torchvision's (there: contrast about each channel's
   * mean and saturation in HSV).
   */
  simclr: () =>
    twice(randomResizedCrop(224, [0.08, 1]), {
      jitter: { brightness: 0.8, contrast: 0.8, saturation: 0.8, hue: 0.2, probability: 0.8 },
      grayscale: 0.2,
      blur: { probability: 0.5, sigma: [0.1, 2], kernelSize: { share: 0.1 } },
    }),
} as const satisfies Record<string, (options: PipelineOptions) => Pipeline>;

export type PipelineName = keyof typeof pipelines;

/** The names of all base pipelines. */
export const pipelineNames = Object.keys(pipelines) as readonly PipelineName[];

/** A base pipeline by name. */
export function pipeline(name: PipelineName, options: PipelineOptions = {}): Pipeline {
  return pipelines[name](options);
}
