/** @file torchvision's ColorJitter: brightness, contrast, saturation and hue in an order drawn per sample. */

import { reshape, slice, type Tensor } from "../graph/index.js";
import type { RandomStream } from "../random.js";
import { luminanceBlend } from "./color.js";
import { adjustHue } from "./hue.js";
import { type Draw, parameterOf, type RandomTransform } from "./random-transform.js";

export interface ColorJitterOptions {
  /** Factors come from [max(0, 1 - x), 1 + x]. */
  readonly brightness: number;
  readonly contrast: number;
  readonly saturation: number;
  /** Turns; the shift comes from [-x, x]. */
  readonly hue: number;
  /** Of jittering at all; default 1. */
  readonly probability?: number;
}

/** Blends before the hue, and as many after it: any order of the three around the hue fits. */
const SLOTS = 3;

/** `[image, gray, mean]` coefficients of `luminanceBlend` for a factor. */
type Coefficients = readonly [number, number, number];
const nothing: Coefficients = [1, 0, 0];

/** In torchvision's order; the fourth, hue, is no such blend. */
const blends: readonly ((factor: number) => Coefficients)[] = [
  (brightness) => [brightness, 0, 0],
  (contrast) => [contrast, 0, 1 - contrast],
  (saturation) => [saturation, 1 - saturation, 0],
];
const HUE = blends.length;

/** One sample's jitter: what is adjusted, in which order. */
export interface JitterPlan {
  /** 0 brightness, 1 contrast, 2 saturation, 3 hue, each once, first to last. */
  readonly order: ArrayLike<number>;
  /** Of brightness, contrast and saturation. */
  readonly factors: readonly [number, number, number];
  /** Turns. */
  readonly hue: number;
}

/** A plan as the graph takes it: six blends, of which those not needed are the identity, and a hue shift between. */
export function jitterParameters({ order, factors, hue }: JitterPlan): { slots: number[]; hue: number[] } {
  const slots = Array.from({ length: 2 * SLOTS }, () => nothing);
  let next = 0;
  for (const operation of Array.from(order)) {
    const blend = blends[operation];
    const factor = factors[operation];
    if (operation === HUE) next = SLOTS;
    else if (blend && factor !== undefined) slots[next++] = blend(factor);
    else throw new RangeError(`color jitter: no operation ${operation}; there are 0 to ${HUE}`);
  }
  return { slots: slots.flat(), hue: [hue] };
}

/**
 * ColorJitter with an order of its own for every sample. Brightness, contrast and saturation are all
 * `clamp(a x + b gray(x) + c mean(gray(x)))`, so a slot with per-sample coefficients is any of them or the identity;
 * three slots before the one hue shift and three after it hold each of the 24 orders. A sample that is not jittered
 * goes through identity slots and a hue shift of 0, which changes it by rounding only.
 */
export function colorJitter(options: ColorJitterOptions): RandomTransform {
  const { brightness, contrast, saturation, hue, probability = 1 } = options;
  const around = (strength: number, random: RandomStream): number =>
    random.uniform(Math.max(0, 1 - strength), 1 + strength);
  return {
    parameters: { slots: [2 * SLOTS, 3], hue: [1] },
    draw(random): Draw {
      const isJittered = random.chance(probability);
      const plan: JitterPlan = {
        order: random.permutation(HUE + 1),
        factors: [around(brightness, random), around(contrast, random), around(saturation, random)],
        hue: random.uniform(-hue, hue),
      };
      return jitterParameters(isJittered ? plan : { ...plan, factors: [1, 1, 1], hue: 0 });
    },
    apply(images, parameters) {
      const slots = parameterOf(parameters, "slots");
      const blend = (current: Tensor, slot: number): Tensor => {
        const numbers = reshape(slice(slots, 1, slot, slot + 1), [-1, 3]);
        const [image, gray, mean] = [0, 1, 2].map((i) => slice(numbers, 1, i, i + 1)) as [
          Tensor,
          Tensor,
          Tensor,
        ];
        return luminanceBlend(current, { image, gray, mean });
      };
      const before = [0, 1, 2].reduce(blend, images);
      return [3, 4, 5].reduce(blend, adjustHue(before, parameterOf(parameters, "hue")));
    },
  };
}
