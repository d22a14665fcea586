/**
 * @file Drop path, also called stochastic depth (Huang et al. 2016): a sample skips a residual branch with some
 * probability. The draw is made on the host and fed as a factor per sample and branch.
 */

import { at, GraphError, mul, reshape, type Tensor } from "../graph/index.js";
import type { RandomStream } from "../random.js";

/** The drop rate of each block: growing linearly from 0 to `rate` at the last, or `rate` everywhere. */
export function dropPathRates(
  rate: number,
  depth: number,
  growth: "linear" | "uniform" = "linear",
): number[] {
  if (!(rate >= 0 && rate < 1)) throw new RangeError(`drop path: the rate must be in [0, 1), got ${rate}`);
  return Array.from({ length: depth }, (_, i) =>
    growth === "uniform" || depth === 1 ? rate : (rate * i) / (depth - 1),
  );
}

/**
 * One sample's factors for `branches` residual branches in each block, block-major: 0 with the block's rate, else
 * 1 / (1 - rate), so that the expectation is 1.
 */
export function drawDropPath(rates: readonly number[], random: RandomStream, branches = 2): number[] {
  return rates.flatMap((rate) =>
    Array.from({ length: branches }, () => (random.chance(rate) ? 0 : 1 / (1 - rate))),
  );
}

/**
 * Each sample's rows times its factor.
 * @param x `[B * N, D]`, sample-major @param factor `[B]` @returns `[B * N, D]`
 */
export function dropPath(x: Tensor, factor: Tensor): Tensor {
  const [rows, features] = x.shape as [number, number];
  const batch = at(factor.shape, 0);
  if (rows % batch !== 0)
    throw new GraphError(`dropPath: ${factor} does not hold one factor a sample of ${x}`);
  const scaled = mul(reshape(x, [batch, rows / batch, features]), reshape(factor, [batch, 1, 1]));
  return reshape(scaled, [rows, features]);
}
