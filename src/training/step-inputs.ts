/** @file What a step is fed: the loader's crops, random numbers of the augmentations, and the step's scalars. */

import type { Batch } from "../data/index.js";
import type { TensorType } from "../graph/index.js";
import type { Method, RandomDraw } from "../methods/index.js";
import { randomStream } from "../random.js";
import { float32Scalar, type HostValue, hostValue } from "../runtime/index.js";
import { drawBatch } from "../transforms/index.js";

/** Values by program input name. */
export type StepInputs = Readonly<Record<string, HostValue>>;

export const viewName = (view: string): string => `view/${view}`;
export const drawName = (draw: string, parameter: string): string => `draw/${draw}/${parameter}`;
export const scalarName = (scalar: string): string => `scalar/${scalar}`;

/** All per-sample random numbers: of the views' augmentations (`augment.<view>`) and of the method's own. */
function drawsOf(method: Method): [name: string, draw: RandomDraw][] {
  const ofViews = method.views.map(({ name, augment }): [string, RandomDraw] => [`augment.${name}`, augment]);
  return [...ofViews, ...Object.entries(method.draws)];
}

/** The types of a step's inputs for `batch` samples. */
export function stepInputTypes(method: Method, batch: number): Record<string, TensorType> {
  const types: Record<string, TensorType> = {};
  for (const { name, crop } of method.views) {
    types[viewName(name)] = { dtype: "uint8", shape: [batch, 3, crop.size, crop.size] };
  }
  for (const [draw, { parameters }] of drawsOf(method)) {
    for (const [parameter, shape] of Object.entries(parameters)) {
      types[drawName(draw, parameter)] = { dtype: "float32", shape: [batch, ...shape] };
    }
  }
  for (const scalar of Object.keys(method.schedules))
    types[scalarName(scalar)] = { dtype: "float32", shape: [] };
  return types;
}

/**
 * A batch's inputs. Random numbers depend on (seed, epoch, sample, draw) alone: the same on any number of loaders
 * and after a resume.
 */
export function stepInputs(method: Method, batch: Batch, seed: number): Record<string, HostValue> {
  const rows = batch.indices.length;
  const inputs: Record<string, HostValue> = {};
  method.views.forEach(({ name, crop }, i) => {
    const view = batch.views[i];
    if (!view) throw new Error(`the loader gave ${batch.views.length} views, "${name}" is view ${i + 1}`);
    inputs[viewName(name)] = hostValue("uint8", view, [rows, 3, crop.size, crop.size]);
  });
  for (const [draw, transform] of drawsOf(method)) {
    const streams = Array.from(batch.indices, (index) => randomStream(seed, draw, batch.epoch, index));
    for (const [parameter, values] of Object.entries(drawBatch(transform, streams))) {
      inputs[drawName(draw, parameter)] = values;
    }
  }
  for (const [scalar, schedule] of Object.entries(method.schedules)) {
    inputs[scalarName(scalar)] = float32Scalar(schedule(batch.step));
  }
  return inputs;
}
