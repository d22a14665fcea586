/** @file How an image becomes an encoder's input: the numbers that feature extraction and every export share. */

import type { VisionTransformerConfig } from "../models/index.js";
import { imagenetMean, imagenetStd } from "../transforms/index.js";

/** Resize, cut out the middle, scale to [0, 1], then subtract the mean and divide by the deviation per channel. */
export interface Preprocessing {
  /** The shorter side in pixels before the middle is cut out. */
  readonly resize: number;
  /** Side of the square that the encoder sees. */
  readonly size: number;
  readonly interpolation: "bicubic";
  /** Per channel, on [0, 1]. */
  readonly mean: readonly [number, number, number];
  readonly std: readonly [number, number, number];
}

/** Images of the small-image data sets (CIFAR's 32 pixels, Tiny ImageNet's 64) are used whole. */
const LARGEST_WHOLE = 64;

/**
 * The usual evaluation transform at the size that the encoder was made for, or at another: at 224 pixels a resize to
 * 256 and a central crop (DINO, iBOT and DINOv2 evaluate so), other sizes in proportion. The mean and deviation are
 * ImageNet's, those that every method here trains with.
 */
export function encoderPreprocessing(
  config: Pick<VisionTransformerConfig, "imageSize">,
  size = config.imageSize,
): Preprocessing {
  return {
    resize: size <= LARGEST_WHOLE ? size : Math.round((size * 256) / 224),
    size,
    interpolation: "bicubic",
    mean: imagenetMean,
    std: imagenetStd,
  };
}
