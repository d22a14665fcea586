/** @file A named tensor's values in host memory, in every element type that weight files use. */

import { endianness } from "node:os";

/** Storage by element type. `float16` and `bfloat16` are held as their 16-bit patterns, `bool` as 0 or 1. */
export interface TensorArrays {
  float64: Float64Array;
  float32: Float32Array;
  float16: Uint16Array;
  bfloat16: Uint16Array;
  int64: BigInt64Array;
  int32: Int32Array;
  int16: Int16Array;
  int8: Int8Array;
  uint8: Uint8Array;
  bool: Uint8Array;
}

export type TensorDType = keyof TensorArrays;

/** A dense tensor in row-major (C) order. */
export interface HostTensor<D extends TensorDType = TensorDType> {
  readonly dtype: D;
  readonly shape: readonly number[];
  readonly data: TensorArrays[D];
}

interface ArrayType<A> {
  readonly BYTES_PER_ELEMENT: number;
  new (buffer: ArrayBuffer): A;
}

const arrayTypes: { readonly [D in TensorDType]: ArrayType<TensorArrays[D]> } = {
  float64: Float64Array,
  float32: Float32Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int64: BigInt64Array,
  int32: Int32Array,
  int16: Int16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
};

export function bytesPerElement(dtype: TensorDType): number {
  return arrayTypes[dtype].BYTES_PER_ELEMENT;
}

/** Number of elements; 1 for the shape `[]`. @throws RangeError when it is no exact number. */
export function elementCount(shape: readonly number[]): number {
  let count = 1;
  for (const size of shape) {
    count *= size;
    if (!Number.isSafeInteger(size) || size < 0 || !Number.isSafeInteger(count)) {
      throw new RangeError(
        `[${shape.join(", ")}] is no shape: expected whole sizes with a product below 2^53`,
      );
    }
  }
  return count;
}

/** File formats here are little-endian, and so is every machine that runs ONNX Runtime: bytes are never swapped. */
function requireLittleEndian(): void {
  if (endianness() !== "LE")
    throw new Error("Tensor files can be read and written on little-endian machines only");
}

/** The bytes of a typed array as files store them, without a copy. */
export function bytesOf(data: TensorArrays[TensorDType]): Uint8Array {
  requireLittleEndian();
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** The tensor whose bytes fill `buffer`, without a copy. @throws RangeError when they do not fill the shape. */
export function tensorOf(dtype: TensorDType, shape: readonly number[], buffer: ArrayBuffer): HostTensor {
  requireLittleEndian();
  const expected = elementCount(shape) * bytesPerElement(dtype);
  if (buffer.byteLength !== expected) {
    throw new RangeError(
      `${buffer.byteLength} bytes do not fill ${dtype} [${shape.join(", ")}], which takes ${expected}`,
    );
  }
  return { dtype, shape, data: new arrayTypes[dtype](buffer) };
}

/** IEEE 754 binary16: 1 sign, 5 exponent (bias 15) and 10 fraction bits. */
function fromFloat16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** All of them, by their pattern: a look-up is many times faster than the arithmetic. */
let float16Values: Float32Array | undefined;

/**
 * A floating-point tensor's values as float32: exact from float16 and bfloat16, rounded to nearest from float64.
 * A float32 tensor's own array is returned, not a copy.
 *
 * @throws TypeError for integer and bool tensors.
 */
export function toFloat32(tensor: HostTensor): Float32Array {
  const { dtype, data } = tensor;
  if (data instanceof Float32Array) return data;
  if (data instanceof Float64Array) return new Float32Array(data);
  if (data instanceof Uint16Array) {
    const values = new Float32Array(data.length);
    if (dtype === "float16") {
      float16Values ??= Float32Array.from({ length: 2 ** 16 }, (_, bits) => fromFloat16(bits));
      for (let i = 0; i < data.length; i++) values[i] = float16Values[data[i] as number] as number;
    } else {
      // bfloat16 is the upper half of a float32.
      const bits = new Uint32Array(values.buffer);
      for (let i = 0; i < data.length; i++) bits[i] = (data[i] as number) << 16;
    }
    return values;
  }
  throw new TypeError(
    `A ${dtype} tensor has no float32 values: expected float64, float32, float16 or bfloat16`,
  );
}
