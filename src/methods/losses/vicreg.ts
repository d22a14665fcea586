/** @file The terms of VICReg (Bardes, Ponce & LeCun, ICLR 2022), as facebookresearch/SIE's src/models.py has them. */

import {
  add,
  matmul,
  mean,
  mul,
  relu,
  sqrt,
  square,
  sub,
  sum,
  type Tensor,
  variance,
} from "../../graph/index.js";

/** The three terms, unweighted. */
export interface VicregTerms {
  readonly invariance: Tensor;
  readonly variance: Tensor;
  readonly covariance: Tensor;
}

/** Added to the variance under the root (SIE's value). */
const VARIANCE_EPSILON = 1e-4;

/**
 * The terms for two views' embeddings, `[B, D]` each (SIE src/models.py, class VICReg):
 * invariance is the mean squared difference, variance the hinge mean(relu(1 - std)) / 2 summed over views,
 * covariance the sum of squared off-diagonal covariances / D summed over views.
 */
export function vicregTerms(x: Tensor, y: Tensor): VicregTerms {
  return {
    invariance: meanSquaredError(x, y),
    variance: add(varianceHinge(x), varianceHinge(y)),
    covariance: add(covariancePenalty(x), covariancePenalty(y)),
  };
}

/** Mean over all elements of (x - y)². */
export function meanSquaredError(x: Tensor, y: Tensor): Tensor {
  return mean(square(sub(x, y)));
}

/** mean(relu(1 - std)) / 2 over the channels of `[B, D]`, the deviation over the batch. */
export function varianceHinge(x: Tensor): Tensor {
  const std = sqrt(add(variance(x, [0]), VARIANCE_EPSILON));
  return mul(mean(relu(sub(1, std))), 0.5);
}

/** The sum of squared off-diagonal covariances of `[B, D]`, over D. */
export function covariancePenalty(x: Tensor): Tensor {
  const [batch, width] = x.shape as [number, number];
  const centred = sub(x, mean(x, [0], { keepDims: true }));
  const covariance = matmul(centred, centred, { transposeA: true, scale: 1 / (batch - 1) });
  // The diagonal is the variances, so its squares need no masked matrix.
  const diagonal = mul(sum(square(centred), [0]), 1 / (batch - 1));
  return mul(sub(sum(square(covariance)), sum(square(diagonal))), 1 / width);
}
