/** @file Linear layer. */

import {
  add,
  at,
  customVjp,
  GraphError,
  matmul,
  mean,
  mul,
  reshape,
  standardize,
  sub,
  type Tensor,
} from "../graph/index.js";
import { type Initializer, kaimingUniformInitializer, uniformInitializer } from "./initializers.js";
import type { Affine } from "./normalization.js";
import { type ParameterSpec, parameter } from "./parameter.js";

export interface Linear<Leaf> {
  /** `[out, in]` */
  readonly weight: Leaf;
  /** `[out]` */
  readonly bias?: Leaf;
}

export interface LinearOptions {
  /** Default true. */
  readonly bias?: boolean;
  /** Of the weight; the default is PyTorch's, uniform within 1 / sqrt(in). */
  readonly initializer?: Initializer;
  /** Of the bias; the default is PyTorch's, uniform within 1 / sqrt(in). */
  readonly biasInitializer?: Initializer;
}

export function linearParameters(
  inFeatures: number,
  outFeatures: number,
  {
    bias = true,
    initializer = kaimingUniformInitializer,
    biasInitializer = uniformInitializer(1 / Math.sqrt(inFeatures)),
  }: LinearOptions = {},
): Linear<ParameterSpec> {
  return {
    weight: parameter([outFeatures, inFeatures], initializer),
    ...(bias ? { bias: parameter([outFeatures], biasInitializer) } : {}),
  };
}

/**
 * x Wᵀ + b over the last dimension.
 * @param x `[…, in]` @returns `[…, out]`
 * @throws GraphError when the last dimension of `x` is not `in`.
 */
export function linear({ weight, bias }: Linear<Tensor>, x: Tensor): Tensor {
  const [outFeatures, inFeatures] = [at(weight.shape, 0), at(weight.shape, 1)];
  if (x.shape.at(-1) !== inFeatures) {
    throw new GraphError(`linear: the weight ${weight} takes ${inFeatures} features, got ${x}`);
  }
  // One matrix product over all rows, whatever the leading dimensions.
  const product = matmul(reshape(x, [-1, inFeatures]), weight, { transposeB: true });
  const result = bias ? add(product, bias) : product;
  return reshape(result, [...x.shape.slice(0, -1), outFeatures]);
}

/** The layer norm that stands before a linear layer. */
export interface PreNorm {
  readonly affine: Affine<Tensor>;
  readonly epsilon: number;
}

/**
 * `linear(layer, layerNorm(norm, x))`, with the norm's scale and shift moved into the layer, where they act on the
 * weight instead of on every row: with n the rows normalised to mean 0 and deviation 1,
 *
 *   (n * scale + shift) Wᵀ + b = n Vᵀ + (b + W shift),   V = W * scale, its rows less their means
 *
 * (n's rows have mean 0, so the means of V's rows do not matter). Rows of G V then have mean 0 too, which saves the
 * norm's backward pass one of its two projections.
 * @param x `[…, in]` @returns `[…, out]`
 */
export function normLinear(
  { affine, epsilon }: PreNorm,
  { weight, bias }: Linear<Tensor>,
  x: Tensor,
): Tensor {
  const { normal, inverseStd } = standardize(x, epsilon);
  const [rows] = customVjp([x], [normal], (_, __, [g]) => {
    if (!g) return [];
    const along = mean(mul(g, normal), [-1], { keepDims: true });
    return [mul(sub(g, mul(normal, along)), inverseStd)];
  });
  const scaled = mul(weight, affine.weight);
  const centred = sub(scaled, mean(scaled, [1], { keepDims: true }));
  const shift = reshape(matmul(weight, reshape(affine.bias, [-1, 1])), [-1]);
  return linear({ weight: centred, bias: bias ? add(bias, shift) : shift }, rows as Tensor);
}
