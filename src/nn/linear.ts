/** @file Linear layer. */

import { add, at, GraphError, matmul, reshape, type Tensor } from "../graph/index.js";
import { type Initializer, kaimingUniformInitializer, uniformInitializer } from "./initializers.js";
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
