/**
 * @file DINOv2 (Oquab et al., TMLR 2024; facebookresearch/dinov2, train/ssl_meta_arch.py): DINO on class tokens, iBOT
 * on masked patches, and KoLeo, which spreads the class tokens of a batch.
 *
 *   L = L_DINO + L_iBOT + 0.1 (KoLeo(cls of view 1) + KoLeo(cls of view 2))
 *
 * Unlike iBOT's: the number of masked patches is balanced over the batch, centres are those of masked patches alone,
 * the temperature changes in every step, and the last layer's moments accumulate while its rate is still 0. The
 * teacher's logits are centred, or normalised by Sinkhorn-Knopp, which couples the samples of the batch.
 */

import { z } from "zod";
import {
  add,
  cast,
  concat,
  div,
  greater,
  maximum,
  mean,
  mul,
  reshape,
  slice,
  split,
  sum,
  type Tensor,
  transpose,
} from "../graph/index.js";
import {
  type DinoHead,
  dinoHeadParameters,
  patchCount,
  type VisionTransformer,
  type VisionTransformerConfig,
  visionTransformerParameters,
} from "../models/index.js";
import type { ParameterSpec, TracedTree } from "../nn/index.js";
import { blockAspect, dinov2Capacity, dinov2Masks } from "../transforms/index.js";
import { centredProbabilities, koleo, sinkhornProbabilities } from "./losses/index.js";
import { checkMasks, type MaskedViews, maskDraw, maskedOnly, maskGrid } from "./masked-views.js";
import type { LossTerms, Method, MethodViews } from "./method.js";
import { cropDropPath, cropKeptSamples, encodeCrops, multiCrop, multiCropViews } from "./multi-crop.js";
import {
  centreBuffer,
  classTokenLoss,
  entropy,
  inOnePass,
  lateLastLayer,
  maskedPatchLoss,
  nextCentre,
  type StudentClasses,
  selfDistillationOptions,
  teacherMomentum,
  teacherTemperature,
} from "./self-distillation.js";
import {
  type DividedHead,
  dividedHead,
  lossPrototypes,
  type SplitHead,
  splitHeadParameters,
  splitSite,
} from "./split-head.js";

const share = z.number().min(0).lt(1);

export const dinov2Options = selfDistillationOptions.extend({
  teacherMomentum: z.number().min(0).max(1).default(0.992),
  /** How the teacher is kept from collapsing: the short recipe's centres, or the long ones' Sinkhorn-Knopp. */
  centring: z.enum(["centering", "sinkhorn_knopp"]).default("centering"),
  /** Prototypes of a head of their own for patches; one head serves both when omitted. */
  patchOutputDim: z.int().min(2).optional(),
  classWeight: z.number().nonnegative().default(1),
  patchWeight: z.number().nonnegative().default(1),
  koleoWeight: z.number().nonnegative().default(0.1),
  /** Share of the global views that are masked. */
  maskProbability: z.number().positive().max(1).default(0.5),
  /** Lowest and highest share of masked patches of a masked view. */
  maskRatio: z.tuple([share, share]).default([0.1, 0.5]),
  /** Where the in-between task's channels are taken from; with the task, `pre_head_linear` unless given. */
  site: splitSite.optional(),
  /** Channels of the linear layer at the site `pre_head_linear`. */
  width: z.int().positive().default(2048),
});
export type Dinov2Options = z.output<typeof dinov2Options>;

export interface Dinov2Parameters<Leaf> extends SplitHead<Leaf> {
  encoder: VisionTransformer<Leaf>;
  /** On the same channels as `head`, where patches have their own. */
  patchHead?: DinoHead<Leaf>;
}

