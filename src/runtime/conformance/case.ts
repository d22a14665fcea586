/** @file What a conformance case is, and the values it is fed. */

import type * as graph from "../../graph/index.js";
import { type Shape, sizeOf, type Tensor } from "../../graph/index.js";
import { float32, type HostValue, hostValue } from "../host-value.js";

/** The operators, handed to the cases so that a test can see which of them a case uses. */
export type Operators = typeof graph;

/** A small function that every provider must compute alike, forward and backward. */
export interface ConformanceCase {
  readonly name: string;
  readonly inputs: Readonly<Record<string, HostValue>>;
  readonly trace: (operators: Operators, inputs: readonly Tensor[]) => Tensor | readonly Tensor[];
  /** Take the gradients of the float inputs too (default: true when there are any). */
  readonly differentiate?: boolean;
  /** In place of `TOLERANCE`, for functions that GPUs compute less exactly. */
  readonly tolerance?: number;
}

/** Distinct values in (-scale, scale), far from ties, zeros and the kinks at whole numbers. */
export function wave(shape: Shape, { scale = 1.3, offset = 0, phase = 0 } = {}): HostValue<"float32"> {
  const values = Float32Array.from({ length: sizeOf(shape) }, (_, i) => {
    return offset + scale * Math.sin(1.7 * i + 0.4 + phase);
  });
  return float32(values, shape);
}

/** Values in [0.3, 1.7], for functions of positive numbers. */
export function positive(shape: Shape, phase = 0): HostValue<"float32"> {
  return wave(shape, { scale: 0.7, offset: 1, phase });
}

export function int64(shape: Shape, values: readonly number[]): HostValue<"int64"> {
  return hostValue("int64", BigInt64Array.from(values, BigInt), shape);
}

export function bool(shape: Shape, values: readonly number[]): HostValue<"bool"> {
  return hostValue("bool", Uint8Array.from(values), shape);
}
