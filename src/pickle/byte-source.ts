/** @file Bytes that are read by position: a file, a part of one, or an array. */

import { closeSync, fstatSync, openSync, readSync, statSync } from "node:fs";
import { FormatError } from "./format-error.js";

/** Bytes per system call. */
const CHUNK_BYTES = 8 << 20;

/** Reads do not wait: whoever reads needs the bytes to go on. */
export interface ByteSource {
  readonly size: number;
  /** Fills `target` from `position` on. @throws FormatError when the bytes end before. */
  fill(target: Uint8Array, position: number): void;
}

/** `length` bytes of their own. @throws FormatError when the source ends before. */
export function readBytes(source: ByteSource, position: number, length: number): Uint8Array<ArrayBuffer> {
  // Before the allocation: a length in a damaged file may be anything.
  requireRange(source, position, length);
  const bytes = new Uint8Array(length);
  source.fill(bytes, position);
  return bytes;
}

function requireRange({ size }: ByteSource, position: number, length: number): void {
  if (!Number.isSafeInteger(position) || position < 0 || length < 0 || position + length > size) {
    throw new FormatError(
      `it has ${size} bytes, and ${length} are wanted from byte ${position} on: it is cut short, or damaged`,
    );
  }
}

/** An open file; close it after use. */
export class FileBytes implements ByteSource {
  readonly size: number;
  readonly #descriptor: number;

  /** @throws the system's error, or FormatError when the path is no regular file. */
  constructor(path: string) {
    // Before opening: opening a named pipe would wait for its writer.
    if (!statSync(path).isFile()) throw new FormatError("it is no regular file, expected one");
    this.#descriptor = openSync(path, "r");
    this.size = fstatSync(this.#descriptor).size;
  }

  fill(target: Uint8Array, position: number): void {
    requireRange(this, position, target.length);
    for (let done = 0; done < target.length; ) {
      const length = Math.min(CHUNK_BYTES, target.length - done);
      const count = readSync(this.#descriptor, target, done, length, position + done);
      if (count === 0) throw new FormatError(`it ends at byte ${position + done}: it became shorter`);
      done += count;
    }
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}

/** A part of a source. */
export class ByteRange implements ByteSource {
  /** @throws FormatError when the part reaches beyond the source. */
  constructor(
    private readonly source: ByteSource,
    private readonly start: number,
    readonly size: number,
  ) {
    requireRange(source, start, size);
  }

  fill(target: Uint8Array, position: number): void {
    requireRange(this, position, target.length);
    this.source.fill(target, this.start + position);
  }
}

/** Bytes in memory. */
export class MemoryBytes implements ByteSource {
  readonly size: number;

  constructor(private readonly bytes: Uint8Array) {
    this.size = bytes.length;
  }

  fill(target: Uint8Array, position: number): void {
    requireRange(this, position, target.length);
    target.set(this.bytes.subarray(position, position + target.length));
  }
}
