/** @file LayerScale (Touvron et al. 2021, "Going deeper with image transformers"). */

import { mul, type Tensor } from "../graph/index.js";
import { constantInitializer } from "./initializers.js";
import { type ParameterSpec, parameter } from "./parameter.js";

export interface LayerScale<Leaf> {
  /** `[D]` */
  readonly gamma: Leaf;
}

export function layerScaleParameters(features: number, initial: number): LayerScale<ParameterSpec> {
  return { gamma: parameter([features], constantInitializer(initial)) };
}

/** x * gamma. @param x `[…, D]` */
export function layerScale({ gamma }: LayerScale<Tensor>, x: Tensor): Tensor {
  return mul(x, gamma);
}
