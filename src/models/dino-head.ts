/**
 * @file The projection head of the DINO family: an MLP to a narrow bottleneck, brought to length 1, then a
 * weight-normalised linear layer whose rows are prototypes (Caron et al. 2021, appendix C; iBOT models/head.py;
 * dinov2/layers/dino_head.py). The two halves are separate functions: a loss may need logits of some prototypes only,
 * and the mean of logits is the last layer of the mean bottleneck.
 */

import { at, div, gelu, mul, sqrt, square, sum, type Tensor } from "../graph/index.js";
import {
  constantInitializer,
  kaimingUniformInitializer,
  type Linear,
  l2Normalize,
  linear,
  linearParameters,
  onesInitializer,
  type ParameterSpec,
  parameter,
  truncatedNormalInitializer,
} from "../nn/index.js";

/** Flattened names are the official ones: `mlp.0.weight`, `mlp.2.weight`, `last_layer.weight_g`. */
export interface DinoHead<Leaf> {
  /** The linear layers by their place among the activations: 0, 2, 4. */
  readonly mlp: Readonly<Record<string, Linear<Leaf>>>;
  readonly last_layer: PrototypeLayer<Leaf>;
}

/** A linear layer without bias, W = weight_g weight_v / |weight_v| row by row (Salimans & Kingma 2016). */
export interface PrototypeLayer<Leaf> {
  /** `[K, 1]`: the lengths of the prototypes; none where they are fixed at 1. */
  readonly weight_g?: Leaf;
  /** `[K, bottleneck]` */
  readonly weight_v: Leaf;
}

export interface DinoHeadOptions {
  readonly inputDim: number;
  /** Default 2048. */
  readonly hiddenDim?: number;
  /** Default 256. */
  readonly bottleneckDim?: number;
  /** K, the number of prototypes. */
  readonly outputDim: number;
  /** Linear layers before the last (default 3). */
  readonly layers?: number;
  /** Whether the prototypes have length 1 for good, instead of a trained one (default false). */
  readonly normLastLayer?: boolean;
}

/** @throws RangeError for fewer than two layers. */
export function dinoHeadParameters(options: DinoHeadOptions): DinoHead<ParameterSpec> {
  const { inputDim, hiddenDim = 2048, bottleneckDim = 256, outputDim, layers = 3 } = options;
  if (layers < 2) throw new RangeError(`a DINO head needs at least 2 layers before the last, got ${layers}`);
  const widths = [inputDim, ...Array.from({ length: layers - 1 }, () => hiddenDim), bottleneckDim];
  const start = { initializer: truncatedNormalInitializer(0.02), biasInitializer: constantInitializer(0) };
  return {
    mlp: Object.fromEntries(
      widths.slice(1).map((width, i) => [`${2 * i}`, linearParameters(at(widths, i), width, start)]),
    ),
    last_layer: {
      ...(options.normLastLayer ? {} : { weight_g: parameter([outputDim, 1], onesInitializer) }),
      // PyTorch's default of a linear layer: the official initialisation does not reach this one.
      weight_v: parameter([outputDim, bottleneckDim], kaimingUniformInitializer),
    },
  };
}

/** The unit vectors before the last layer. @param x `[…, in]` @returns `[…, bottleneck]` */
export function dinoBottleneck({ mlp }: Pick<DinoHead<Tensor>, "mlp">, x: Tensor): Tensor {
  const [first, ...rest] = Object.values(mlp);
  if (!first) throw new RangeError("dinoBottleneck: the head has no layers");
  return l2Normalize(rest.reduce((hidden, layer) => linear(layer, gelu(hidden)), linear(first, x)));
}

/**
 * The last layer's weight, `[K, bottleneck]`. Logits are products with it: `matmul(z, weight, { transposeB: true })`.
 * To be computed once for all products of a step.
 */
export function prototypes({ weight_g, weight_v }: PrototypeLayer<Tensor>): Tensor {
  if (!weight_g) return l2Normalize(weight_v);
  const length = sqrt(sum(square(weight_v), [1], { keepDims: true }));
  return mul(weight_v, div(weight_g, length));
}
