/** @file Rows brought to length 1. */

import { customVjp, div, maximum, mul, sqrt, square, sub, sum, type Tensor } from "../graph/index.js";

/**
 * x / max(|x|, epsilon) over the last dimension, as PyTorch's `F.normalize`.
 * @param x `[…, D]`
 */
export function l2Normalize(x: Tensor, epsilon = 1e-12): Tensor {
  const last = [x.rank - 1];
  const length = maximum(sqrt(sum(square(x), last, { keepDims: true })), epsilon);
  const unit = div(x, length);
  // d x = (g - y (y g)) / |x|: neither the square root nor the quotient is differentiated, so a row of zeros has
  // no infinite slope.
  const [normal] = customVjp([x], [unit], (_, [y], [g]) => {
    if (!g || !y) return [];
    return [div(sub(g, mul(y, sum(mul(y, g), last, { keepDims: true }))), length)];
  });
  return normal as Tensor;
}
