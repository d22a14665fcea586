/** @file Vectors of length 1. */

import { div, maximum, sqrt, square, sum, type Tensor } from "../graph/index.js";

/** Shorter vectors are divided by this length (PyTorch's `normalize`). */
const SHORTEST = 1e-12;

/** x / max(|x|, 1e-12) over the last dimension; the gradient at 0 is finite. @param x `[…, D]` */
export function l2Normalize(x: Tensor): Tensor {
  const squared = sum(square(x), [-1], { keepDims: true });
  return div(x, sqrt(maximum(squared, SHORTEST ** 2)));
}
