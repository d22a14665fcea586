/** @file The names of a run's state on the device, and how it is set up, saved and restored. */

import type { TensorType } from "../graph/index.js";
import { sizeOf } from "../graph/index.js";
import type { Method } from "../methods/index.js";
import {
  flattenTree,
  initialize,
  type Optimizer,
  type ParameterSpec,
  type ParameterValue,
} from "../nn/index.js";
import { prefixed } from "../records.js";
import { type Device, float32, type HostValue } from "../runtime/index.js";

/** Trained parameters, by their name in the method's tree. */
export const PARAMETER = "param/";
/** Gradients, where the update is a program of its own; not saved. */
export const GRADIENT = "grad/";
/** Moments. */
export const OPTIMIZER = "optimizer/";
/** What a method carries between steps: centres, queues. */
export const BUFFER = "buffer/";
/** Buffers' values after the step, which an update that is a program of its own takes over; not saved. */
export const NEXT_BUFFER = "next-buffer/";
/** Moving averages of parameters, by the same names. */
export const TEACHER = "teacher/";

export interface StateTypes {
  readonly parameters: Record<string, TensorType>;
  readonly teacher: Record<string, TensorType>;
  readonly buffers: Record<string, TensorType>;
}

/** The types of a method's parameters, teacher and buffers, by state name. */
export function stateTypes(method: Method): StateTypes {
  return {
    parameters: prefixed(parameterSpecs(method), PARAMETER),
    teacher: prefixed(teacherSpecs(method), TEACHER),
    buffers: prefixed(method.buffers, BUFFER),
  };
}

/** The same in one record: what a step reads. */
export function readTypes(method: Method): Record<string, TensorType> {
  const { parameters, teacher, buffers } = stateTypes(method);
  return { ...parameters, ...teacher, ...buffers };
}

/** Where a method's encoder that is evaluated and exported lies among its state, as a prefix of timm's names. */
export function encoderPrefix({ evaluated }: Pick<Method, "evaluated">): string {
  return `${evaluated.weights === "teacher" ? TEACHER : PARAMETER}encoder.`;
}

/** A method's parameters by name. */
export function parameterSpecs(method: Method): Record<string, ParameterSpec> {
  return flattenTree(method.parameters) as Record<string, ParameterSpec>;
}

/** A teacher's parameters by name; none without a teacher. */
export function teacherSpecs({ teacher }: Method): Record<string, ParameterSpec> {
  return teacher ? (flattenTree(teacher.parameters) as Record<string, ParameterSpec>) : {};
}

/** The parameters that are ever trained, by name. */
export function trainedSpecs(method: Method): Record<string, ParameterSpec> {
  return trainedOnes(method, parameterSpecs(method));
}

/** Those of the values, by parameter name, whose parameters are ever trained. */
export function trainedOnes<T>(
  { frozen }: Pick<Method, "frozen">,
  values: Readonly<Record<string, T>>,
): Record<string, T> {
  return Object.fromEntries(Object.entries(values).filter(([name]) => !frozen?.test(name)));
}

/** The state that a checkpoint holds, by name. */
export function savedTypes(method: Method, optimizer: Optimizer): Record<string, TensorType> {
  return { ...readTypes(method), ...prefixed(optimizer.state(trainedSpecs(method)), OPTIMIZER) };
}

/**
 * Puts the initial state of a run on the device: drawn parameters and buffers, a teacher equal to its student, moments
 * of zero.
 */
export async function initializeState(
  device: Device,
  method: Method,
  optimizer: Optimizer,
  seed: number,
): Promise<void> {
  const moments = Object.entries(optimizer.state(trainedSpecs(method))).map(([name, { shape }]) => [
    name,
    float32(new Float32Array(sizeOf(shape)), shape),
  ]);
  const parameters = initialize<object>(method.parameters as never, seed);
  // Arrays of their own: all of them are handed over.
  const teacher = Object.keys(teacherSpecs(method)).map((name) => {
    const { data, shape } = parameters[name] as ParameterValue;
    return [name, float32(data.slice(), shape)];
  });
  const values = {
    ...prefixed(parameters, PARAMETER),
    ...prefixed(Object.fromEntries(teacher) as Record<string, HostValue>, TEACHER),
    ...prefixed(initialize<object>(method.buffers as never, seed), BUFFER),
    ...prefixed(Object.fromEntries(moments) as Record<string, HostValue>, OPTIMIZER),
  };
  await device.setState(values, { transfer: true });
}
