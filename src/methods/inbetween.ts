/**
 * @file The paper's method: any two-view method on the invariant channels, and on the equivariant channels the
 * reconstruction of the in-between images of a transformation (arXiv 2503.18753 / AAAI-26, section 3).
 *
 *   v1 = A1(I),  u = A2(I),  v2 = g_theta(u)                           (eq. 1)
 *   u_k = g_{theta_k}(u),  theta_k = k theta / (K + 1),  k = 1..K      the in-between images
 *   z_i = [inv_i | equi_i]                                            split along channels
 *   û_k = D_k([equi_1 ; equi_2])                                      K independent decoders (eq. 2)
 *   L = L_SSL(inv_1, inv_2) + lambda mean_k MSE(û_k, u_k)              (eq. 3 and 4)
 */

import { z } from "zod";
import { add, concat, mean, mul, square, sub, type Tensor } from "../graph/index.js";
import { type Decoder, decoder, decoderParameters } from "../models/index.js";
import type { ParameterSpec } from "../nn/index.js";
import { denormalize, normalize, type Transformation } from "../transforms/index.js";
import type { Method, MethodViews } from "./method.js";

export const inbetweenOptions = z.strictObject({
  /** The transformation g that is interpolated. */
  transformation: z.enum(["rotation", "translation", "se2", "color", "blur"]).default("se2"),
  /** K, the number of in-between images (paper Table 7). */
  count: z.int().min(1).max(3).default(2),
  /** Also reconstruct v2 itself (paper Table 7, "2 + final"). */
  includeFinal: z.boolean().default(false),
  /** Weight of the reconstruction loss (paper section 4.5). */
  lambda: z.number().nonnegative().default(1),
  /** Equivariant channels of the representation (paper section 4.1: half for VICReg, a quarter for iBOT, DINOv2). */
  equivariantDim: z.int().positive(),
  /** Output channels of the decoder's linear layer and of its first three convolutions. */
  decoderWidths: z.array(z.int().positive()).length(4).default([256, 128, 64, 32]),
});
export type InbetweenOptions = z.output<typeof inbetweenOptions>;

export interface InbetweenParameters<Leaf> {
  decoders: Decoder<Leaf>[];
}

/** The base method's parameters with the decoders beside them, so that `encoder` is found where it always is. */
type WithDecoders<Base> = Base & InbetweenParameters<ParameterSpec>;

/**
 * A base method over the given views with `reserved` channels that its loss leaves alone, and which it returns as
 * `Encoded.equivariant`.
 */
export type BaseMethod<Base extends object, Averaged extends object> = (
  views: MethodViews,
  reserved: number,
) => Method<Base, Averaged>;

/** Transformations as the paper's tables abbreviate them. */
const paperNames: Readonly<Record<Transformation["name"], string>> = {
  rotation: "rot",
  translation: "trans",
  se2: "se2",
  color: "color",
  blur: "blur",
};

/**
 * `Ours(base, …)`: wraps a base method made by `makeBase`.
 * @param setting The encoder's patch size, and the name of the augmentations that make the views, for the title.
 */
export function inbetween<Base extends object, Averaged extends object>(
  makeBase: BaseMethod<Base, Averaged>,
  views: MethodViews,
  g: Transformation,
  { patchSize, augmentation }: { readonly patchSize: number; readonly augmentation: string },
  options: InbetweenOptions,
): Method<WithDecoders<Base>, Averaged> {
  const base = makeBase(views, options.equivariantDim);
  const [first, second] = views.global;
  const fractions = Array.from({ length: options.count }, (_, i) => (i + 1) / (options.count + 1));
  if (options.includeFinal) fractions.push(1);

  return {
    ...base,
    title: `Ours(${base.title}, ${augmentation}, ${paperNames[g.name]})`,
    draws: { ...base.draws, theta: g },
    parameters: {
      ...base.parameters,
      decoders: fractions.map(() =>
        decoderParameters({
          inputDim: 2 * options.equivariantDim,
          widths: options.decoderWidths,
          patchSize,
        }),
      ),
    },

    encode(input) {
      const { views: images, draws, parameters } = input;
      const u = images[second.name] as Tensor;
      const at = (fraction: number): Tensor => g.path(u, draws.theta ?? {}, fraction);
      const encoded = base.encode({ ...input, views: { ...images, [second.name]: at(1) } });
      if (!encoded.equivariant) throw new Error(`internal: ${base.title} gives no equivariant channels`);
      const both = concat(encoded.equivariant, 2);
      const targets = fractions.map(at);
      const reconstructions = parameters.decoders.map((weights) => decoder(weights, both));
      const errors = reconstructions.map((image, k) =>
        mean(square(sub(image, normalize(targets[k] as Tensor)))),
      );
      const reconstruction = mul(errors.reduce(add), 1 / errors.length);
      return {
        ...encoded,
        losses: { ...encoded.losses, reconstruction: { value: reconstruction, weight: options.lambda } },
        pictures: {
          v1: images[first.name] as Tensor,
          u,
          ...Object.fromEntries(targets.map((image, k) => [`target ${k + 1}`, image])),
          ...Object.fromEntries(
            reconstructions.map((image, k) => [`reconstruction ${k + 1}`, denormalize(image)]),
          ),
          v2: at(1),
        },
        baselines: { reconstruction: trivialErrors(targets.map(normalize), normalize(at(1))) },
      };
    },

    objective: (input) => base.objective(input),
  };
}

/** The errors of predicting v2 itself, and each target's mean colour. Inputs are normalised `[B, 3, H, W]`. */
function trivialErrors(targets: readonly Tensor[], v2: Tensor): Record<string, Tensor> {
  const average = (errors: readonly Tensor[]): Tensor => mul(errors.reduce(add), 1 / errors.length);
  const meanColour = (image: Tensor): Tensor => mean(image, [2, 3], { keepDims: true });
  return {
    "copy of view 2": average(targets.map((target) => mean(square(sub(v2, target))))),
    "mean colour": average(targets.map((target) => mean(square(sub(meanColour(target), target))))),
  };
}
