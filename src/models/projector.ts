/**
 * @file The multi-layer heads that losses see instead of the features: VICReg's and SIE's expander (facebookresearch/SIE,
 * src/models.py, Projector), SimCLR's and MoCo v2's projection heads, MoCo v3's projector and predictor.
 */

import { at, GraphError, mul, relu, type Tensor } from "../graph/index.js";
import {
  type Affine,
  affineParameters,
  batchNorm,
  type Linear,
  linear,
  linearParameters,
  onesInitializer,
  type ParameterSpec,
  parameter,
} from "../nn/index.js";

/** [Linear + BatchNorm + ReLU] for each hidden layer, then a linear layer; which has biases and norms, options say. */
export interface Projector<Leaf> {
  readonly hidden: readonly { readonly linear: Linear<Leaf>; readonly norm?: Affine<Leaf> }[];
  readonly last: Linear<Leaf>;
  /** `[out]`: factors of the normalised output, where it is normalised and scaled. */
  readonly scale?: Leaf;
}

export interface ProjectorOptions {
  /** Batch normalisation after each hidden linear layer (default true). */
  readonly hiddenNorm?: boolean;
  /** Bias of the hidden linear layers (default true). */
  readonly hiddenBias?: boolean;
  /** Bias of the last linear layer (default false). */
  readonly lastBias?: boolean;
  /**
   * Batch normalisation of the output: none (the default), without scale and shift (MoCo v3), or with a scale alone
   * (SimCLR's released code).
   */
  readonly outputNorm?: OutputNorm;
}

export type OutputNorm = "none" | "plain" | "scale";

/** Options by the head's published name. */
export const projectorStyles = {
  /** VICReg and SIE: the defaults. */
  expander: {},
  /** facebookresearch/moco, --mlp: Linear, ReLU, Linear, all with biases, no normalisation. */
  mocov2: { hiddenNorm: false, lastBias: true },
  /** facebookresearch/moco-v3, moco/builder.py: no bias anywhere, the output normalised without scale and shift. */
  mocov3: { hiddenBias: false, outputNorm: "plain" },
} as const satisfies Record<string, ProjectorOptions>;

/**
 * @param widths Input, hidden and output widths, e.g. [512, 2048, 2048, 2048].
 * @throws RangeError for fewer than two widths.
 */
export function projectorParameters(
  widths: readonly number[],
  { hiddenNorm = true, hiddenBias = true, lastBias = false, outputNorm = "none" }: ProjectorOptions = {},
): Projector<ParameterSpec> {
  if (widths.length < 2) {
    throw new RangeError(`a projector needs an input and an output width, got [${widths.join(", ")}]`);
  }
  const layers = widths.slice(1).map((output, i) => [at(widths, i), output] as const);
  const [lastInput, lastOutput] = at(layers, layers.length - 1);
  return {
    hidden: layers.slice(0, -1).map(([input, output]) => ({
      linear: linearParameters(input, output, { bias: hiddenBias }),
      ...(hiddenNorm ? { norm: affineParameters(output) } : {}),
    })),
    last: linearParameters(lastInput, lastOutput, { bias: lastBias }),
    ...(outputNorm === "scale" ? { scale: parameter([lastOutput], onesInitializer) } : {}),
  };
}

/**
 * @param x `[B, in]` @returns `[B, out]`
 * @param options Those that the parameters were made with.
 * @throws GraphError when the batch is a single sample: batch normalisation needs more.
 */
export function projector(
  p: Projector<Tensor>,
  x: Tensor,
  { outputNorm = "none" }: ProjectorOptions = {},
): Tensor {
  if (x.rank !== 2)
    throw new GraphError(`projector: expected features [B, D], got ${x}; pool or reshape them`);
  const hidden = p.hidden.reduce((h, layer) => {
    const product = linear(layer.linear, h);
    return relu(layer.norm ? batchNorm(layer.norm, product) : product);
  }, x);
  const output = linear(p.last, hidden);
  if (outputNorm === "none") return output;
  const normal = batchNorm(undefined, output);
  return p.scale ? mul(normal, p.scale) : normal;
}
