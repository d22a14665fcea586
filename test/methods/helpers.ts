/** @file Small methods, and what their two stages give on one batch. */

import type { Tensor } from "#src/graph/index.js";
import type { LossTerms, Method, MethodViews, ViewSpec } from "#src/methods/index.js";
import { type VisionTransformerOptions, visionTransformerConfig } from "#src/models/index.js";
import { treeLike } from "#src/nn/index.js";
import { unprefixed } from "#src/records.js";
import type { HostValue } from "#src/runtime/index.js";
import { parameterSpecs } from "#src/training/index.js";
import { type RandomTransform, wholeImage } from "#src/transforms/index.js";
import type { Traced } from "../nn/helpers.js";

export const IMAGE_SIZE = 16;

export function smallEncoder(options: Partial<VisionTransformerOptions> = {}) {
  return visionTransformerConfig({
    imageSize: IMAGE_SIZE,
    patchSize: 4,
    embedDim: 16,
    depth: 1,
    numHeads: 2,
    ...options,
  });
}

const unchanged: RandomTransform = { parameters: {}, draw: () => ({}), apply: (images) => images };

/** Views named v1 and u that are the crops as they are. */
export const plainViews: MethodViews = { global: [view("v1"), view("u")] };

function view(name: string): ViewSpec {
  return { name, crop: wholeImage(IMAGE_SIZE), augment: unchanged };
}

/**
 * Traces both stages of a method.
 * @param inputs `v1` and `u` `[B, 3, H, W]`, the method's parameters by name, its teacher's by `teacher/` and name.
 */
export function traceStages(method: Method, inputs: Traced, draws: Readonly<Record<string, Traced>> = {}) {
  const parameters = treeLike(method.parameters, inputs);
  const teacher = treeLike(method.teacher?.parameters ?? {}, unprefixed(inputs, "teacher/"));
  const views = { v1: inputs.v1 as Tensor, u: inputs.u as Tensor };
  const shared = { parameters, teacher, buffers: {}, scalars: {} };
  const encoded = method.encode({ ...shared, views, draws });
  const objective = method.objective({ ...shared, features: encoded.features });
  return { encoded, objective, losses: { ...objective.losses, ...encoded.losses } as LossTerms };
}

/** Reproducible values in [0, 1). */
export function noise(shape: readonly number[], seed = 1): HostValue<"float32"> {
  let state = seed;
  const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  });
  return { dtype: "float32", shape, data };
}

/** Values for a method's parameters, in [-0.2, 0.2). */
export function someParameters(method: Method): Record<string, HostValue<"float32">> {
  const values = Object.entries(parameterSpecs(method)).map(([name, { shape }], i) => {
    const value = noise(shape, i + 1);
    return [name, { ...value, data: value.data.map((x) => 0.4 * (x - 0.5)) }];
  });
  return Object.fromEntries(values) as Record<string, HostValue<"float32">>;
}