/** @throws RangeError when masks or reserved channels do not fit. */
export function dinov2(
  encoder: VisionTransformerConfig,
  views: MethodViews,
  options: Dinov2Options,
  reserved = 0,
): Method<Dinov2Parameters<ParameterSpec>, Dinov2Parameters<ParameterSpec>> {
  const { patchOutputDim, studentTemperature } = options;
  const usesCentres = options.centring === "centering";
  const site = options.site ?? (reserved > 0 ? ("pre_head_linear" as const) : undefined);
  const splitOptions = { ...options, site, reserved };
  if (site === "head_logits" && patchOutputDim !== undefined) {
    throw new RangeError(
      'the site "head_logits" divides the prototypes of the one head for class token and patches; leave out ' +
        '"patchOutputDim", or use the site "pre_head_linear"',
    );
  }
  const inputDim = site === "pre_head_linear" ? options.width - reserved : encoder.embedDim;
  const parameters: Dinov2Parameters<ParameterSpec> = {
    encoder: visionTransformerParameters(encoder),
    ...splitHeadParameters(encoder.embedDim, splitOptions),
    ...(patchOutputDim === undefined
      ? {}
      : { patchHead: dinoHeadParameters({ ...options, inputDim, outputDim: patchOutputDim }) }),
  };
  const prototypeCount = lossPrototypes(splitOptions);
  const grid = maskGrid(encoder);
  const masking = { probability: options.maskProbability, ratio: options.maskRatio, aspect: blockAspect };
  checkMasks(grid, options.maskRatio);

  /** The heads of class tokens and of patches. */
  const headsOf = (p: TracedTree<Dinov2Parameters<ParameterSpec>>): Heads => {
    const ofClass = dividedHead(p, reserved);
    if (!p.patchHead) return { ofClass, ofPatches: ofClass };
    const { projection } = p;
    const own = dividedHead({ head: p.patchHead, ...(projection ? { projection } : {}) }, reserved);
    return { ofClass, ofPatches: own };
  };

  const distillation = (student: Student, targets: Targets, heads: Heads, share: Tensor): LossTerms => {
    const cls = classTokenLoss(student, heads.ofClass.weight, targets.cls, studentTemperature);
    const patch = maskedPatchLoss(student.patches, heads.ofPatches.weight, targets.patches, {
      share,
      views: 2 * (student.global.shape[1] as number),
      studentTemperature,
    });
    return {
      cls: { value: cls, weight: options.classWeight },
      patch: { value: patch, weight: options.patchWeight },
    };
  };

  return {
    title: "DINOv2",
    views: multiCropViews(views),
    draws: {
      ...(skipsWholeSamples(encoder) ? cropKeptSamples(encoder, views) : cropDropPath(encoder, views)),
      masks: maskDraw(encoder, {
        capacity: (count) => dinov2Capacity(grid, count, masking),
        masks: (random, count) => dinov2Masks(random, grid, count, masking),
      }),
    },
    parameters,
    teacher: { parameters, momentum: teacherMomentum(options) },
    ...lateLastLayer(options, "zeroRate"),
    evaluated: { weights: "teacher", feature: "cls" },
    schedules: { teacherTemperature: teacherTemperature(options, "step") },
    buffers: usesCentres
      ? { centre: centreBuffer(prototypeCount), patchCentre: centreBuffer(patchOutputDim ?? prototypeCount) }
      : {},
    minimumBatch: options.koleoWeight > 0 ? 2 : 1,

    encode({ parameters: student, teacher, views: images, draws, buffers, scalars }) {
      const crops = multiCrop(images, views);
      const masks = draws.masks as unknown as MaskedViews;
      const taught = encodeCrops(teacher.encoder, encoder, { ...crops, local: undefined });
      const learned = encodeCrops(student.encoder, encoder, crops, {
        mask: masks.mask,
        dropPath: draws.dropPath,
        keptSamples: draws.keptSamples,
      });
      const batch = taught.global.shape[1] as number;

      const ofTeacher = headsOf(teacher);
      const [taughtClass, taughtPatches] = throughHeads(
        ofTeacher,
        [taught.global],
        maskedOnly(taught.patches, masks),
      ) as [Tensor, Tensor];
      const ofStudent = headsOf(student);
      const { needsAllPatches } = ofStudent.ofPatches;
      const shown = needsAllPatches ? learned.patches : maskedOnly(learned.patches, masks);
      const [global, local, all] = throughHeads(ofStudent, [learned.global, learned.local], shown) as [
        Tensor,
        Tensor | undefined,
        Tensor,
      ];
      const patches = needsAllPatches ? maskedOnly(all, masks) : all;

      const bySample = (x: Tensor): Tensor => transpose(x, [1, 0, 2]);
      const features = {
        cls: bySample(learned.global),
        teacher: bySample(taughtClass),
        teacherPatches: taughtPatches,
        share: masks.share,
      };
      const equivariant =
        reserved > 0
          ? split(
              reshape(ofStudent.ofPatches.reserved(learned.patches, all), [
                2 * batch,
                patchCount(encoder),
                reserved,
              ]),
              0,
              [batch, batch],
            )
          : undefined;
      const shared = equivariant ? { equivariant: equivariant as unknown as [Tensor, Tensor] } : {};
      if (!usesCentres) {
        const classes = local ? concat([bySample(global), local], 1) : bySample(global);
        return {
          features: { ...features, student: classes, studentPatches: patches },
          losses: {},
          ...shared,
        };
      }
      const temperature = scalars.teacherTemperature as Tensor;
      const targets: Targets = {
        cls: centredProbabilities(taughtClass, ofTeacher.ofClass.weight, {
          centre: buffers.centre as Tensor,
          temperature,
        }),
        patches: centredProbabilities(taughtPatches, ofTeacher.ofPatches.weight, {
          centre: buffers.patchCentre as Tensor,
          temperature,
        }),
      };
      return {
        features: { ...features, teacherEntropy: mean(entropy(targets.cls), [0]) },
        losses: distillation({ global, local, patches }, targets, ofStudent, masks.share),
        ...shared,
      };
    },

    objective({ parameters: student, teacher, features, buffers, scalars }) {
      const { cls, teacher: taught, teacherPatches, share } = features as unknown as Features;
      const spread: LossTerms =
        options.koleoWeight > 0 ? { koleo: { value: koleoOfViews(cls), weight: options.koleoWeight } } : {};
      const { ofClass, ofPatches } = headsOf(teacher);
      const present = cast(greater(share, 0), "float32");
      if (usesCentres) {
        const count = maximum(sum(present), 1);
        const meanOfPatches = div(sum(mul(teacherPatches, reshape(present, [-1, 1])), [0]), count);
        const { centreMomentum } = options;
        return {
          losses: spread,
          buffers: {
            centre: nextCentre(
              buffers.centre as Tensor,
              mean(taught, [0, 1]),
              ofClass.weight,
              centreMomentum,
            ),
            patchCentre: nextCentre(
              buffers.patchCentre as Tensor,
              meanOfPatches,
              ofPatches.weight,
              centreMomentum,
            ),
          },
          metrics: { teacherEntropy: mean(features.teacherEntropy as Tensor) },
        };
      }
      const temperature = scalars.teacherTemperature as Tensor;
      const byView = transpose(taught, [1, 0, 2]);
      const [, batch, width] = byView.shape as [number, number, number];
      const ofClasses = sinkhornProbabilities(reshape(byView, [2 * batch, width]), ofClass.weight, {
        temperature,
      });
      const targets: Targets = {
        cls: reshape(ofClasses, [2, batch, -1]),
        patches: sinkhornProbabilities(teacherPatches, ofPatches.weight, { temperature, present }),
      };
      const classes = features.student as Tensor;
      const crops: StudentClasses = {
        global: transpose(slice(classes, 1, 0, 2), [1, 0, 2]),
        local: (classes.shape[1] as number) > 2 ? slice(classes, 1, 2) : undefined,
      };
      return {
        losses: {
          ...distillation(
            { ...crops, patches: features.studentPatches as Tensor },
            targets,
            headsOf(student),
            share,
          ),
          ...spread,
        },
        metrics: { teacherEntropy: mean(entropy(ofClasses)) },
      };
    },
  };
}

