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

import type { DType, Tensor, TensorType } from "../graph/index.js";
import type { ParameterSpec, Schedule, TracedTree } from "../nn/index.js";
import type { RandomStream } from "../random.js";
import type { CropSpec, RandomTransform } from "../transforms/index.js";

/** One view of every image: how the loader crops it and how the graph augments it. */
export interface ViewSpec {
  readonly name: string;
  readonly crop: CropSpec;
  /** Applied to the crop, `[B, 3, H, W]` in [0, 1]. */
  readonly augment: RandomTransform;
  /** Crops of each image (default 1). The view then holds all of them, sample-major: `[B * count, 3, H, W]`. */
  readonly count?: number;
}

/** The views that a configuration offers; a method takes those it needs. */
export interface MethodViews {
  readonly global: readonly [ViewSpec, ViewSpec];
  /** Small crops (multi-crop, Caron et al. 2020). */
  readonly local?: ViewSpec;
}

/** What `encode` is given. */
export interface EncodeInput<Spec extends object, Teacher extends object = object> {
  readonly parameters: TracedTree<Spec>;
  /** The teacher's parameters, which get no gradient. */
  readonly teacher: TracedTree<Teacher>;
  /** Augmented views by name, `[B * count, 3, H, W]` in [0, 1], not normalised. */
  readonly views: Readonly<Record<string, Tensor>>;
  /** The method's own random numbers: by draw, then by parameter, `[B, …]`, or as a `BatchDraw` says. */
  readonly draws: Readonly<Record<string, Readonly<Record<string, Tensor>>>>;
  /** Values carried between steps, as they were before this step. */
  readonly buffers: Readonly<Record<string, Tensor>>;
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
  /**
   * What the objective needs of the samples, `[rows, …]` by name. Rows are usually samples; any number will do that is
   * the same for every micro-batch: under accumulation the objective sees those of all micro-batches, one after another.
   */
  readonly features: Readonly<Record<string, Tensor>>;
  /** Losses that are means over the samples. */
  readonly losses: LossTerms;
  /**
   * The reserved channels of the two global views' patch representations, `[B, N, reserved]` each: what the in-between
   * task is put on. Absent when none are reserved.
   */
  readonly equivariant?: readonly [Tensor, Tensor];
  /** Pictures for the report, `[B, 3, H, W]` in [0, 1] by title; computed only when they are asked for. */
  readonly pictures?: Readonly<Record<string, Tensor>>;
  /** What trivial predictors score on a part of the loss: by the part, then by the predictor; scalars, likewise. */
  readonly baselines?: Readonly<Record<string, Readonly<Record<string, Tensor>>>>;
}

/** What `objective` is given. */
export interface ObjectiveInput<Spec extends object, Teacher extends object = object> {
  readonly parameters: TracedTree<Spec>;
  readonly teacher: TracedTree<Teacher>;
  /** `Encoded.features` of the whole batch. */
  readonly features: Readonly<Record<string, Tensor>>;
  /** Values carried between steps (centres, queues) by name. */
  readonly buffers: Readonly<Record<string, Tensor>>;
  readonly scalars: Readonly<Record<string, Tensor>>;
}

export interface Objective {
  readonly losses: LossTerms;
  /** New values of buffers, which take effect with the update: not when the step's loss is not finite. */
  readonly buffers?: Readonly<Record<string, Tensor>>;
  /** Further scalars to log. */
  readonly metrics?: Readonly<Record<string, Tensor>>;
}

/** How long a run is: what schedules are made from. */
export interface RunLength {
  readonly totalSteps: number;
  readonly stepsPerEpoch: number;
}

/** A hyper-parameter that changes by step, once the run's length is known. */
export type MethodSchedule = (run: RunLength) => Schedule;

/**
 * A teacher: moving averages of some of the trained parameters, taken after every update of the optimiser,
 *
 *   teacher <- momentum teacher + (1 - momentum) student
 *
 * It starts as the student does. (Methods that average before they use the teacher do the same one step later: their
 * momentum of step i is this one's of step i - 1.)
 */
export interface Teacher<Spec extends object = object> {
  /** Subtrees of the method's parameters, under the same names: `{ encoder, head }`. */
  readonly parameters: Spec;
  readonly momentum: MethodSchedule;
}

/** Parameters that start to train later than the others. */
export interface LateParameters {
  /** Matches their names. */
  readonly names: RegExp;
  /** Passes over the data in which they stay as they are. */
  readonly epochs: number;
  /**
   * Until then they are skipped: no moments, no decay, and the optimiser's step count begins afterwards (iBOT, DINO);
   * or their learning rate is 0 while moments accumulate (DINOv2).
   */
  readonly meanwhile: "skipped" | "zeroRate";
}

/** The encoder to be evaluated and exported, and the feature that the loss saw. */
export interface Evaluated {
  readonly weights: "student" | "teacher";
  readonly feature: "cls" | "mean";
}

/** A pretraining method, made for one encoder and image size. */
export interface Method<Spec extends object = object, Averaged extends object = object> {
  /** As the paper's tables name it, e.g. `VICReg` or `Ours(VICReg, all, se2)`. */
  readonly title: string;
  readonly views: readonly ViewSpec[];
  /** Random numbers beyond the views' own, drawn on the host: per sample, or for a batch as a whole. */
  readonly draws: Readonly<Record<string, RandomDraw | BatchDraw>>;
  /** Trained parameters. `encoder` is the ViT that is evaluated and exported. */
  readonly parameters: Spec;
  /** Names of parameters that keep their initial values. */
  readonly frozen?: RegExp;
  readonly late?: LateParameters;
  readonly teacher?: Teacher<Averaged>;
  readonly evaluated: Evaluated;
  /** Scalars that change by step (temperatures), by the names under which `scalars` holds them. */
  readonly schedules: Readonly<Record<string, MethodSchedule>>;
  /** Initial values of buffers by name. */
  readonly buffers: Readonly<Record<string, ParameterSpec>>;
  /** The smallest batch for which the losses are defined. */
  readonly minimumBatch: number;
  encode(input: EncodeInput<Spec, Averaged>): Encoded;
  objective(input: ObjectiveInput<Spec, Averaged>): Objective;
}

/** A method's own random numbers: `shape` numbers a sample, drawn from the sample's stream. */
export type RandomDraw = Pick<RandomTransform, "parameters" | "draw">;

/**
 * Random numbers that are drawn for a batch as a whole (masks whose number is balanced over it). Under accumulation
 * each micro-batch is drawn by itself.
 */
export interface BatchDraw {
  /** The types for a batch of this size, by parameter name. The first dimension is divided among micro-batches. */
  types(batch: number): Readonly<Record<string, TensorType & { readonly dtype: DrawnType }>>;
  /** Row-major numbers by parameter name; booleans are 0 and 1. */
  drawBatch(random: RandomStream, batch: number): Readonly<Record<string, readonly number[]>>;
}

/** What can be drawn for a batch. */
export type DrawnType = Extract<DType, "float32" | "int64" | "bool">;
