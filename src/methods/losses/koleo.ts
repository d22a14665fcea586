/** @file KoLeo, the regulariser that spreads features over the sphere (Sablayrolles et al. 2019; dinov2/loss/koleo_loss.py). */

import {
  add,
  argmax,
  constant,
  gather,
  log,
  matmul,
  mean,
  mul,
  sqrt,
  square,
  stopGradient,
  sub,
  sum,
  type Tensor,
} from "../../graph/index.js";
import { l2Normalize } from "../../nn/index.js";

/** Keeps distances and their logarithm finite, as in the source. */
const EPSILON = 1e-8;

/**
 * -mean_i log |x_i - x_n(i)|, where n(i) is the nearest other row, after rows are brought to length 1: the
 * Kozachenko-Leonenko estimate of the entropy, up to constants.
 * @param x `[B, D]` @throws RangeError for a single row, which has no other.
 */
export function koleo(x: Tensor): Tensor {
  const batch = x.shape[0] as number;
  if (batch < 2) throw new RangeError(`KoLeo compares the samples of a batch, got ${batch}; use at least 2`);
  const unit = l2Normalize(x, EPSILON);
  const detached = stopGradient(unit);
  const similarity = matmul(detached, detached, { transposeB: true });
  // -2 puts a row's own similarity, which is 1, below all others.
  const own = constant(
    Float32Array.from({ length: batch * batch }, (_, i) => (i % (batch + 1) === 0 ? -2 : 0)),
    [batch, batch],
  );
  const nearest = gather(unit, 0, argmax(add(similarity, own)));
  const distance = sqrt(sum(square(add(sub(unit, nearest), EPSILON)), [1]));
  return mul(mean(log(add(distance, EPSILON))), -1);
}
