/** @file The feed-forward part of a transformer block. */

import {
  at,
  customVjp,
  gelu,
  geluAgain,
  mul,
  sigmoid,
  split,
  stopGradient,
  type Tensor,
  vjp,
} from "../graph/index.js";
import {
  type Linear,
  type LinearOptions,
  linear,
  linearParameters,
  normLinear,
  type PreNorm,
} from "./linear.js";
import type { ParameterSpec } from "./parameter.js";

/** Two linear layers; for SwiGLU the first gives gate and value side by side. */
export interface Mlp<Leaf> {
  readonly fc1: Linear<Leaf>;
  readonly fc2: Linear<Leaf>;
}

export function mlpParameters(
  features: number,
  hidden: number,
  options: LinearOptions = {},
): Mlp<ParameterSpec> {
  return {
    fc1: linearParameters(features, hidden, options),
    fc2: linearParameters(hidden, features, options),
  };
}

/** fc2(GELU(fc1(x))). @param x `[…, D]` @param norm The layer norm of `x`, where it has not been applied yet. */
export function mlp({ fc1, fc2 }: Mlp<Tensor>, x: Tensor, norm?: PreNorm): Tensor {
  return geluLinear(fc2, norm ? normLinear(norm, fc1, x) : linear(fc1, x));
}

/**
 * linear(layer, GELU(h)). Its backward pass computes GELU(h) again, which costs one pass over it as the derivative needs
 * the error function anyway: the widest activation of a block is kept once instead of twice.
 */
function geluLinear(layer: Linear<Tensor>, h: Tensor): Tensor {
  const { weight, bias } = layer;
  const [y] = customVjp([h, weight, ...(bias ? [bias] : [])], [linear(layer, gelu(h))], (_, __, [g]) => {
    if (!g) return [];
    const { value, pullBack } = geluAgain(h);
    const held = stopGradient(value);
    const [gValue, ...gLayer] = vjp([linear(layer, held)], [g], [held, weight, ...(bias ? [bias] : [])]);
    return [pullBack(gValue as Tensor), ...gLayer];
  });
  return y as Tensor;
}

export function swigluParameters(
  features: number,
  hidden: number,
  options: LinearOptions = {},
): Mlp<ParameterSpec> {
  return {
    fc1: linearParameters(features, 2 * hidden, options),
    fc2: linearParameters(hidden, features, options),
  };
}

/** DINOv2's hidden width of a SwiGLU in place of an MLP of `hidden` units: two thirds, rounded up to a multiple of 8. */
export function swigluHidden(hidden: number): number {
  return Math.ceil(Math.floor((hidden * 2) / 3) / 8) * 8;
}

/** fc2(silu(gate) * value) with [gate | value] = fc1(x) (Shazeer 2020). Arguments as `mlp`. */
export function swiglu({ fc1, fc2 }: Mlp<Tensor>, x: Tensor, norm?: PreNorm): Tensor {
  const hidden = at(fc2.weight.shape, 1);
  const [gate, value] = split(norm ? normLinear(norm, fc1, x) : linear(fc1, x), -1, [hidden, hidden]) as [
    Tensor,
    Tensor,
  ];
  return linear(fc2, mul(mul(gate, sigmoid(gate)), value));
}
