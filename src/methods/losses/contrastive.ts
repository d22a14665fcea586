/**
 * @file Contrastive losses: SimCLR's NT-Xent, MoCo v2's InfoNCE against a queue, MoCo v3's InfoNCE within the batch.
 * All compare directions: embeddings are normalised to length 1 here.
 */

import {
  add,
  at,
  cast,
  concat,
  constant,
  equal,
  exp,
  GraphError,
  greaterEqual,
  log,
  matmul,
  max,
  mean,
  mul,
  slice,
  stopGradient,
  sub,
  sum,
  type Tensor,
  where,
} from "../../graph/index.js";
import { l2Normalize } from "../../nn/index.js";

/** The logit of what must not be compared (google-research/simclr, objective.py). */
const EXCLUDED = -1e9;

export interface Contrast {
  /** Scalar. */
  readonly loss: Tensor;
  /** Scalar: the share of anchors to which nothing is more similar than their own counterpart. */
  readonly accuracy: Tensor;
}

/**
 * NT-Xent (Chen et al. 2020, eq. 1): for each embedding of either view, the cross-entropy of finding the other view's
 * among all others of both views. The sum of the two views' means, as in SimCLR's objective.py; the paper's L, the mean
 * over both views, is half of it.
 * @param x, y `[B, D]` @throws GraphError for different shapes or a batch of one, which has no negatives.
 */
export function ntXent(x: Tensor, y: Tensor, temperature: number): Contrast {
  checkPair("ntXent", x, y);
  const [batch, rows] = [at(x.shape, 0), 2 * at(x.shape, 0)];
  const all = l2Normalize(concat([x, y], 0));
  const similarity = matmul(all, all, { transposeB: true, scale: 1 / temperature });
  const logits = where(isAt(rows, 0), EXCLUDED, similarity);
  const { loss, accuracy } = crossEntropy(logits, sumWhere(isAt(rows, batch), logits));
  return { loss: mul(loss, 2), accuracy };
}

/**
 * InfoNCE against a queue (He et al. 2020, eq. 1): the cross-entropy of finding a query's own key among it and the
 * queue's. Keys and queue receive no gradient.
 * @param queries, keys `[B, D]` @param queue `[K, D]`, rows of length 1 @throws GraphError for different shapes.
 */
export function infoNceWithQueue(
  queries: Tensor,
  keys: Tensor,
  queue: Tensor,
  temperature: number,
): Contrast {
  checkPair("infoNceWithQueue", queries, keys, 1);
  const [q, k] = [l2Normalize(queries), stopGradient(l2Normalize(keys))];
  const positive = mul(sum(mul(q, k), [1], { keepDims: true }), 1 / temperature);
  const negatives = matmul(q, stopGradient(queue), { transposeB: true, scale: 1 / temperature });
  const logits = concat([positive, negatives], 1);
  return crossEntropy(logits, sum(slice(logits, 1, 0, 1), [1]));
}

/**
 * MoCo v3's ctr(q, k) (Chen, Xie & He 2021, Algorithm 1): the cross-entropy of finding a query's own key among the
 * batch's, times 2 T. Keys receive no gradient.
 * @param queries, keys `[B, D]` @throws GraphError for different shapes or a batch of one, which has no negatives.
 */
export function infoNceInBatch(queries: Tensor, keys: Tensor, temperature: number): Contrast {
  checkPair("infoNceInBatch", queries, keys);
  const [q, k] = [l2Normalize(queries), stopGradient(l2Normalize(keys))];
  const logits = matmul(q, k, { transposeB: true, scale: 1 / temperature });
  const { loss, accuracy } = crossEntropy(logits, sumWhere(isAt(at(q.shape, 0), 0), logits));
  return { loss: mul(loss, 2 * temperature), accuracy };
}

/** Mean of log sum exp(logits) - positive. @param logits `[A, M]`, the positive's among them @param positive `[A]` */
function crossEntropy(logits: Tensor, positive: Tensor): Contrast {
  const largest = stopGradient(max(logits, [1], { keepDims: true }));
  const logSum = log(sum(exp(sub(logits, largest)), [1], { keepDims: true }));
  const entropies = sub(sum(add(logSum, largest), [1]), positive);
  const isFirst = greaterEqual(stopGradient(positive), sum(largest, [1]));
  return { loss: mean(entropies), accuracy: mean(cast(isFirst, logits.dtype)) };
}

/** Bool `[size, size]`: whether the column is the row's number plus `shift`, modulo the size. */
function isAt(size: number, shift: number): Tensor {
  const places = (start: number) => Array.from({ length: size }, (_, i) => (i + start) % size);
  return equal(constant(places(shift), [size, 1]), constant(places(0), [1, size]));
}

/** Each row's sum over the columns where the condition holds: `[R]`. */
function sumWhere(condition: Tensor, x: Tensor): Tensor {
  return sum(where(condition, x, 0), [1]);
}

function checkPair(name: string, x: Tensor, y: Tensor, smallest = 2): void {
  const [batch = 0, width] = x.shape;
  if (x.rank !== 2 || y.rank !== 2 || y.shape[0] !== batch || y.shape[1] !== width) {
    throw new GraphError(`${name}: expected two batches [B, D] of one shape, got ${x} and ${y}`);
  }
  if (batch < smallest) {
    throw new GraphError(`${name}: a batch of ${batch} has no negatives; use at least ${smallest} samples`);
  }
}
