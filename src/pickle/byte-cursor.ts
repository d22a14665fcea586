/** @file Reads a source from front to back, in windows, for parsers that take a few bytes at a time. */

import { type ByteSource, readBytes } from "./byte-source.js";
import { FormatError } from "./format-error.js";

const WINDOW_BYTES = 64 << 10;
const LONGEST_LINE = 1 << 20;

export class ByteCursor {
  #window: Uint8Array<ArrayBuffer> = new Uint8Array();
  #windowStart = 0;

  constructor(
    private readonly source: ByteSource,
    /** Where the next byte is read. */
    public position = 0,
  ) {}

  byte(): number {
    const value = this.#window[this.position - this.#windowStart];
    if (value !== undefined) {
      this.position++;
      return value;
    }
    return this.#peek(1)[0] !== undefined ? this.byte() : fail();
  }

  /** The next bytes, a copy. @throws FormatError when there are fewer. */
  take(length: number): Uint8Array<ArrayBuffer> {
    const bytes =
      length > WINDOW_BYTES
        ? readBytes(this.source, this.position, length)
        : this.#peek(length).slice(0, length);
    this.position += length;
    return bytes;
  }

  /** The next bytes as numbers. */
  view(length: number): DataView {
    return new DataView(this.take(length).buffer);
  }

  /** Up to the next line break, which is passed over; a byte a character. */
  line(): string {
    const bytes: number[] = [];
    for (let value = this.byte(); value !== 0x0a; value = this.byte()) {
      if (bytes.push(value) > LONGEST_LINE)
        throw new FormatError(`a line has more than ${LONGEST_LINE} bytes`);
    }
    return Buffer.from(bytes).toString("latin1");
  }

  /** A window with at least `length` bytes from the position on. */
  #peek(length: number): Uint8Array<ArrayBuffer> {
    const at = this.position - this.#windowStart;
    if (at >= 0 && at + length <= this.#window.length) return this.#window.subarray(at);
    const available = Math.max(0, this.source.size - this.position);
    // Asking for more than there is makes the error that says so.
    const size = available < length ? length : Math.min(Math.max(length, WINDOW_BYTES), available);
    this.#window = readBytes(this.source, this.position, size);
    this.#windowStart = this.position;
    return this.#window;
  }
}

function fail(): never {
  throw new FormatError("internal: an empty window");
}
