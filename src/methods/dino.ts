/**
 * @file DINO (Caron et al., ICCV 2021; facebookresearch/dino, main_dino.py): the student's class tokens of all views
 * predict the teacher's of the two global ones.
 *
 *   P_s(v) = softmax(g_s(v) / tau_s)                          all views, global and local
 *   P_t(q) = softmax((g_t(q) - c) / tau_t)                    global views (eq. 1, with the centre of eq. 4)
 *   L = mean over pairs q, v != q of -sum P_t(q) log P_s(v)   (eq. 3)
 *   teacher <- moving average of the student;  c <- m c + (1 - m) mean g_t   (eq. 4)
 */

import { z } from "zod";
import { mean, type Tensor, transpose } from "../graph/index.js";
import {
  type DinoHead,
  dinoBottleneck,
  dinoHeadParameters,
  prototypes,
  type VisionTransformer,
  type VisionTransformerConfig,
  visionTransformerParameters,
} from "../models/index.js";
import type { ParameterSpec } from "../nn/index.js";
import { centredProbabilities } from "./losses/index.js";
import type { Method, MethodViews } from "./method.js";
import { cropDropPath, encodeCrops, multiCrop, multiCropViews } from "./multi-crop.js";
import {
  centreBuffer,
  classTokenLoss,
  entropy,
  inOnePass,
  lateLastLayer,
  nextCentre,
  selfDistillationOptions,
  teacherMomentum,
  teacherTemperature,
} from "./self-distillation.js";

export const dinoOptions = selfDistillationOptions.extend({
  /** Whether the prototypes have length 1 for good. */
  normLastLayer: z.boolean().default(false),
});
export type DinoOptions = z.output<typeof dinoOptions>;

export interface DinoParameters<Leaf> {
  encoder: VisionTransformer<Leaf>;
  head: DinoHead<Leaf>;
}

export function dino(
  encoder: VisionTransformerConfig,
  views: MethodViews,
  options: DinoOptions,
): Method<DinoParameters<ParameterSpec>, DinoParameters<ParameterSpec>> {
  const parameters: DinoParameters<ParameterSpec> = {
    encoder: visionTransformerParameters(encoder),
    head: dinoHeadParameters({ ...options, inputDim: encoder.embedDim }),
  };
  return {
    title: "DINO",
    views: multiCropViews(views),
    draws: cropDropPath(encoder, views),
    parameters,
    teacher: { parameters, momentum: teacherMomentum(options) },
    ...lateLastLayer(options, "skipped"),
    evaluated: { weights: "teacher", feature: "cls" },
    schedules: { teacherTemperature: teacherTemperature(options, "epoch") },
    buffers: { centre: centreBuffer(options.outputDim) },
    minimumBatch: 1,

    encode({ parameters: student, teacher, views: images, draws, buffers, scalars }) {
      const crops = multiCrop(images, views);
      const taught = encodeCrops(teacher.encoder, encoder, { ...crops, local: undefined });
      const learned = encodeCrops(student.encoder, encoder, crops, { dropPath: draws.dropPath });

      const ofTeacher = dinoBottleneck(teacher.head, taught.global);
      const targets = centredProbabilities(ofTeacher, prototypes(teacher.head.last_layer), {
        centre: buffers.centre as Tensor,
        temperature: scalars.teacherTemperature as Tensor,
      });
      const [global, local] = inOnePass(
        (rows) => dinoBottleneck(student.head, rows),
        [learned.global, learned.local],
      );
      const cls = classTokenLoss(
        { global: global as Tensor, local },
        prototypes(student.head.last_layer),
        targets,
        options.studentTemperature,
      );
      return {
        features: {
          cls: transpose(learned.global, [1, 0, 2]),
          teacher: mean(ofTeacher, [0]),
          teacherEntropy: mean(entropy(targets), [0]),
        },
        losses: { cls: { value: cls, weight: 1 } },
      };
    },

    objective({ teacher, features, buffers }) {
      return {
        losses: {},
        buffers: {
          centre: nextCentre(
            buffers.centre as Tensor,
            mean(features.teacher as Tensor, [0]),
            prototypes(teacher.head.last_layer),
            options.centreMomentum,
          ),
        },
        metrics: { teacherEntropy: mean(features.teacherEntropy as Tensor) },
      };
    },
  };
}
