/** @file The projector, also called expander, of VICReg and SIE (facebookresearch/SIE, src/models.py, Projector). */

import { at, GraphError, relu, type Tensor } from "../graph/index.js";
import {
  type Affine,
  affineParameters,
  batchNorm,
  type Linear,
  linear,
  linearParameters,
  type ParameterSpec,
} from "../nn/index.js";

/** [Linear + BatchNorm + ReLU] for each hidden layer, then a linear layer without bias. */
export interface Projector<Leaf> {
  readonly hidden: readonly { readonly linear: Linear<Leaf>; readonly norm: Affine<Leaf> }[];
  readonly last: Linear<Leaf>;
}

/**
 * @param widths Input, hidden and output widths, e.g. [512, 2048, 2048, 2048].
 * @throws RangeError for fewer than two widths.
 */
export function projectorParameters(widths: readonly number[]): Projector<ParameterSpec> {
  if (widths.length < 2) {
    throw new RangeError(`a projector needs an input and an output width, got [${widths.join(", ")}]`);
  }
  const layers = widths.slice(1).map((output, i) => [at(widths, i), output] as const);
  const [lastInput, lastOutput] = at(layers, layers.length - 1);
  return {
    hidden: layers.slice(0, -1).map(([input, output]) => ({
      linear: linearParameters(input, output),
      norm: affineParameters(output),
    })),
    last: linearParameters(lastInput, lastOutput, { bias: false }),
  };
}

/**
 * @param x `[B, in]` @returns `[B, out]`
 * @throws GraphError when the batch is a single sample: batch normalisation needs more.
 */
export function projector(p: Projector<Tensor>, x: Tensor): Tensor {
  if (x.rank !== 2)
    throw new GraphError(`projector: expected features [B, D], got ${x}; pool or reshape them`);
  const hidden = p.hidden.reduce((h, layer) => relu(batchNorm(layer.norm, linear(layer.linear, h))), x);
  return linear(p.last, hidden);
}