/** Above this rate a fixed share of the batch skips a branch, at most at this rate each sample by itself. */
const LARGEST_RATE_BY_SAMPLE = 0.1;

/** The official kind of drop path, where one rate for all blocks makes the share the same. */
function skipsWholeSamples({ dropPath, dropPathGrowth }: VisionTransformerConfig): boolean {
  return dropPathGrowth === "uniform" && dropPath > LARGEST_RATE_BY_SAMPLE;
}

interface Heads {
  readonly ofClass: DividedHead;
  readonly ofPatches: DividedHead;
}

/** The student's unit vectors. */
interface Student extends StudentClasses {
  /** `[M, D]` */
  readonly patches: Tensor;
}

/** The teacher's probabilities. */
interface Targets {
  /** `[2, B, K]` */
  readonly cls: Tensor;
  /** `[M, K]` */
  readonly patches: Tensor;
}

/** What the objective is given. */
interface Features {
  /** Class tokens of the student's encoder, `[B, 2, D]`. */
  readonly cls: Tensor;
  /** Unit vectors of the teacher's class tokens, `[B, 2, D]`, and of its masked patches, `[M, D]`. */
  readonly teacher: Tensor;
  readonly teacherPatches: Tensor;
  /** `[M]` */
  readonly share: Tensor;
}

/** Unit vectors of class tokens and patches, in one pass where one head serves both. */
function throughHeads(
  { ofClass, ofPatches }: Heads,
  classes: readonly (Tensor | undefined)[],
  patches: Tensor,
): (Tensor | undefined)[] {
  if (ofClass === ofPatches) return inOnePass(ofClass.bottleneck, [...classes, patches]);
  return [...inOnePass(ofClass.bottleneck, classes), ofPatches.bottleneck(patches)];
}

/** @param cls `[B, 2, D]` */
function koleoOfViews(cls: Tensor): Tensor {
  const [first, second] = split(cls, 1, [1, 1]).map((view) =>
    koleo(reshape(view, [view.shape[0] as number, -1])),
  ) as [Tensor, Tensor];
  return add(first, second);
}
