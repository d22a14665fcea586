/**
 * @file What methods on whole views share: views go through the encoder in one forward pass, patches through a linear
 * head (arXiv 2503.18753, section 4.1), and the tokens are pooled. The last channels may be reserved for another task.
 */

import { z } from "zod";
import { concat, mean, slice, split, type Tensor } from "../graph/index.js";
import {
  type VisionTransformer,
  type VisionTransformerConfig,
  visionTransformer,
  visionTransformerParameters,
} from "../models/index.js";
import {
  drawDropPath,
  dropPathRates,
  type Linear,
  linear,
  linearParameters,
  type ParameterSpec,
  type TracedTree,
} from "../nn/index.js";
import { normalize } from "../transforms/index.js";
import type { RandomDraw } from "./method.js";
import { poolOption } from "./options.js";

export const representationOptions = z.strictObject({
  /**
   * What is split into invariant and equivariant channels: a linear layer on the encoder's patches (paper section
   * 4.1), or the patches themselves.
   */
  site: z.enum(["linear", "encoder"]).default("linear"),
  /** Channels of the linear layer (paper section 4.1: 512); at site `encoder` the embedding's width is used. */
  width: z.int().positive().default(512),
  /** Which token the loss sees. */
  pool: poolOption.default("mean"),
});
export type RepresentationOptions = z.output<typeof representationOptions>;

export interface Represented<Leaf> {
  encoder: VisionTransformer<Leaf>;
  /** Patch features to the representation; absent where the features themselves are it. */
  head?: Linear<Leaf>;
}

/** The representations of some views. */
export interface Representations {
  /** `[B, width - reserved]` by view, pooled over the tokens. */
  readonly pooled: readonly Tensor[];
  /** The reserved channels of two views' patches, `[B, N, reserved]` each; absent when none are reserved. */
  readonly equivariant?: readonly [Tensor, Tensor];
}

export interface Representation {
  readonly parameters: Represented<ParameterSpec>;
  /** Channels in all, and those that are not reserved. */
  readonly width: number;
  readonly invariant: number;
  /** The draws of stochastic depth for as many views; none where nothing is dropped. */
  draws(views: number): Readonly<Record<string, RandomDraw>>;
  /**
   * @param views `[B, 3, H, W]` each, in [0, 1] @param draws The method's draws; nothing is dropped when omitted.
   */
  encode(
    parameters: TracedTree<Represented<ParameterSpec>>,
    views: readonly Tensor[],
    draws?: Readonly<Record<string, Readonly<Record<string, Tensor>>>>,
  ): Representations;
}

/**
 * @param reserved Channels of the representation, the last ones, that the loss leaves alone.
 * @throws RangeError when all channels are reserved, or the class token is asked of an encoder without one.
 */
export function representation(
  encoder: VisionTransformerConfig,
  options: RepresentationOptions,
  reserved = 0,
): Representation {
  const width = options.site === "linear" ? options.width : encoder.embedDim;
  if (reserved >= width) {
    throw new RangeError(
      `${reserved} equivariant channels leave nothing of the ${width} for the loss; use fewer than ${width}`,
    );
  }
  if (options.pool === "cls" && !encoder.classToken) {
    throw new RangeError('"method.pool" is cls, but the encoder has no class token; use pool mean');
  }
  const invariant = width - reserved;
  const rates = dropPathRates(encoder.dropPath, encoder.depth, encoder.dropPathGrowth);
  return {
    width,
    invariant,
    parameters: {
      encoder: visionTransformerParameters(encoder),
      ...(options.site === "linear" ? { head: linearParameters(encoder.embedDim, width) } : {}),
    },

    draws(views) {
      if (encoder.dropPath === 0) return {};
      const names = viewNames.slice(0, views);
      return {
        dropPath: {
          parameters: Object.fromEntries(names.map((name) => [name, [2 * encoder.depth]])),
          draw: (random) => Object.fromEntries(names.map((name) => [name, drawDropPath(rates, random)])),
        },
      };
    },

    encode(parameters, views, draws = {}) {
      const { dropPath } = draws;
      const factors = viewNames.slice(0, views.length).map((name) => dropPath?.[name] as Tensor);
      const { cls, patches } = visionTransformer(
        parameters.encoder,
        encoder,
        normalize(concat(views, 0)),
        dropPath ? { dropPath: concat(factors, 0) } : {},
      );
      const byView = (joint: Tensor) =>
        split(
          joint,
          0,
          views.map(({ shape }) => shape[0] as number),
        );
      // The head is linear: it is applied to the pooled token, and to patches only for the channels that are reserved.
      const represent = (x: Tensor, start: number, end: number): Tensor =>
        parameters.head ? linear(rows(parameters.head, start, end), x) : slice(x, -1, start, end);
      const token = options.pool === "cls" && cls ? cls : mean(patches, [1]);
      const pooled = represent(token, 0, invariant);
      if (reserved === 0) return { pooled: byView(pooled) };
      const [first, second] = byView(represent(patches, invariant, width)) as [Tensor, Tensor];
      return { pooled: byView(pooled), equivariant: [first, second] };
    },
  };
}

/** The outputs `start` to `end` of a linear layer. */
function rows({ weight, bias }: Linear<Tensor>, start: number, end: number): Linear<Tensor> {
  return { weight: slice(weight, 0, start, end), ...(bias ? { bias: slice(bias, 0, start, end) } : {}) };
}

/** Under which the draws of stochastic depth are kept. */
const viewNames = ["first", "second"] as const;
