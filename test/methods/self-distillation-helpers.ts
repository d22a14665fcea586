/** @file Steps of the DINO family on stored state and inputs, as training runs them. */

import type { Method } from "#src/methods/index.js";
import { makeMethod, methodSchema } from "#src/methods/index.js";
import type { VisionTransformerOptions } from "#src/models/index.js";
import { initialize } from "#src/nn/index.js";
import { mapValues, prefixed, unprefixed } from "#src/records.js";
import { Device, float32, float32Scalar, type HostValue, hostValue } from "#src/runtime/index.js";
import { cropsOf, GradientStep, parameterSpecs, stepInputs, teacherSpecs } from "#src/training/index.js";
import { packMasks, wholeImage } from "#src/transforms/index.js";
import type { StoredModel } from "../models/helpers.js";
import { get } from "../nn/helpers.js";
import { noise, plainViews, smallEncoder } from "./helpers.js";

export const LOCAL_SIZE = 8;
export const LOCALS = 3;

/** The two global views as they are, and three small ones. */
export const multiCropViews = {
  ...plainViews,
  local: { ...plainViews.global[0], name: "local", crop: wholeImage(LOCAL_SIZE), count: LOCALS },
};

export const smallHead = { hiddenDim: 20, bottleneckDim: 8, outputDim: 24 };

/** A method on a small encoder of two blocks. */
export function methodOf(
  options: Readonly<Record<string, unknown>>,
  encoder: Partial<VisionTransformerOptions> = {},
): Method {
  return makeMethod(methodSchema.parse(options), {
    encoder: smallEncoder({ depth: 2, maskToken: true, ...encoder }),
    views: multiCropViews,
    batchSize: 4,
    augmentation: "all",
  });
}

/** With a small head. */
export function smallMethod(
  options: Readonly<Record<string, unknown>>,
  encoder: Partial<VisionTransformerOptions> = {},
): Method {
  return methodOf({ ...smallHead, ...options }, encoder);
}

/** The first step of a run on random images. */
export function randomStep(method: Method, batch = 4): Promise<StepResult> {
  const length = { totalSteps: 10, stepsPerEpoch: 2 };
  const views = cropsOf(method).map(({ size }, i) =>
    Uint8Array.from(noise([batch, 3, size, size], i + 1).data, (value) => 255 * value),
  );
  const indices = Int32Array.from({ length: batch }, (_, i) => i);
  const inputs = stepInputs(
    method,
    { step: 0, epoch: 0, count: batch, indices, labels: undefined, views },
    { seed: 1, length },
  );
  const parameters = initialize<object>(method.parameters as never, 1);
  const state = {
    ...prefixed(parameters, "param/"),
    ...prefixed(
      mapValues(teacherSpecs(method), (_, name) => get(parameters, name)),
      "teacher/",
    ),
    ...prefixed(initialize<object>(method.buffers as never, 1), "buffer/"),
  };
  return gradientStep(method, state, inputs, { batch });
}

/** The inputs of a step on stored views and masks, for so many micro-batches. */
export function storedInputs(model: StoredModel, method: Method, accumulate = 1): Record<string, HostValue> {
  const levels = (name: string): HostValue => {
    const { shape, data } = model.get(name);
    return hostValue("uint8", Uint8Array.from(data), shape);
  };
  const temperature = model.config.teacherTemperature as number;
  return {
    ...Object.fromEntries(["v1", "u", "local"].map((name) => [`view/${name}`, levels(name)])),
    ...("masks" in method.draws ? prefixed(storedMasks(model, method, accumulate), "draw/masks/") : {}),
    "scalar/teacherTemperature": float32Scalar(temperature),
  };
}

/** Stored masks `[2, B, N]` as the method's draw would have packed them. */
function storedMasks(model: StoredModel, method: Method, accumulate: number): Record<string, HostValue> {
  const { shape, data } = model.get("mask");
  const [, batch, patches] = shape as [number, number, number];
  const size = batch / accumulate;
  const draw = get(method.draws, "masks");
  if (!("types" in draw)) throw new Error("masks are drawn for the batch");
  const room = draw.types(size).rows?.shape[0] as number;
  const parts = Array.from({ length: accumulate }, (_, part) => {
    const masks = [0, 1].flatMap((view) =>
      Array.from({ length: size }, (_, i) => {
        const first = (view * batch + part * size + i) * patches;
        return Uint8Array.from(data.subarray(first, first + patches));
      }),
    );
    return packMasks(masks, room);
  });
  const joined = (key: "mask" | "rows" | "weight"): number[] => parts.flatMap((part) => part[key]);
  return {
    mask: hostValue("bool", Uint8Array.from(joined("mask")), [2 * batch, patches]),
    rows: hostValue("int64", BigInt64Array.from(joined("rows"), BigInt), [accumulate * room]),
    share: float32(Float32Array.from(joined("weight")), [accumulate * room]),
  };
}

/** The state of a step: the student, the teacher and the centres as they are stored. */
export function storedState(model: StoredModel, method: Method): Record<string, HostValue> {
  const buffers = mapValues(method.buffers, (_, name) => model.get(name));
  return {
    ...prefixed(model.under("student."), "param/"),
    ...prefixed(model.under("teacher."), "teacher/"),
    ...prefixed(buffers, "buffer/"),
  };
}

/** What a step gave. */
export interface StepResult {
  readonly losses: Readonly<Record<string, number>>;
  readonly metrics: Readonly<Record<string, number>>;
  /** By parameter. */
  readonly gradients: Record<string, HostValue>;
}

/** Runs the gradient half of one step. */
export async function gradientStep(
  method: Method,
  state: Readonly<Record<string, HostValue>>,
  inputs: Readonly<Record<string, HostValue>>,
  { batch, accumulate = 1 }: { readonly batch: number; readonly accumulate?: number },
): Promise<StepResult> {
  await using device = await Device.open({ threads: 1 });
  await device.setState(state);
  const step = await GradientStep.compile(device, method, batch, accumulate);
  const { losses, metrics } = await step.run(inputs);
  const names = Object.keys(parameterSpecs(method)).map((name) => `grad/${name}`);
  return { losses, metrics, gradients: unprefixed(await device.getState(names), "grad/") };
}
