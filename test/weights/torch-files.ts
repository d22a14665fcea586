/** @file Files of torch.save built byte by byte, so that tests can build wrong ones. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { crc32, deflateRawSync } from "node:zlib";
import { expect } from "vitest";
import { openTorchFile, TorchFileError, toFloat32 } from "#src/weights/index.js";
import { temporaryFolder } from "./helpers.js";

export interface ZipPart {
  readonly name: string;
  readonly data: Uint8Array;
  readonly deflated?: boolean;
  /** What headers say instead of the truth. */
  readonly says?: {
    readonly size?: number;
    readonly compressedSize?: number;
    readonly offset?: number;
    readonly method?: number;
  };
  /** The name in the local header, when it is another than the directory's. */
  readonly localName?: string;
  readonly flags?: number;
}

function u16(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(2 * values.length);
  values.forEach((value, i) => void bytes.writeUInt16LE(value, 2 * i));
  return bytes;
}

function u32(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => void bytes.writeUInt32LE(value, 4 * i));
  return bytes;
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

/** A zip archive (APPNOTE 6.3.10). @param wide With the 64-bit records, and all sizes in them. */
export function zip(parts: readonly ZipPart[], wide = false): Buffer {
  const pieces: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  const put = (piece: Buffer) => {
    pieces.push(piece);
    at += piece.length;
  };
  for (const { name, data, deflated = false, says = {}, localName = name, flags = 0 } of parts) {
    const offset = says.offset ?? at;
    const packed = deflated ? deflateRawSync(data) : Buffer.from(data);
    const method = says.method ?? (deflated ? 8 : 0);
    const size = says.size ?? data.length;
    const compressed = says.compressedSize ?? packed.length;
    const sum = crc32(data);
    put(Buffer.concat([u32(0x04034b50), u16(20, flags, method, 0, 0), u32(sum, compressed, size)]));
    put(Buffer.concat([u16(Buffer.byteLength(localName), 0), Buffer.from(localName)]));
    put(packed);
    const extra = wide
      ? Buffer.concat([u16(1, 24), u64(size), u64(compressed), u64(offset)])
      : Buffer.alloc(0);
    const sizes = wide ? [0xffffffff, 0xffffffff] : [compressed, size];
    directory.push(
      Buffer.concat([
        u32(0x02014b50),
        u16(20, 20, flags, method, 0, 0),
        u32(sum, ...sizes),
        u16(Buffer.byteLength(name), extra.length, 0, 0, 0),
        u32(0, wide ? 0xffffffff : offset),
        Buffer.from(name),
        extra,
      ]),
    );
  }
  const start = at;
  for (const entry of directory) put(entry);
  const size = at - start;
  if (wide) {
    const record = at;
    put(Buffer.concat([u32(0x06064b50), u64(44), u16(45, 45), u32(0, 0)]));
    put(Buffer.concat([u64(parts.length), u64(parts.length), u64(size), u64(start)]));
    put(Buffer.concat([u32(0x07064b50, 0), u64(record), u32(1)]));
  }
  const [count, where] = wide ? [0xffff, 0xffffffff] : [parts.length, start];
  put(
    Buffer.concat([u32(0x06054b50), u16(0, 0, count, count), u32(wide ? 0xffffffff : size, where), u16(0)]),
  );
  return Buffer.concat(pieces);
}

/** A pickle of opcodes and arguments, protocol 2. */
export function pickle(...pieces: readonly (string | number | Buffer)[]): Buffer {
  const bytes = pieces.map((piece) =>
    typeof piece === "number"
      ? Buffer.from([piece])
      : Buffer.isBuffer(piece)
        ? piece
        : Buffer.from(piece, "latin1"),
  );
  return Buffer.concat([Buffer.from([0x80, 2]), ...bytes, Buffer.from(".")]);
}

/** BINUNICODE */
export function text(value: string): Buffer {
  return Buffer.concat([Buffer.from("X"), u32(Buffer.byteLength(value)), Buffer.from(value)]);
}

/** BININT, or LONG1 of eight bytes beyond 32 bits. */
export function int(value: number): Buffer {
  if (value === (value | 0)) return Buffer.concat([Buffer.from("J"), u32(value >>> 0)]);
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(BigInt(value));
  return Buffer.concat([Buffer.from([0x8a, 8]), bytes]);
}

/** A tuple of integers. */
export function ints(values: readonly number[]): Buffer {
  return Buffer.concat([Buffer.from("("), ...values.map(int), Buffer.from("t")]);
}

export interface TensorPickle {
  readonly shape?: readonly number[];
  readonly strides?: readonly number[];
  readonly offset?: number;
  readonly storageSize?: number;
  readonly storageClass?: string;
  readonly key?: string;
}

/** The operations that make a float32 tensor, by default 2x3 on storage "0" of six elements. */
export function tensor({
  shape = [2, 3],
  strides = [3, 1],
  offset = 0,
  storageSize = 6,
  storageClass = "ctorch\nFloatStorage\n",
  key = "0",
}: TensorPickle = {}): Buffer {
  return Buffer.concat([
    Buffer.from("ctorch._utils\n_rebuild_tensor_v2\n(("),
    text("storage"),
    Buffer.from(storageClass),
    text(key),
    text("cpu"),
    int(storageSize),
    Buffer.from("tQ"),
    int(offset),
    ints(shape),
    ints(strides),
    Buffer.from([0x89]),
    Buffer.from("ccollections\nOrderedDict\n)RtR"),
  ]);
}

/** A dictionary of one entry. */
export function dictionary(key: string, value: Buffer): readonly (string | Buffer)[] {
  return ["}", text(key), value, "s"];
}

export const values = Float32Array.of(0, 1, 2, 3, 4, 5);

export function bytesOf(array: Float32Array): Buffer {
  return Buffer.from(array.buffer, array.byteOffset, array.byteLength);
}

/** A zip file of torch.save with one tensor "w", or another pickle. */
export function torchZip(
  data: Buffer = pickle(...dictionary("w", tensor())),
  more: readonly ZipPart[] = [{ name: "archive/data/0", data: bytesOf(values) }],
  options: Partial<ZipPart> & { readonly wide?: boolean } = {},
): Buffer {
  const { wide = false, ...part } = options;
  return zip([{ name: "archive/data.pkl", data, ...part }, ...more], wide);
}

/** A file that is gone after the test. */
export function write(bytes: Uint8Array): string {
  const path = join(temporaryFolder(), "file.pth");
  writeFileSync(path, bytes);
  return path;
}

/** The message of the named error that opening, or reading all tensors, ends with. */
export async function refusal(bytes: Uint8Array): Promise<string> {
  try {
    await readAll(bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(TorchFileError);
    expect((error as Error).message).toContain("file.pth: ");
    return (error as Error).message;
  }
  return "nothing: it was read";
}

/** All tensors of a file. */
export async function readAll(bytes: Uint8Array): Promise<Record<string, number[]>> {
  await using file = openTorchFile(write(bytes));
  const all: Record<string, number[]> = {};
  for (const name of file.names) {
    const tensor = await file.read(name);
    all[name] = tensor.dtype === "float32" ? [...toFloat32(tensor)] : [];
  }
  return all;
}
