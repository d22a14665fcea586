/** @file What an operator's lowering may ask for: ONNX nodes, constants, and what the target can run. */

import type { DType, HostArray } from "../dtype.js";
import type { Shape } from "../shape.js";

/** ONNX's TensorProto.DataType codes. */
export const onnxTypeCode: Readonly<Record<DType, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
};

/** An ONNX attribute, tagged by its protobuf type. */
export type Attribute =
  | { readonly int: number }
  | { readonly float: number }
  | { readonly string: string }
  | { readonly ints: readonly number[] }
  | { readonly floats: readonly number[] };

export interface EmitOptions {
  /** Operator domain; the default is ONNX's own. */
  readonly domain?: "com.microsoft";
  /** How many outputs the ONNX node has (default 1). */
  readonly outputs?: number;
}

/** What the execution provider that will run the model has kernels for. */
export interface Target {
  readonly provider: "cpu" | "webgpu" | "portable";
  /** `com.microsoft` contrib operators (`FusedMatMul`, …) run on the device. */
  readonly contrib: boolean;
  /** Products with constant matrices are computed with 8-bit integers, as `quantizedProduct` says. */
  readonly quantized?: boolean;
}

export interface Emitter {
  readonly target: Target;
  /** The size that stands for the free batch dimension of an exported model; none in a training graph. */
  readonly batchStandIn?: number;
  /** Adds an ONNX node. An omitted optional input is the empty string. Returns its outputs' names. */
  nodes(
    type: string,
    inputs: readonly string[],
    attributes?: Readonly<Record<string, Attribute>>,
    options?: EmitOptions,
  ): readonly string[];
  /** Adds an ONNX node with one output and returns its name. */
  node(
    type: string,
    inputs: readonly string[],
    attributes?: Readonly<Record<string, Attribute>>,
    options?: EmitOptions,
  ): string;
  /** The name of an initializer with these contents (equal contents share one). */
  constant(dtype: DType, shape: Shape, data: HostArray): string;
  /** A 1-D int64 initializer: shapes, axes, permutations. */
  ints(values: readonly number[]): string;
  /** A shape operand; dimensions that stand for the free batch size are handled. */
  shape(shape: Shape): string;
  /** A scalar initializer. */
  scalar(dtype: DType, value: number): string;
}
