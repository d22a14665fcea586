/** @file Convolution and transposed convolution layers. */

import {
  add,
  at,
  conv2d as convolve,
  convTranspose2d as convolveTransposed,
  reshape,
  type Tensor,
} from "../graph/index.js";
import { fansOf, type Initializer, uniformInitializer } from "./initializers.js";
import { type ParameterSpec, parameter } from "./parameter.js";

export interface Conv2d<Leaf> {
  /** `[out, in / groups, kernel, kernel]`; transposed: `[in, out / groups, kernel, kernel]` */
  readonly weight: Leaf;
  /** `[out]` */
  readonly bias?: Leaf;
}

export interface Conv2dOptions {
  /** Default true. */
  readonly bias?: boolean;
  readonly groups?: number;
  /** Of the weight; the default is PyTorch's, uniform within 1 / sqrt(fanIn). */
  readonly initializer?: Initializer;
  /** Of the bias; the default is PyTorch's, uniform within 1 / sqrt(fanIn). */
  readonly biasInitializer?: Initializer;
}

function parametersFor(
  weightShape: readonly number[],
  channels: number,
  options: Conv2dOptions,
): Conv2d<ParameterSpec> {
  // PyTorch reads the fan-in off the second dimension, for transposed convolutions too.
  const usual = uniformInitializer(1 / Math.sqrt(fansOf(weightShape).fanIn));
  const { bias = true, initializer = usual, biasInitializer = usual } = options;
  return {
    weight: parameter(weightShape, initializer),
    ...(bias ? { bias: parameter([channels], biasInitializer) } : {}),
  };
}

/** A square kernel of `kernel` pixels. */
export function conv2dParameters(
  inChannels: number,
  outChannels: number,
  kernel: number,
  options: Conv2dOptions = {},
): Conv2d<ParameterSpec> {
  return parametersFor(
    [outChannels, inChannels / (options.groups ?? 1), kernel, kernel],
    outChannels,
    options,
  );
}

/** A square kernel of `kernel` pixels. */
export function convTranspose2dParameters(
  inChannels: number,
  outChannels: number,
  kernel: number,
  options: Conv2dOptions = {},
): Conv2d<ParameterSpec> {
  return parametersFor(
    [inChannels, outChannels / (options.groups ?? 1), kernel, kernel],
    outChannels,
    options,
  );
}

function withBias(x: Tensor, bias: Tensor | undefined): Tensor {
  return bias ? add(x, reshape(bias, [at(bias.shape, 0), 1, 1])) : x;
}

/** @param x `[B, in, H, W]` @returns `[B, out, H', W']` */
export function conv2d(
  { weight, bias }: Conv2d<Tensor>,
  x: Tensor,
  options: Parameters<typeof convolve>[2] = {},
): Tensor {
  return withBias(convolve(x, weight, options), bias);
}

/** @param x `[B, in, H, W]` @returns `[B, out, H', W']` */
export function convTranspose2d(
  { weight, bias }: Conv2d<Tensor>,
  x: Tensor,
  options: Parameters<typeof convolveTransposed>[2] = {},
): Tensor {
  return withBias(convolveTransposed(x, weight, options), bias);
}
