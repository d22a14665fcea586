/** @file The names of a run's state on the device, and how it is set up, saved and restored. */

import type { TensorType } from "../graph/index.js";
import { sizeOf } from "../graph/index.js";
import type { Method } from "../methods/index.js";
import { flattenTree, initialize, type Optimizer, type ParameterSpec } from "../nn/index.js";
import { prefixed } from "../records.js";
import { type Device, float32, type HostValue } from "../runtime/index.js";

/** Trained parameters, by their name in the method's tree. */
export const PARAMETER = "param/";
/** Gradients of the last step; not saved. */
export const GRADIENT = "grad/";
/** Moments. */
export const OPTIMIZER = "optimizer/";
/** What a method carries between steps: centres, queues. */
export const BUFFER = "buffer/";

export interface StateTypes {
  readonly parameters: Record<string, TensorType>;
  readonly buffers: Record<string, TensorType>;
}

/** The types of a method's parameters and buffers, by state name. */
export function stateTypes(method: Method): StateTypes {
  return {
    parameters: prefixed(parameterSpecs(method), PARAMETER),
    buffers: prefixed(method.buffers, BUFFER),
  };
}

/** A method's parameters by name. */
export function parameterSpecs(method: Method): Record<string, ParameterSpec> {
  return flattenTree(method.parameters) as Record<string, ParameterSpec>;
}

/** The state that a checkpoint holds, by name. */
export function savedTypes(method: Method, optimizer: Optimizer): Record<string, TensorType> {
  const { parameters, buffers } = stateTypes(method);
  return { ...parameters, ...prefixed(optimizer.state(parameterSpecs(method)), OPTIMIZER), ...buffers };
}

/** Puts the initial state of a run on the device: drawn parameters and buffers, moments of zero. */
export async function initializeState(
  device: Device,
  method: Method,
  optimizer: Optimizer,
  seed: number,
): Promise<void> {
  const moments = Object.entries(optimizer.state(parameterSpecs(method))).map(([name, { shape }]) => [
    name,
    float32(new Float32Array(sizeOf(shape)), shape),
  ]);
  const values = {
    ...prefixed(initialize<object>(method.parameters as never, seed), PARAMETER),
    ...prefixed(initialize<object>(method.buffers as never, seed), BUFFER),
    ...prefixed(Object.fromEntries(moments) as Record<string, HostValue>, OPTIMIZER),
  };
  await device.setState(values, { transfer: true });
}
