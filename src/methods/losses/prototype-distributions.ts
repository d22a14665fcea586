/**
 * @file Distributions over prototypes: the teacher's, kept from collapsing by centring (Caron et al. 2021) or by
 * Sinkhorn-Knopp (Caron et al. 2020), and the student's cross-entropy to them.
 *
 * `z` are unit vectors from the head's bottleneck and `weight` the prototypes, so logits are `z weightᵀ`. Temperatures
 * divide `z`, which is narrow, and never the logits.
 */

import {
  constant,
  customVjp,
  div,
  exp,
  logSoftmax,
  matmul,
  max,
  maximum,
  mul,
  reciprocal,
  reshape,
  softmax,
  squeeze,
  sub,
  type Tensor,
} from "../../graph/index.js";

/** The teacher's sharpening, and what is subtracted from its logits. */
export interface Centring {
  /** `[K]`: a moving average of the logits' mean. */
  readonly centre: Tensor;
  /** Shape []. */
  readonly temperature: Tensor;
}

/**
 * softmax((z weightᵀ - centre) / temperature).
 * @param z `[…, D]` @param weight `[K, D]` @returns `[…, K]`
 */
export function centredProbabilities(z: Tensor, weight: Tensor, { centre, temperature }: Centring): Tensor {
  const sharpness = reciprocal(temperature);
  const logits = matmul(mul(z, sharpness), weight, { transposeB: true });
  return softmax(sub(logits, mul(centre, sharpness)));
}

/** Sums below this are taken for it: a prototype that no sample is near must not divide by zero. */
const SMALLEST_SUM = 1e-30;

/**
 * Probabilities that use all prototypes equally over the batch, and sum to 1 for each sample: rows and columns of
 * exp(logits / temperature) are normalised in turn (dinov2/loss/dino_clstoken_loss.py, sinkhorn_knopp_teacher).
 *
 * Normalising is scaling, so the matrix M itself stays as it is: one scale per prototype (r) and one per sample (c),
 * each the inverse of a product of M with the other.
 * @param z `[R, D]` @param weight `[K, D]`
 * @returns `[R, K]`
 */
export function sinkhornProbabilities(
  z: Tensor,
  weight: Tensor,
  { temperature, present, iterations = 3 }: SinkhornOptions,
): Tensor {
  const [rows, prototypes] = [z.shape[0] as number, weight.shape[0] as number];
  const logits = matmul(div(z, temperature), weight, { transposeB: true });
  // The largest logit is divided out by the first normalisation; without it exp could overflow.
  const m = exp(sub(logits, max(logits)));
  const counted = present ? reshape(present, [rows, 1]) : ones(rows);
  let [ofSample, ofPrototype] = [counted, counted];
  for (let i = 0; i < iterations; i++) {
    const ofColumns = matmul(m, ofSample, { transposeA: true, scale: prototypes });
    ofPrototype = reciprocal(maximum(ofColumns, SMALLEST_SUM));
    ofSample = div(counted, maximum(matmul(m, ofPrototype, { scale: rows }), SMALLEST_SUM));
  }
  return mul(mul(m, mul(ofSample, rows)), reshape(ofPrototype, [1, prototypes]));
}

/** `[rows, 1]` */
function ones(rows: number): Tensor {
  return constant(new Float32Array(rows).fill(1), [rows, 1]);
}

export interface SinkhornOptions {
  /** Shape []. */
  readonly temperature: Tensor;
  /** `[R]`, 1 for rows that count and 0 for padding, whose probabilities come out as 0. All count when omitted. */
  readonly present?: Tensor;
  /** Default 3. */
  readonly iterations?: number;
}

export interface CrossEntropyOptions {
  /** Of the student. */
  readonly temperature: number;
  /** What each row of the targets sums to (default 1): two teacher views in one, for example. */
  readonly mass?: number;
}

/**
 * -sum_k targets_k log softmax(z weightᵀ / temperature)_k for each row. No gradient reaches the targets.
 *
 * The gradient by the logits, (softmax - targets) g / temperature, is never scaled: what multiplies a whole row goes
 * to the narrow operands of the two products that follow.
 * @param z `[…, D]` @param weight `[K, D]`
 * @param targets `[…, K]`, whose leading dimensions broadcast to those of `z`. @returns `[…]`
 */
export function prototypeCrossEntropy(
  z: Tensor,
  weight: Tensor,
  targets: Tensor,
  { temperature, mass = 1 }: CrossEntropyOptions,
): Tensor {
  const [prototypes, width] = weight.shape as [number, number];
  const lead = z.shape.slice(0, -1);
  const logits = matmul(z, weight, { transposeB: true, scale: 1 / temperature });
  const logProbabilities = logSoftmax(logits);
  const product = matmul(
    reshape(targets, [...targets.shape.slice(0, -1), 1, prototypes]),
    reshape(logProbabilities, [...lead, prototypes, 1]),
    { scale: -1 },
  );
  const entropies = squeeze(squeeze(product, -1), -1);
  const [result] = customVjp([z, weight], [entropies], (_, __, [g]) => {
    if (!g) return [];
    const error = sub(exp(logProbabilities), mul(targets, 1 / mass));
    const scaled = mul(reshape(g, [...lead, 1]), mass / temperature);
    const rows = (x: Tensor, columns: number): Tensor => reshape(x, [-1, columns]);
    return [
      mul(matmul(error, weight), scaled),
      matmul(rows(error, prototypes), rows(mul(z, scaled), width), { transposeA: true }),
    ];
  });
  return result as Tensor;
}
