/**
 * @file The one interface of every pretraining method. A method says which views of an image it wants, which
 * parameters it trains, and how its losses come from the views, in two stages:
 *
 *   encode     per sample: the views go through the encoder; gives features, and losses that are means over samples
 *   objective  per batch: losses that couple samples (covariance, negatives, centring), from the features of all
 *
 * The two stages are one graph when a batch is processed at once. Under accumulation, features of all micro-batches
 * are computed first, the objective gives their cotangents, and each micro-batch is encoded again to propagate them
 * (gradient caching, Gao et al. 2021): the same gradient as the whole batch's, exactly.
 */

import type { Tensor } from "../graph/index.js";
import type { ParameterSpec, Schedule, TracedTree } from "../nn/index.js";
import type { CropSpec, RandomTransform } from "../transforms/index.js";

/** One view of every image: how the loader crops it and how the graph augments it. */
export interface ViewSpec {
  readonly name: string;
  readonly crop: CropSpec;
  /** Applied to the crop, `[B, 3, H, W]` in [0, 1]. */
  readonly augment: RandomTransform;
}

/** What `encode` is given. */
export interface EncodeInput<Spec extends object> {
  readonly parameters: TracedTree<Spec>;
  /** Augmented views by name, `[B, 3, H, W]` in [0, 1], not normalised. */
  readonly views: Readonly<Record<string, Tensor>>;
  /** The method's own random numbers: by draw, then by parameter, `[B, …]`. */
  readonly draws: Readonly<Record<string, Readonly<Record<string, Tensor>>>>;
  /** The method's scheduled scalars by name. */
  readonly scalars: Readonly<Record<string, Tensor>>;
}

/** A part of the loss: the total is the sum of weight times value over all parts. */
export interface LossTerm {
  /** Scalar, unweighted: what is logged. */
  readonly value: Tensor;
  readonly weight: number;
}

export type LossTerms = Readonly<Record<string, LossTerm>>;

export interface Encoded {
  /** What the objective needs of each sample, `[B, …]` by name. */
  readonly features: Readonly<Record<string, Tensor>>;
  /** Losses that are means over the samples. */
  readonly losses: LossTerms;
  /**
   * Patch representations of the two global views, `[B, N, width]`. The objective uses their first
   * `width - reserved` channels; a wrapping method may use the reserved ones.
   */
  readonly tokens: readonly [Tensor, Tensor];
  /** Pictures for the report, `[B, 3, H, W]` in [0, 1] by title; computed only when they are asked for. */
  readonly pictures?: Readonly<Record<string, Tensor>>;
  /** What trivial predictors score on a part of the loss: by the part, then by the predictor; scalars, likewise. */
  readonly baselines?: Readonly<Record<string, Readonly<Record<string, Tensor>>>>;
}

/** What `objective` is given. */
export interface ObjectiveInput<Spec extends object> {
  readonly parameters: TracedTree<Spec>;
  /** `Encoded.features` of the whole batch. */
  readonly features: Readonly<Record<string, Tensor>>;
  /** Values carried between steps (centres, queues) by name. */
  readonly buffers: Readonly<Record<string, Tensor>>;
  readonly scalars: Readonly<Record<string, Tensor>>;
}

export interface Objective {
  readonly losses: LossTerms;
  /** New values of buffers. */
  readonly buffers?: Readonly<Record<string, Tensor>>;
  /** Further scalars to log. */
  readonly metrics?: Readonly<Record<string, Tensor>>;
}

/** A pretraining method, made for one encoder and image size. */
export interface Method<Spec extends object = object> {
  /** As the paper's tables name it, e.g. `VICReg` or `Ours(VICReg, all, se2)`. */
  readonly title: string;
  readonly views: readonly ViewSpec[];
  /** Random numbers per sample beyond the views' own, drawn on the host. */
  readonly draws: Readonly<Record<string, RandomDraw>>;
  /** Trained parameters. `encoder` is the ViT that is evaluated and exported. */
  readonly parameters: Spec;
  /** Scalars that change by step (temperatures, momenta). */
  readonly schedules: Readonly<Record<string, Schedule>>;
  /** Initial values of buffers by name. */
  readonly buffers: Readonly<Record<string, ParameterSpec>>;
  /** The smallest batch for which the losses are defined. */
  readonly minimumBatch: number;
  encode(input: EncodeInput<Spec>): Encoded;
  objective(input: ObjectiveInput<Spec>): Objective;
}

/** A method's own random numbers: `shape` numbers a sample, drawn from the sample's stream. */
export type RandomDraw = Pick<RandomTransform, "parameters" | "draw">;
