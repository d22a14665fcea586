/** @file Hue rotation through HSV. */

import {
  abs,
  add,
  clamp,
  concat,
  div,
  equal,
  floor,
  maximum,
  minimum,
  mul,
  split,
  sub,
  type Tensor,
  where,
} from "../graph/index.js";
import { imageShape, perSample } from "./images.js";

/** Below every difference of two 8-bit or resampled levels that matters; keeps 0 / 0 away from grey pixels. */
const TINY = 1e-20;

/**
 * Shifts the hue, torchvision's `adjust_hue` on float tensors up to rounding.
 *
 * With C = max - min, the hue in sixths of a turn is h = (g - b) / C where red is largest, 2 + (b - r) / C where green
 * is and 4 + (r - g) / C where blue is. Back, each channel is min + C T(h): T is 1 within one sixth of the channel's
 * own hue (0, 2, 4), 0 from two sixths on, and linear between.
 * @param images `[B, 3, H, W]` in [0, 1] @param shift Turns in [-0.5, 0.5], B elements
 */
export function adjustHue(images: Tensor, shift: Tensor): Tensor {
  imageShape("adjustHue", images);
  const sixths = mul(perSample("adjustHue", shift, images), 6);
  const [r, g, b] = split(images, 1, [1, 1, 1]) as [Tensor, Tensor, Tensor];
  const largest = maximum(maximum(r, g), b);
  const smallest = minimum(minimum(r, g), b);
  const chroma = sub(largest, smallest);
  const twice = add(chroma, chroma);

  const fromRed = sub(g, b);
  const fromGreen = add(sub(b, r), twice);
  const fromBlue = add(sub(r, g), add(twice, twice));
  const numerator = where(equal(largest, r), fromRed, where(equal(largest, g), fromGreen, fromBlue));
  const shifted = add(div(numerator, maximum(chroma, TINY)), sixths);
  const hue = sub(shifted, mul(floor(mul(shifted, 1 / 6)), 6));

  // T = clamp(|h - 3|, 1, 2) - 1 for red; 2 - clamp(|h - 2|, 1, 2) for green and 2 - clamp(|h - 4|, 1, 2) for blue.
  const ramp = (centre: number): Tensor => mul(chroma, clamp(abs(sub(hue, centre)), 1, 2));
  const top = add(smallest, twice);
  return concat([add(sub(smallest, chroma), ramp(3)), sub(top, ramp(2)), sub(top, ramp(4))], 1);
}
