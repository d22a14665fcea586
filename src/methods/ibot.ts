/**
 * @file iBOT (Zhou et al., ICLR 2022; bytedance/ibot, main_ibot.py): DINO on class tokens, and on the masked patches of
 * each global view the same task between the masked view of the student and the whole view of the teacher.
 *
 *   L = L_[CLS] + L_MIM,   L_MIM = mean over views of mean over masked patches i of -sum P_t(u_i) log P_s(û_i)   (eq. 2, 3)
 *
 * The head, its prototypes included, is the same for class token and patches; each kind has its own centre.
 */

import { z } from "zod";
import { mean, reshape, split, type Tensor, transpose } from "../graph/index.js";
import {
  patchCount,
  type VisionTransformer,
  type VisionTransformerConfig,
  visionTransformerParameters,
} from "../models/index.js";
import type { ParameterSpec } from "../nn/index.js";
import { blockAspect, type IbotMaskOptions, ibotCapacity, ibotMasks } from "../transforms/index.js";
import { centredProbabilities } from "./losses/index.js";
import { checkMasks, type MaskedViews, maskDraw, maskedOnly, maskGrid } from "./masked-views.js";
import type { Method, MethodViews } from "./method.js";
import { cropDropPath, encodeCrops, multiCrop, multiCropViews } from "./multi-crop.js";
import {
  centreBuffer,
  classTokenLoss,
  entropy,
  inOnePass,
  lateLastLayer,
  maskedPatchLoss,
  nextCentre,
  selfDistillationOptions,
  teacherMomentum,
  teacherTemperature,
} from "./self-distillation.js";
import { dividedHead, lossPrototypes, type SplitHead, splitHeadParameters, splitSite } from "./split-head.js";

const share = z.number().min(0).lt(1);

export const ibotOptions = selfDistillationOptions.extend({
  outputDim: z.int().min(2).default(8192),
  /** Whether the prototypes have length 1 for good. */
  normLastLayer: z.boolean().default(false),
  classWeight: z.number().nonnegative().default(1),
  patchWeight: z.number().nonnegative().default(1),
  /** Shares of masked patches, of which each view picks one. */
  maskRatios: z.array(share).min(1).default([0, 0.3]),
  /** How far the share that is used may be from each. */
  maskRatioSpreads: z.array(share).min(1).default([0, 0.2]),
  /** Rectangles, or patches anywhere. */
  maskShape: z.enum(["block", "random"]).default("block"),
  /** Where the in-between task's channels are taken from; with the task, `head_logits` unless given. */
  site: splitSite.optional(),
  /** Channels of the linear layer at the site `pre_head_linear`. */
  width: z.int().positive().default(8192),
});
export type IbotOptions = z.output<typeof ibotOptions>;

export interface IbotParameters<Leaf> extends SplitHead<Leaf> {
  encoder: VisionTransformer<Leaf>;
}

