/** @file Layer normalisation and batch normalisation. */

import {
  add,
  at,
  div,
  GraphError,
  mean,
  mul,
  layerNorm as normalizeRows,
  reshape,
  sqrt,
  square,
  sub,
  type Tensor,
} from "../graph/index.js";
import { onesInitializer, zerosInitializer } from "./initializers.js";
import { type ParameterSpec, parameter } from "./parameter.js";

/** Scale and shift, `[D]` each. */
export interface Affine<Leaf> {
  readonly weight: Leaf;
  readonly bias: Leaf;
}

/** Scale 1 and shift 0. */
export function affineParameters(features: number): Affine<ParameterSpec> {
  return { weight: parameter([features], onesInitializer), bias: parameter([features], zerosInitializer) };
}

/** Layer normalisation over the last dimension (Ba et al. 2016). @param x `[…, D]` */
export function layerNorm({ weight, bias }: Affine<Tensor>, x: Tensor, epsilon = 1e-6): Tensor {
  return normalizeRows(x, weight, bias, epsilon);
}

/**
 * Batch normalisation by the statistics of this batch (Ioffe & Szegedy 2015), as PyTorch's in training mode:
 * biased variance, per channel over all other dimensions.
 * @param affine `undefined` for a normalisation without scale and shift.
 * @param x `[B, C]` or `[B, C, H, W]`
 * @throws GraphError when there is but one value per channel.
 */
export function batchNorm(affine: Affine<Tensor> | undefined, x: Tensor, epsilon = 1e-5): Tensor {
  const channels = at(x.shape, 1);
  if (x.size === channels) {
    throw new GraphError(`batchNorm: ${x} has one value per channel and so no variance; use a larger batch`);
  }
  const axes = x.shape.flatMap((_, axis) => (axis === 1 ? [] : [axis]));
  const perChannel = (tensor: Tensor) => reshape(tensor, [channels, ...axes.slice(1).map(() => 1)]);
  const centred = sub(x, mean(x, axes, { keepDims: true }));
  const std = sqrt(add(mean(square(centred), axes, { keepDims: true }), epsilon));
  if (!affine) return div(centred, std);
  // Scale and deviation are joined first: both are one number a channel.
  const scale = div(reshape(affine.weight, std.shape), std);
  return add(mul(centred, scale), perChannel(affine.bias));
}
