/**
 * @file What the methods of the DINO family share: their options, the head on tokens of several kinds in one pass, the
 * cross-entropies between a teacher's views and a student's, centres, and schedules (Caron et al. 2021).
 */

import { z } from "zod";
import {
  add,
  at,
  concat,
  log,
  matmul,
  maximum,
  mul,
  neg,
  reshape,
  split,
  sum,
  type Tensor,
} from "../graph/index.js";
import {
  cosineSchedule,
  linearSchedule,
  type ParameterSpec,
  parameter,
  zerosInitializer,
} from "../nn/index.js";
import { prototypeCrossEntropy } from "./losses/index.js";
import type { LateParameters, MethodSchedule } from "./method.js";

const temperature = z
  .number()
  .positive(
    "a temperature above 0, as it divides the logits; 0.1 is usual for the student, 0.04 to 0.07 for the teacher",
  );
const momentum = z.number().min(0).max(1);
const epochs = z.number().nonnegative();

/** Options of all methods of the family; defaults are DINO's. */
export const selfDistillationOptions = z.strictObject({
  /** K, the number of prototypes. */
  outputDim: z.int().min(2).default(65536),
  /** Hidden units of the head. */
  hiddenDim: z.int().positive().default(2048),
  /** Width of the unit vectors that the prototypes are compared with. */
  bottleneckDim: z.int().positive().default(256),
  studentTemperature: temperature.default(0.1),
  teacherTemperature: temperature.default(0.07),
  /** The teacher's temperature at the start of its warm-up. */
  teacherTemperatureStart: temperature.default(0.04),
  /** Passes over the data in which it rises. */
  teacherTemperatureWarmup: epochs.default(30),
  /** Of the teacher's average at the start; it goes to 1 along a cosine. */
  teacherMomentum: momentum.default(0.996),
  /** Of the centre that is subtracted from the teacher's logits. */
  centreMomentum: momentum.default(0.9),
  /** Passes over the data in which the head's last layer stays as it is. */
  freezeLastLayer: epochs.default(1),
});
export type SelfDistillationOptions = z.output<typeof selfDistillationOptions>;

/** The momentum of the teacher's average (DINO, iBOT utils.py, cosine_scheduler). */
export function teacherMomentum({ teacherMomentum: base }: SelfDistillationOptions): MethodSchedule {
  return ({ totalSteps }) => cosineSchedule(base, 1, totalSteps);
}

/**
 * The teacher's temperature: rising linearly, then constant.
 * @param by It changes at the start of each epoch, the first and last of the warm-up having its two ends (DINO, iBOT),
 *   or in every step (DINOv2).
 */
export function teacherTemperature(
  options: Pick<
    SelfDistillationOptions,
    "teacherTemperature" | "teacherTemperatureStart" | "teacherTemperatureWarmup"
  >,
  by: "epoch" | "step",
): MethodSchedule {
  const {
    teacherTemperature: end,
    teacherTemperatureStart: start,
    teacherTemperatureWarmup: warmup,
  } = options;
  return ({ stepsPerEpoch }) => {
    if (by === "step") return linearSchedule(start, end, Math.round(warmup * stepsPerEpoch));
    const byEpoch = linearSchedule(start, end, Math.round(warmup));
    return (step) => byEpoch(Math.floor(step / stepsPerEpoch));
  };
}

/** The head's last layer starts late. */
export function lateLastLayer(
  { freezeLastLayer }: SelfDistillationOptions,
  meanwhile: LateParameters["meanwhile"],
): { late?: LateParameters } {
  if (freezeLastLayer === 0) return {};
  return { late: { names: /(^|\.)last_layer\./, epochs: freezeLastLayer, meanwhile } };
}

/** A centre of K logits, which starts at 0. */
export function centreBuffer(prototypes: number): ParameterSpec {
  return parameter([prototypes], zerosInitializer);
}

/**
 * centre <- momentum centre + (1 - momentum) mean of the teacher's logits. The layer between is linear, so the mean of
 * logits is the logits of the mean.
 * @param meanOfTeacher Of the teacher's unit vectors, `[D]`. @param weight The teacher's prototypes, `[K, D]`.
 */
