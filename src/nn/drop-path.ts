/**
 * @file Drop path, also called stochastic depth (Huang et al. 2016), in two kinds. By sample: each skips a residual
 * branch with some probability; the draw is made on the host and fed as a factor per sample and branch. By batch
 * (dinov2/layers/block.py): a fixed share of the batch skips the branch, and is not even computed.
 */

import { add, at, GraphError, gather, mul, reshape, scatterRows, type Tensor } from "../graph/index.js";
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

/** How many samples of a batch compute a branch that is dropped at `rate`. */
export function keptSampleCount(batch: number, rate: number): number {
  return Math.max(1, Math.floor(batch * (1 - rate)));
}

/** The samples that compute each of `branches` branches, `[kept, branches]`, row-major: a column names each once. */
export function drawKeptSamples(
  random: RandomStream,
  batch: number,
  rate: number,
  branches: number,
): number[] {
  const kept = keptSampleCount(batch, rate);
  const columns = Array.from({ length: branches }, () => random.permutation(batch));
  return Array.from({ length: kept }, (_, row) => columns.map((column) => column[row] as number)).flat();
}

/**
 * x + branch(x) for some samples of the batch, scaled by the batch over their number; x for the others.
 * @param x `[B * N, D]`, sample-major @param samples Numbers of samples, int64 `[S]`.
 * @param branch Of the rows of these samples, `[S * N, D]`; told the scale, which it applies where it is cheapest.
 */
export function addForSome(
  x: Tensor,
  samples: Tensor,
  batch: number,
  branch: (rows: Tensor, scale: number) => Tensor,
): Tensor {
  const [rows, features] = x.shape as [number, number];
  if (rows % batch !== 0) throw new GraphError(`addForSome: ${batch} samples do not divide the rows of ${x}`);
  const [kept, width] = [samples.size, (rows / batch) * features];
  const chosen = reshape(gather(reshape(x, [batch, width]), 0, samples), [-1, features]);
  const added = reshape(branch(chosen, batch / kept), [kept, width]);
  return add(x, reshape(scatterRows(samples, added, batch), [rows, features]));
}
