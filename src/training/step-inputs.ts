/** @file What a step is fed: the loader's crops, random numbers of the augmentations, and the step's scalars. */

import type { Batch, CropSpec } from "../data/index.js";
import { hostArray, type TensorType } from "../graph/index.js";
import type { BatchDraw, Method, RandomDraw, RunLength } from "../methods/index.js";
import { randomStream } from "../random.js";
import { mapValues } from "../records.js";
import { float32Scalar, type HostValue, hostValue } from "../runtime/index.js";
import { drawBatch } from "../transforms/index.js";

/** Values by program input name. */
export type StepInputs = Readonly<Record<string, HostValue>>;

export const viewName = (view: string): string => `view/${view}`;
export const drawName = (draw: string, parameter: string): string => `draw/${draw}/${parameter}`;
export const scalarName = (scalar: string): string => `scalar/${scalar}`;

/** The crops that the loader makes of each image, in the order of the method's views. */
export function cropsOf(method: Method): CropSpec[] {
  return method.views.flatMap(({ crop, count = 1 }) => Array.from({ length: count }, () => crop));
}

/** Random numbers of rows: of the views' augmentations (`augment.<view>`) and of the method's own. */
function rowDraws(method: Method): { name: string; draw: RandomDraw; count: number }[] {
  const ofViews = method.views.map(({ name, augment, count = 1 }) => ({
    name: `augment.${name}`,
    draw: augment,
    count,
  }));
  const own = Object.entries(method.draws).flatMap(([name, draw]) =>
    "types" in draw ? [] : [{ name, draw, count: 1 }],
  );
  return [...ofViews, ...own];
}

function batchDraws(method: Method): [name: string, draw: BatchDraw][] {
  return Object.entries(method.draws).flatMap(([name, draw]) =>
    "types" in draw ? [[name, draw] as [string, BatchDraw]] : [],
  );
}

/** The types of a step's inputs for `batch` samples. */
export function stepInputTypes(method: Method, batch: number): Record<string, TensorType> {
  const types: Record<string, TensorType> = {};
  for (const { name, crop, count = 1 } of method.views) {
    types[viewName(name)] = { dtype: "uint8", shape: [batch * count, 3, crop.size, crop.size] };
  }
  for (const { name, draw, count } of rowDraws(method)) {
    for (const [parameter, shape] of Object.entries(draw.parameters)) {
      types[drawName(name, parameter)] = { dtype: "float32", shape: [batch * count, ...shape] };
    }
  }
  for (const [name, draw] of batchDraws(method)) {
    for (const [parameter, type] of Object.entries(draw.types(batch)))
      types[drawName(name, parameter)] = type;
  }
  for (const scalar of Object.keys(method.schedules))
    types[scalarName(scalar)] = { dtype: "float32", shape: [] };
  return types;
}

/** The types of a whole batch's inputs that `accumulate` micro-batches share among themselves. */
export function joinedInputTypes(
  method: Method,
  batch: number,
  accumulate: number,
): Record<string, TensorType> {
  return mapValues(stepInputTypes(method, batch / accumulate), ({ dtype, shape: [rows, ...rest] }) => ({
    dtype,
    shape: rows === undefined ? [] : [rows * accumulate, ...rest],
  }));
}

/** Whether some draws are made for a (micro-)batch as a whole, so that it cannot be joined with others. */
export function hasBatchDraws(method: Method): boolean {
  return batchDraws(method).length > 0;
}

/** What a batch's random numbers and scalars depend on beside the batch. */
export interface StepSetting {
  readonly seed: number;
  readonly length: RunLength;
  /** Micro-batches, each of which has its own batch draws (default 1). */
  readonly accumulate?: number;
}

/**
 * A batch's inputs. Random numbers depend on (seed, epoch, sample, draw) alone, those of a batch on (seed, step, draw):
 * the same on any number of loaders and after a resume.
 */
export function stepInputs(
  method: Method,
  batch: Batch,
  { seed, length, accumulate = 1 }: StepSetting,
): Record<string, HostValue> {
  const rows = batch.indices.length;
  const inputs: Record<string, HostValue> = {};
  let first = 0;
  for (const view of method.views) {
    const { name, crop, count = 1 } = view;
    const crops = batch.views.slice(first, first + count);
    first += count;
    if (crops.length < count)
      throw new Error(`the loader gave ${batch.views.length} views, "${name}" lacks some`);
    inputs[viewName(name)] = hostValue("uint8", interleaved(crops, rows), [
      rows * count,
      3,
      crop.size,
      crop.size,
    ]);
  }
  for (const { name, draw, count } of rowDraws(method)) {
    const streams = Array.from(batch.indices).flatMap((index) =>
      Array.from({ length: count }, (_, crop) =>
        // One crop of each image has the stream of its sample.
        randomStream(seed, name, batch.epoch, index, ...(count === 1 ? [] : [crop])),
      ),
    );
    for (const [parameter, values] of Object.entries(drawBatch(draw, streams))) {
      inputs[drawName(name, parameter)] = values;
    }
  }
  for (const [name, draw] of batchDraws(method)) {
    const size = rows / accumulate;
    const parts = Array.from({ length: accumulate }, (_, i) =>
      draw.drawBatch(randomStream(seed, name, batch.epoch, "batch", batch.step, i), size),
    );
    for (const [parameter, { dtype, shape }] of Object.entries(draw.types(size))) {
      const numbers = parts.flatMap((part) => [...(part[parameter] ?? [])]);
      const whole = [accumulate * (shape[0] as number), ...shape.slice(1)];
      inputs[drawName(name, parameter)] = hostValue(dtype, hostArray(dtype, numbers), whole);
    }
  }
  for (const [scalar, schedule] of Object.entries(method.schedules)) {
    inputs[scalarName(scalar)] = float32Scalar(schedule(length)(batch.step));
  }
  return inputs;
}

/** Crops `[rows, …]` each, as one array of all crops of the first sample, then of the second, and so on. */
function interleaved(crops: readonly Uint8Array<ArrayBuffer>[], rows: number): Uint8Array<ArrayBuffer> {
  const [only] = crops;
  if (only && crops.length === 1) return only;
  const size = (only?.length ?? 0) / rows;
  const joined = new Uint8Array(rows * crops.length * size);
  for (let row = 0; row < rows; row++) {
    crops.forEach((crop, i) => {
      joined.set(crop.subarray(row * size, (row + 1) * size), (row * crops.length + i) * size);
    });
  }
  return joined;
}
