/** @file The random part of a view's augmentation after its crop, described by plain data. */

import { gaussianBlur } from "./blur.js";
import { grayscale, solarize } from "./color.js";
import { type ColorJitterOptions, colorJitter } from "./color-jitter.js";
import { imageShape } from "./images.js";
import { parameterOf, type RandomTransform, sequence } from "./random-transform.js";
import { transformation } from "./transformation.js";

export interface BlurSpec {
  readonly probability: number;
  /** Range of the Gaussian's standard deviation in pixels. */
  readonly sigma: readonly [number, number];
  /** Odd number of weights, or what share of the image's height they span (at least 3). */
  readonly kernelSize: number | { readonly share: number };
}

/** What happens to a view, in this order; what is left out does not happen. */
export interface AugmentationSpec {
  /** By an angle from [-x, x] degrees about the centre, zeros around. */
  readonly rotation?: number;
  readonly jitter?: ColorJitterOptions;
  /** Probability of turning grey. */
  readonly grayscale?: number;
  readonly blur?: BlurSpec;
  /** Probability of inverting all levels from 128 of 255 up. */
  readonly solarize?: number;
}

/** What rounds to level 128 or more: exact for levels, and rounding errors before it do not flip level 128. */
const SOLARIZE_THRESHOLD = 127.5 / 255;
/** No level reaches it. */
const NEVER = 2;

/** The transform that a description stands for. */
export function augmentation(spec: AugmentationSpec): RandomTransform {
  const steps: Record<string, RandomTransform> = {};
  if (spec.rotation !== undefined) {
    steps.rotation = transformation("rotation", { ranges: { angle: [-spec.rotation, spec.rotation] } });
  }
  if (spec.jitter !== undefined) steps.jitter = colorJitter(spec.jitter);
  if (spec.grayscale !== undefined) steps.grayscale = randomGrayscale(spec.grayscale);
  if (spec.blur !== undefined) steps.blur = randomBlur(spec.blur);
  if (spec.solarize !== undefined) steps.solarize = randomSolarize(spec.solarize);
  return sequence(steps);
}

function randomGrayscale(probability: number): RandomTransform {
  return {
    parameters: { amount: [1] },
    draw: (random) => ({ amount: [random.chance(probability) ? 1 : 0] }),
    apply: (images, parameters) => grayscale(images, parameterOf(parameters, "amount")),
  };
}

function randomBlur({ probability, sigma: [low, high], kernelSize }: BlurSpec): RandomTransform {
  return {
    parameters: { sigma: [1] },
    draw: (random) => {
      const isBlurred = random.chance(probability);
      const sigma = random.uniform(low, high);
      return { sigma: [isBlurred ? sigma : 0] };
    },
    apply: (images, parameters) => {
      const { height } = imageShape("blur", images);
      const taps =
        typeof kernelSize === "number"
          ? kernelSize
          : Math.max(3, 2 * Math.floor((kernelSize.share * height) / 2) + 1);
      return gaussianBlur(images, parameterOf(parameters, "sigma"), taps);
    },
  };
}

function randomSolarize(probability: number): RandomTransform {
  return {
    parameters: { threshold: [1] },
    draw: (random) => ({ threshold: [random.chance(probability) ? SOLARIZE_THRESHOLD : NEVER] }),
    apply: (images, parameters) => solarize(images, parameterOf(parameters, "threshold")),
  };
}
