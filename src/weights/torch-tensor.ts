/** @file Tensors of PyTorch files as they are pickled: a shape and strides on a storage that is read when asked for. */

import { type ByteSource, FormatError, PickleObject, readBytes } from "../pickle/index.js";
import { bytesPerElement, elementCount, type HostTensor, type TensorDType, tensorOf } from "./host-tensor.js";

/** By the name of torch's type. */
const readable: Readonly<Record<string, TensorDType>> = {
  float64: "float64",
  float32: "float32",
  float16: "float16",
  bfloat16: "bfloat16",
  int64: "int64",
  int32: "int32",
  int16: "int16",
  int8: "int8",
  uint8: "uint8",
  bool: "bool",
};

/** Types that exist in files of weights and are not read; bytes per element. */
const unreadable: Readonly<Record<string, number>> = {
  complex32: 4,
  complex64: 8,
  complex128: 16,
  uint16: 2,
  uint32: 4,
  uint64: 8,
  float8_e4m3fn: 1,
  float8_e5m2: 1,
  float8_e4m3fnuz: 1,
  float8_e5m2fnuz: 1,
  qint8: 1,
  quint8: 1,
  qint32: 4,
};

export const torchDtypes: readonly string[] = [...Object.keys(readable), ...Object.keys(unreadable)];

function itemSize(dtype: string): number {
  const ours = readable[dtype];
  const size = ours === undefined ? unreadable[dtype] : bytesPerElement(ours);
  if (size === undefined) throw new FormatError(`internal: the element type ${dtype}`);
  return size;
}

/** A storage, or a window of one (files of torch < 1.6 have views). */
export class TorchStorage extends PickleObject {
  constructor(
    /** Names its bytes in the file. */
    readonly key: string,
    /** Torch's name, `float32`; undefined when it is bytes without a type. */
    readonly dtype: string | undefined,
    /** In elements, or in bytes when there is no type. */
    readonly size: number,
    /** Where a view begins in the storage `key`, in the same unit. */
    readonly viewOffset = 0,
  ) {
    super("torch storage");
  }

  /** In bytes. */
  get byteLength(): number {
    return this.size * (this.dtype === undefined ? 1 : itemSize(this.dtype));
  }
}

/** Elements that a tensor may have beyond those of its storage: one that repeats them could be made to fill the memory. */
const MAX_REPEATED = 1 << 24;
const MAX_RANK = 64;

export interface TorchTensorLayout {
  readonly dtype: string;
  /** In elements. */
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

export class TorchTensor extends PickleObject {
  /** @throws FormatError when the tensor reaches out of its storage. */
  constructor(
    readonly storage: TorchStorage,
    readonly layout: TorchTensorLayout,
  ) {
    super("torch.Tensor");
    const { dtype, offset, shape, strides } = layout;
    const available = Math.floor(storage.byteLength / itemSize(dtype));
    const what = `a tensor [${shape.slice(0, 8).join(", ")}] with strides [${strides.slice(0, 8).join(", ")}] at ${offset}`;
    const isWhole = [offset, ...shape, ...strides].every(
      (value) => Number.isSafeInteger(value) && value >= 0,
    );
    if (!isWhole || shape.length !== strides.length || shape.length > MAX_RANK) {
      throw new FormatError(
        `its pickle has ${what}, expected as many strides as sizes, and whole numbers from 0`,
      );
    }
    let count: number;
    try {
      count = elementCount(shape);
    } catch (cause) {
      throw new FormatError(`its pickle has ${what}, expected a product of the sizes below 2^53`, { cause });
    }
    if (count === 0) return;
    const last = lastElement(layout);
    if (!(last < available) || count > Math.max(available, MAX_REPEATED)) {
      throw new FormatError(
        `its pickle has ${what}, expected one within the ${available} elements of its storage ${storage.key}`,
      );
    }
  }
}

/** The largest index that a tensor with elements touches. */
function lastElement({ offset, shape, strides }: TorchTensorLayout): number {
  return shape.reduce((last, size, i) => last + (size - 1) * (strides[i] as number), offset);
}

function isContiguous({ shape, strides }: TorchTensorLayout): boolean {
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== expected) return false;
    expected *= shape[i] as number;
  }
  return true;
}

/**
 * A tensor's values, dense and in row-major order. Only the bytes from its first to its last element are read.
 * @param bytes Those of the whole storage. @param bigEndian Their order.
 * @throws FormatError when the element type has no counterpart, or the storage is shorter than it was said to be.
 */
export function readTorchTensor(
  { storage, layout }: TorchTensor,
  bytes: ByteSource,
  bigEndian: boolean,
): HostTensor {
  const { shape, offset } = layout;
  const dtype = readable[layout.dtype];
  if (dtype === undefined) {
    throw new FormatError(
      `it has the element type ${layout.dtype}, expected one of ${Object.keys(readable).join(", ")}`,
    );
  }
  const item = bytesPerElement(dtype);
  const count = elementCount(shape);
  if (count === 0) return tensorOf(dtype, shape, new ArrayBuffer(0));
  const viewStart = storage.viewOffset * (storage.dtype === undefined ? 1 : itemSize(storage.dtype));
  const length = lastElement(layout) - offset + 1;
  const read = readBytes(bytes, viewStart + offset * item, length * item);
  if (bigEndian) swap(read, item);
  const dense = isContiguous(layout) ? read : gather(read, item, layout, count);
  if (dtype === "bool") for (let i = 0; i < dense.length; i++) dense[i] = dense[i] === 0 ? 0 : 1;
  return tensorOf(dtype, shape, dense.buffer);
}

/** Copies elements to row-major order. @param bytes From the tensor's first element on. */
function gather(
  bytes: Uint8Array<ArrayBuffer>,
  item: number,
  { shape, strides }: TorchTensorLayout,
  count: number,
): Uint8Array<ArrayBuffer> {
  // A small class for each size would be faster; strided tensors are rare, and their elements few.
  const dense = new Uint8Array(count * item);
  const index = new Array<number>(shape.length).fill(0);
  let from = 0;
  for (let to = 0; to < count; to++) {
    for (let byte = 0; byte < item; byte++) dense[to * item + byte] = bytes[from * item + byte] as number;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const stride = strides[axis] as number;
      index[axis] = (index[axis] as number) + 1;
      from += stride;
      if (index[axis] !== shape[axis]) break;
      from -= stride * (shape[axis] as number);
      index[axis] = 0;
    }
  }
  return dense;
}

function swap(bytes: Uint8Array<ArrayBuffer>, item: number): void {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (item === 2) buffer.swap16();
  else if (item === 4) buffer.swap32();
  else if (item === 8) buffer.swap64();
}
