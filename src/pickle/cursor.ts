/** @file A place in the bytes of a pickle: every read is checked against their end. */

import { PickleError } from "./pickle-error.js";
import { integer, latin1 } from "./text.js";

const decoder = new TextDecoder("utf-8");

export class PickleCursor {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Bytes read so far. */
  get at(): number {
    return this.#at;
  }

  /** The offset of the next `count` bytes, which are then behind. */
  #take(count: number): number {
    const start = this.#at;
    if (count > this.#bytes.length - start) {
      throw new PickleError(`the pickle ends at byte ${this.#bytes.length}, inside a value: truncated`);
    }
    this.#at = start + count;
    return start;
  }

  uint8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  uint16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  int32(): number {
    return this.#view.getInt32(this.#take(4), true);
  }

  /** The only big-endian value. */
  float64(): number {
    return this.#view.getFloat64(this.#take(8), false);
  }

  /** A length or index of 4 or 8 bytes. */
  length(bytes: 4 | 8): number {
    const at = this.#take(bytes);
    return bytes === 4 ? this.#view.getUint32(at, true) : Number(this.#view.getBigUint64(at, true));
  }

  /** A view of the pickle's bytes, not a copy. */
  slice(count: number): Uint8Array {
    const at = this.#take(count);
    return this.#bytes.subarray(at, at + count);
  }

  utf8(count: number): string {
    return decoder.decode(this.slice(count));
  }

  /** Latin-1 up to the end of the line. */
  line(): string {
    const end = this.#bytes.indexOf(0x0a, this.#at);
    if (end < 0) {
      throw new PickleError(`the pickle ends at byte ${this.#bytes.length}, inside a line: truncated`);
    }
    const text = latin1(this.slice(end - this.#at));
    this.#at = end + 1;
    return text;
  }

  /** An integer of `count` bytes, little-endian two's complement. */
  long(count: number): number | bigint {
    // Python's own integers may have any length; these are sizes, labels and seeds.
    if (count > 1024) throw new PickleError(`an integer of ${count} bytes`);
    let value = 0n;
    for (const [i, byte] of this.slice(count).entries()) value |= BigInt(byte) << BigInt(8 * i);
    return integer(BigInt.asIntN(8 * count, value));
  }
}
