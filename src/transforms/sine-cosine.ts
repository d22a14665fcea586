/** @file Sine and cosine to rounding on every provider. */

import { add, concat, constant, type DType, mul, square, type Tensor } from "../graph/index.js";

/** Of each Taylor series; the first one left out is below 4e-9 at pi. */
const TERMS = 10;

/**
 * `[cos x, sin x]` as `[B, 2]`, by their Taylor series. WGSL lets a GPU's own functions err by 2^-11, which is a
 * twentieth of a pixel at the border of a 224 px image that is rotated by the angle.
 * @param x `[B, 1]`, radians in [-pi, pi]
 */
export function cosineAndSine(x: Tensor): Tensor {
  const [batch, { dtype }] = [x.shape[0] as number, x];
  const squared = square(x);
  let series = coefficients(TERMS - 1, dtype);
  for (let term = TERMS - 2; term >= 0; term--) series = add(mul(series, squared), coefficients(term, dtype));
  return mul(series, concat([constant(new Float32Array(batch).fill(1), [batch, 1], dtype), x], 1));
}

/** Of x^(2 term) in cos x and in sin x / x, `[1, 2]`. */
function coefficients(term: number, dtype: DType): Tensor {
  let factorial = 1;
  for (let n = 2; n <= 2 * term; n++) factorial *= n;
  const even = (term % 2 === 0 ? 1 : -1) / factorial;
  return constant([even, even / (2 * term + 1)], [1, 2], dtype);
}