/** @throws RangeError when masks or reserved channels do not fit. */
export function ibot(
  encoder: VisionTransformerConfig,
  views: MethodViews,
  options: IbotOptions,
  reserved = 0,
): Method<IbotParameters<ParameterSpec>, IbotParameters<ParameterSpec>> {
  const splitOptions = {
    ...options,
    site: options.site ?? (reserved > 0 ? ("head_logits" as const) : undefined),
    reserved,
  };
  const parameters: IbotParameters<ParameterSpec> = {
    encoder: visionTransformerParameters(encoder),
    ...splitHeadParameters(encoder.embedDim, splitOptions),
  };
  const centre = centreBuffer(lossPrototypes(splitOptions));
  const grid = maskGrid(encoder);
  const maskOptions = maskOptionsOf(options);
  checkMasks(grid, ratioRange(maskOptions));
  return {
    title: "iBOT",
    views: multiCropViews(views),
    draws: {
      ...cropDropPath(encoder, views),
      masks: maskDraw(encoder, {
        capacity: (count) => ibotCapacity(grid, count, maskOptions),
        masks: (random, count) => ibotMasks(random, grid, count, maskOptions),
      }),
    },
    parameters,
    teacher: { parameters, momentum: teacherMomentum(options) },
    ...lateLastLayer(options, "skipped"),
    evaluated: { weights: "teacher", feature: "cls" },
    schedules: { teacherTemperature: teacherTemperature(options, "epoch") },
    buffers: { centre, patchCentre: centre },
    minimumBatch: 1,

    encode({ parameters: student, teacher, views: images, draws, buffers, scalars }) {
      const crops = multiCrop(images, views);
      const masks = draws.masks as unknown as MaskedViews;
      const taught = encodeCrops(teacher.encoder, encoder, { ...crops, local: undefined });
      const learned = encodeCrops(student.encoder, encoder, crops, {
        mask: masks.mask,
        dropPath: draws.dropPath,
      });
      const batch = taught.global.shape[1] as number;

      // The teacher's head sees all patches: the centre is the mean over them, masked or not.
      const ofTeacher = dividedHead(teacher, reserved);
      const [taughtClass, taughtPatches] = inOnePass(ofTeacher.bottleneck, [
        taught.global,
        taught.patches,
      ]) as [Tensor, Tensor];
      const temperature = scalars.teacherTemperature as Tensor;
      const classTargets = centredProbabilities(taughtClass, ofTeacher.weight, {
        centre: buffers.centre as Tensor,
        temperature,
      });
      const patchTargets = centredProbabilities(maskedOnly(taughtPatches, masks), ofTeacher.weight, {
        centre: buffers.patchCentre as Tensor,
        temperature,
      });

      // The student's only those that a loss needs.
      const ofStudent = dividedHead(student, reserved);
      const { needsAllPatches } = ofStudent;
      const [global, local, patches] = inOnePass(ofStudent.bottleneck, [
        learned.global,
        learned.local,
        needsAllPatches ? learned.patches : maskedOnly(learned.patches, masks),
      ]) as [Tensor, Tensor | undefined, Tensor];
      const { studentTemperature } = options;
      const cls = classTokenLoss({ global, local }, ofStudent.weight, classTargets, studentTemperature);
      const patch = maskedPatchLoss(
        needsAllPatches ? maskedOnly(patches, masks) : patches,
        ofStudent.weight,
        patchTargets,
        { share: masks.share, views: 2 * batch, studentTemperature },
      );
      const equivariant =
        reserved > 0
          ? reshape(ofStudent.reserved(learned.patches, patches), [2 * batch, patchCount(encoder), reserved])
          : undefined;
      return {
        features: {
          cls: transpose(learned.global, [1, 0, 2]),
          teacher: mean(taughtClass, [0]),
          teacherPatches: mean(
            reshape(taughtPatches, [2, batch, patchCount(encoder), options.bottleneckDim]),
            [0, 2],
          ),
          teacherEntropy: mean(entropy(classTargets), [0]),
        },
        losses: {
          cls: { value: cls, weight: options.classWeight },
          patch: { value: patch, weight: options.patchWeight },
        },
        ...(equivariant
          ? { equivariant: split(equivariant, 0, [batch, batch]) as unknown as [Tensor, Tensor] }
          : {}),
      };
    },

    objective({ teacher, features, buffers }) {
      const { weight } = dividedHead(teacher, reserved);
      const next = (buffer: string, feature: string): Tensor =>
        nextCentre(
          buffers[buffer] as Tensor,
          mean(features[feature] as Tensor, [0]),
          weight,
          options.centreMomentum,
        );
      return {
        losses: {},
        buffers: { centre: next("centre", "teacher"), patchCentre: next("patchCentre", "teacherPatches") },
        metrics: { teacherEntropy: mean(features.teacherEntropy as Tensor) },
      };
    },
  };
}

/** @throws RangeError when there is not one spread for each ratio. */
function maskOptionsOf({ maskRatios, maskRatioSpreads, maskShape }: IbotOptions): IbotMaskOptions {
  if (maskRatios.length !== maskRatioSpreads.length) {
    throw new RangeError(
      `there are ${maskRatios.length} "maskRatios" and ${maskRatioSpreads.length} "maskRatioSpreads"; ` +
        "give one spread for each ratio, 0 for none",
    );
  }
  return { ratios: maskRatios, ratioSpreads: maskRatioSpreads, aspect: blockAspect, shape: maskShape };
}

function ratioRange({ ratios, ratioSpreads }: IbotMaskOptions): [number, number] {
  const spreadOf = (i: number): number => ratioSpreads[i] ?? 0;
  return [
    Math.min(...ratios.map((ratio, i) => ratio - spreadOf(i))),
    Math.max(...ratios.map((ratio, i) => ratio + spreadOf(i))),
  ];
}
