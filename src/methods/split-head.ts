/**
 * @file The head of iBOT and DINOv2 where some channels of the patch representation are reserved for the in-between
 * task. The paper gives the widths (section 4.1: 2048 of 8192 for iBOT, 512 of 2048 for DINOv2) and leaves open what
 * has them; two readings are offered:
 *
 *   head_logits      the head's logits: the last `reserved` prototypes belong to the task, the loss sees the others
 *   pre_head_linear  a linear layer between encoder and head: the head sees its first `width - reserved` channels
 */

import { z } from "zod";
import { at, matmul, split, type Tensor } from "../graph/index.js";
import {
  type DinoHead,
  type DinoHeadOptions,
  dinoBottleneck,
  dinoHeadParameters,
  prototypes,
} from "../models/index.js";
import { type Linear, linear, linearParameters, type ParameterSpec } from "../nn/index.js";

export const splitSite = z.enum(["head_logits", "pre_head_linear"]);
export type SplitSite = z.output<typeof splitSite>;

export interface SplitHead<Leaf> {
  /** `[width, D]`, at the site `pre_head_linear`. */
  projection?: Linear<Leaf>;
  head: DinoHead<Leaf>;
}

export interface SplitOptions extends Omit<DinoHeadOptions, "inputDim"> {
  /** Neither when undefined: nothing is added to the method then, and nothing can be reserved. */
  readonly site: SplitSite | undefined;
  /** Channels of the linear layer at the site `pre_head_linear`. */
  readonly width: number;
  readonly reserved: number;
}

/**
 * The parameters of a head on features of `embedDim` channels.
 * @throws RangeError when the reserved channels leave nothing for the loss.
 */
export function splitHeadParameters(embedDim: number, options: SplitOptions): SplitHead<ParameterSpec> {
  const { site, width, reserved, outputDim } = options;
  const channels = site === "head_logits" ? outputDim : width;
  if (reserved > 0 && reserved >= channels) {
    throw new RangeError(
      `${reserved} equivariant channels leave nothing of the ${channels} for the loss; use fewer than ${channels}`,
    );
  }
  if (site !== "pre_head_linear") return { head: dinoHeadParameters({ ...options, inputDim: embedDim }) };
  return {
    projection: linearParameters(embedDim, width),
    head: dinoHeadParameters({ ...options, inputDim: width - reserved }),
  };
}

/** Prototypes that the loss uses. */
export function lossPrototypes({ site, reserved, outputDim }: SplitOptions): number {
  return site === "head_logits" ? outputDim - reserved : outputDim;
}

/** A head divided between the loss and the in-between task. */
export interface DividedHead {
  /** The prototypes of the loss, `[K, bottleneck]`. */
  readonly weight: Tensor;
  /** Whether the reserved channels are functions of the unit vectors, which are then needed for all patches. */
  readonly needsAllPatches: boolean;
  /** Unit vectors of the loss's channels of the linear layer, or of `x` itself. @param x `[…, D]` @returns `[…, bottleneck]` */
  bottleneck(x: Tensor): Tensor;
  /** The reserved channels. @param x `[…, D]` @param z Their unit vectors. @returns `[…, reserved]` */
  reserved(x: Tensor, z: Tensor): Tensor;
}

/** Divides a head whose last `reserved` channels are not the loss's. */
export function dividedHead({ projection, head }: SplitHead<Tensor>, reserved: number): DividedHead {
  const all = prototypes(head.last_layer);
  const bottleneck = (x: Tensor): Tensor => dinoBottleneck(head, x);
  if (projection) {
    const [own, others] = dividedLinear(projection, reserved);
    return {
      weight: all,
      needsAllPatches: false,
      bottleneck: (x) => bottleneck(linear(own, x)),
      reserved: (x) => linear(others, x),
    };
  }
  const [own, others] = divided(all, reserved);
  return {
    weight: own,
    needsAllPatches: reserved > 0,
    bottleneck,
    reserved: (_, z) => matmul(z, others, { transposeB: true }),
  };
}

/** The rows before the last `reserved`, and these; both the whole when none are reserved. */
function divided(rows: Tensor, reserved: number): [Tensor, Tensor] {
  if (reserved === 0) return [rows, rows];
  return split(rows, 0, [at(rows.shape, 0) - reserved, reserved]) as [Tensor, Tensor];
}

function dividedLinear({ weight, bias }: Linear<Tensor>, reserved: number): [Linear<Tensor>, Linear<Tensor>] {
  const [ofOwn, ofOthers] = divided(weight, reserved);
  const [ownBias, otherBias] = bias ? divided(bias, reserved) : [];
  return [
    { weight: ofOwn, ...(ownBias ? { bias: ownBias } : {}) },
    { weight: ofOthers, ...(otherBias ? { bias: otherBias } : {}) },
  ];
}