export function nextCentre(centre: Tensor, meanOfTeacher: Tensor, weight: Tensor, momentum: number): Tensor {
  const logits = matmul(reshape(meanOfTeacher, [1, -1]), weight, { transposeB: true });
  return add(mul(centre, momentum), mul(reshape(logits, centre.shape), 1 - momentum));
}

/**
 * A function of rows, applied to several tensors at once.
 * @param parts `[…, in]` each @returns `[…, out]` each
 */
export function inOnePass<Part extends Tensor | undefined>(
  fn: (rows: Tensor) => Tensor,
  parts: readonly Part[],
): Part[] {
  const present = parts.filter((part): part is Part & Tensor => part !== undefined);
  const width = (x: Tensor): number => at(x.shape, x.rank - 1);
  const rows = present.map((part) => reshape(part, [-1, width(part)]));
  const output = fn(concat(rows, 0));
  const pieces = split(
    output,
    0,
    rows.map((part) => at(part.shape, 0)),
  );
  let next = 0;
  return parts.map((part) => {
    if (part === undefined) return part;
    return reshape(at(pieces, next++), [...part.shape.slice(0, -1), width(output)]) as Part;
  });
}

/** Unit vectors of the student's class tokens. */
export interface StudentClasses {
  /** `[2, B, D]` */
  readonly global: Tensor;
  /** `[B, count, D]` */
  readonly local: Tensor | undefined;
}

/**
 * The mean cross-entropy over all pairs of a teacher's global view and another view of the student
 * (DINO eq. 3; main_dino.py, DINOLoss). The two teacher views that a local view is compared with are summed first:
 * one cross-entropy then serves both.
 * @param targets The teacher's probabilities, `[2, B, K]`. @param weight The student's prototypes, `[K, D]`.
 */
export function classTokenLoss(
  { global, local }: StudentClasses,
  weight: Tensor,
  targets: Tensor,
  studentTemperature: number,
): Tensor {
  const [, batch, prototypes] = targets.shape as [number, number, number];
  const [first, second] = split(global, 0, [1, 1]) as [Tensor, Tensor];
  const exchanged = concat([second, first], 0);
  const ofGlobals = sum(
    prototypeCrossEntropy(exchanged, weight, targets, { temperature: studentTemperature }),
  );
  if (!local) return mul(ofGlobals, 1 / (2 * batch));
  const count = at(local.shape, 1);
  const both = reshape(sum(targets, [0]), [batch, 1, prototypes]);
  const ofLocals = sum(
    prototypeCrossEntropy(local, weight, both, { temperature: studentTemperature, mass: 2 }),
  );
  return mul(add(ofGlobals, ofLocals), 1 / ((2 + 2 * count) * batch));
}

/**
 * The mean over global views of the mean cross-entropy of their masked patches; a view without any counts as 0
 * (iBOT main_ibot.py, iBOTLoss; dinov2/loss/ibot_patch_loss.py).
 * @param z Unit vectors of masked patches, `[M, D]`. @param targets `[M, K]`
 * @param share `[M]`: 1 over the masked patches of the same view, 0 for padding. @param views 2 B
 */
export function maskedPatchLoss(
  z: Tensor,
  weight: Tensor,
  targets: Tensor,
  { share, views, studentTemperature }: { share: Tensor; views: number; studentTemperature: number },
): Tensor {
  const entropies = prototypeCrossEntropy(z, weight, targets, { temperature: studentTemperature });
  return mul(sum(mul(entropies, share)), 1 / views);
}

/**
 * How undecided the teacher is: the entropy of its probabilities in nats, from 0 (one prototype for each sample) to
 * ln K (all alike: a collapse).
 * @param targets Probabilities, `[…, K]`. @returns `[…]`
 */
export function entropy(targets: Tensor): Tensor {
  // 0 log 0 is 0: the floor keeps the logarithm finite and does not show.
  return neg(sum(mul(targets, log(maximum(targets, 1e-30))), [targets.rank - 1]));
}
