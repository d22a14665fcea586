/**
 * @file SIE's predictor of transformed features (Garrido, Najman & LeCun, ICML 2023; facebookresearch/SIE,
 * src/hypernetwork.py): a hyper-network that makes a linear map of the features out of the transformation's parameters.
 */

import {
  add,
  at,
  concat,
  constant,
  GraphError,
  matmul,
  mul,
  relu,
  reshape,
  type Tensor,
} from "../graph/index.js";
import { type Linear, linear, linearParameters, type ParameterSpec, zerosInitializer } from "../nn/index.js";

/** The map W(z) with, where asked for, its shift b(z); both are linear in z, or in a deeper function of it. */
export interface EquivariantPredictor<Leaf> {
  /** Linear + ReLU, latent to latent, before the last layer. */
  readonly hidden: readonly Linear<Leaf>[];
  /** Weight `[e e, latent]`: row i e + j gives entry (i, j) of W. */
  readonly map: Linear<Leaf>;
  /** Weight `[e, latent]`. */
  readonly shift?: Linear<Leaf>;
}

export interface EquivariantPredictorOptions {
  /** Two hidden layers in the hyper-network (SIE's `deep`); default none. */
  readonly deep?: boolean;
  /** Biases of the hyper-network's layers (SIE's `bias-hypernet`); default none, so that W(0) = 0. */
  readonly bias?: boolean;
  /** Whether the prediction is shifted too (SIE's `bias-pred`); default not. */
  readonly biasPrediction?: boolean;
}

/**
 * Biases start at 0, so that W(z) starts as large as it does without them.
 * @param latent Numbers of a transformation. @param features Those that are predicted, e.
 */
export function equivariantPredictorParameters(
  latent: number,
  features: number,
  { deep = false, bias = false, biasPrediction = false }: EquivariantPredictorOptions = {},
): EquivariantPredictor<ParameterSpec> {
  const layer = (outputs: number) =>
    linearParameters(latent, outputs, { bias, biasInitializer: zerosInitializer });
  return {
    hidden: Array.from({ length: deep ? 2 : 0 }, () => layer(latent)),
    map: layer(features * features),
    ...(biasPrediction ? { shift: layer(features) } : {}),
  };
}

/**
 * W(z) x + b(z), per sample, without making the matrices W(z): as W is linear in its input,
 *
 *   (W(z) x)_i = sum_jl A_(i e + j) l x_j z_l,
 *
 * one product of the rows x ⊗ z, `[B, e latent]`, with A's memory read as `[e, e latent]`. SIE's code makes a matrix a
 * sample, `[B, e, e]`: 4 GB at its batch of 1024 and e = 1024, where these rows take 16 MB.
 * @param x `[B, e]` @param z `[B, latent]` @returns `[B, e]`
 * @throws GraphError when the shapes do not fit.
 */
export function equivariantPredictor(p: EquivariantPredictor<Tensor>, x: Tensor, z: Tensor): Tensor {
  const [batch, features] = x.shape as [number, number];
  const [entries, latent] = p.map.weight.shape as [number, number];
  if (x.rank !== 2 || entries !== features ** 2 || z.rank !== 2 || z.shape[0] !== batch) {
    throw new GraphError(
      `equivariantPredictor: expected features [B, ${Math.sqrt(entries)}] and parameters [B, ${latent}], got ${x}, ${z}`,
    );
  }
  const code = p.hidden.reduce((h, layer) => relu(linear(layer, h)), z);
  // A bias is one more parameter, whose value is always 1.
  const ones = constant(new Float32Array(batch).fill(1), [batch, 1], x.dtype);
  const { weight, bias } = p.map;
  const factors = bias ? concat([code, ones], 1) : code;
  const table = bias ? concat([weight, reshape(bias, [entries, 1])], 1) : weight;
  const width = at(factors.shape, 1);
  const outer = mul(reshape(x, [batch, features, 1]), reshape(factors, [batch, 1, width]));
  const product = matmul(
    reshape(outer, [batch, features * width]),
    reshape(table, [features, features * width]),
    { transposeB: true },
  );
  return p.shift ? add(product, linear(p.shift, code)) : product;
}
