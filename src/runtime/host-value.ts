/** @file Values on the host side of a program: what is fed, fetched, and put into state. */

import {
  type DType,
  type HostArray,
  type HostArrays,
  type Shape,
  sizeOf,
  type TensorType,
} from "../graph/index.js";

/** A dense row-major array with its type. */
export interface HostValue<D extends DType = DType> {
  readonly dtype: D;
  readonly shape: Shape;
  readonly data: HostArrays[D];
}

/** A float32 value. @throws RangeError when the data does not fill the shape. */
export function float32(data: Float32Array, shape: Shape): HostValue<"float32"> {
  return hostValue("float32", data, shape);
}

export function hostValue<D extends DType>(dtype: D, data: HostArrays[D], shape: Shape): HostValue<D> {
  if (data.length !== sizeOf(shape)) {
    throw new RangeError(`${data.length} values do not fill the shape [${shape.join(", ")}]`);
  }
  return { dtype, shape, data };
}

/** A rank-0 float32 value. */
export function float32Scalar(value: number): HostValue<"float32"> {
  return float32(Float32Array.of(value), []);
}

/** A value's only element as a number. */
export function itemOf(value: HostValue): number {
  const item = (value.data as HostArray)[0];
  if (value.data.length !== 1 || item === undefined) {
    throw new RangeError(`expected one element, got the shape [${value.shape.join(", ")}]`);
  }
  return Number(item);
}

/** `float32[2, 3]` */
export function showType({ dtype, shape }: TensorType): string {
  return `${dtype}[${shape.join(", ")}]`;
}

/** Whether a value's array is alone in its buffer, and the buffer belongs to one thread. */
export function ownsBuffer({ data }: HostValue): boolean {
  return data.buffer instanceof ArrayBuffer && data.byteLength === data.buffer.byteLength;
}

/** The distinct buffers of values that can be handed to another thread. */
export function ownBuffers(values: Readonly<Record<string, HostValue>>): ArrayBuffer[] {
  const owned = Object.values(values).filter(ownsBuffer);
  return [...new Set(owned.map(({ data }) => data.buffer as ArrayBuffer))];
}

/**
 * Values that can be sent to another thread: a message carries whole buffers, so a view into a larger one (a file of
 * weights, a pool) is copied out of it first; the runtime does not take shared memory, so that is copied too.
 */
export function detached(values: Readonly<Record<string, HostValue>>): Record<string, HostValue> {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [
      name,
      ownsBuffer(value) ? value : ({ ...value, data: value.data.slice() } as HostValue),
    ]),
  );
}
