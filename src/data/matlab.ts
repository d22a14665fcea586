/**
 * @file MATLAB files (version 5 to 7.2, `.mat`): the numeric, text, cell and structure arrays in which data sets keep
 * their labels. Strict and read-only; version 7.3 is HDF5 and is refused by name.
 * Source: "MAT-File Format" (MathWorks), Level 5.
 */

import { inflateSync } from "node:zlib";

/** An array of a `.mat` file. Elements are in MATLAB's order: columns first. */
export type MatlabArray = { readonly shape: readonly number[] } & (
  | { readonly kind: "numeric"; readonly values: readonly number[] }
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "cell"; readonly cells: readonly MatlabArray[] }
  | { readonly kind: "structure"; readonly elements: readonly ReadonlyMap<string, MatlabArray>[] }
);

/** The file is damaged, or holds what this reader does not know. */
export class MatlabError extends Error {
  override readonly name = "MatlabError";
}

/** Labels of a million images take a few megabytes; a file that inflates to more is a bomb. */
const MAX_INFLATED = 1 << 28;

/** Cells within structures within cells. */
const MAX_DEPTH = 16;

const MI_MATRIX = 14;
const MI_COMPRESSED = 15;

type Reader = (view: DataView, at: number, little: boolean) => number;

/** Bytes and reader of each numeric storage type. */
const NUMBERS: Readonly<Record<number, readonly [bytes: number, read: Reader]>> = {
  1: [1, (view, at) => view.getInt8(at)],
  2: [1, (view, at) => view.getUint8(at)],
  3: [2, (view, at, little) => view.getInt16(at, little)],
  4: [2, (view, at, little) => view.getUint16(at, little)],
  5: [4, (view, at, little) => view.getInt32(at, little)],
  6: [4, (view, at, little) => view.getUint32(at, little)],
  7: [4, (view, at, little) => view.getFloat32(at, little)],
  9: [8, (view, at, little) => view.getFloat64(at, little)],
  12: [8, (view, at, little) => Number(view.getBigInt64(at, little))],
  13: [8, (view, at, little) => Number(view.getBigUint64(at, little))],
  // Text: UTF-8 (numbers below 128 only where it is read as such), UTF-16, UTF-32.
  16: [1, (view, at) => view.getUint8(at)],
  17: [2, (view, at, little) => view.getUint16(at, little)],
  18: [4, (view, at, little) => view.getUint32(at, little)],
};

interface Element {
  readonly type: number;
  readonly data: Uint8Array;
}

/** Elements one after another. */
class Elements {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #little: boolean;
  #at: number;

  constructor(bytes: Uint8Array, little: boolean, start = 0) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#little = little;
    this.#at = start;
  }

  get done(): boolean {
    return this.#at >= this.#bytes.length;
  }

  next(): Element {
    const start = this.#at;
    if (start + 8 > this.#bytes.length) throw new MatlabError("the file ends inside an element: truncated");
    const first = this.#view.getUint32(start, this.#little);
    // Up to four bytes may sit in the tag itself, their count in its upper half.
    const small = first >>> 16;
    const type = small > 0 ? first & 0xffff : first;
    const size = small > 0 ? small : this.#view.getUint32(start + 4, this.#little);
    const from = start + (small > 0 ? 4 : 8);
    if (small > 4 || from + size > this.#bytes.length) {
      throw new MatlabError(`an element of ${size} bytes goes beyond the end: truncated or damaged`);
    }
    // Compressed elements are the only ones without padding.
    const padded = type === MI_COMPRESSED ? size : Math.ceil(size / 8) * 8;
    this.#at = small > 0 ? start + 8 : from + padded;
    return { type, data: this.#bytes.subarray(from, from + size) };
  }

  numbers(): number[] {
    const { type, data } = this.next();
    const number = NUMBERS[type];
    if (!number) throw new MatlabError(`an element of type ${type} where numbers are expected`);
    const [bytes, read] = number;
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    return Array.from({ length: Math.floor(data.length / bytes) }, (_, i) =>
      read(view, i * bytes, this.#little),
    );
  }

  text(): string {
    const { type, data } = this.next();
    if (type === 16) return new TextDecoder().decode(data);
    const number = NUMBERS[type];
    if (!number) throw new MatlabError(`an element of type ${type} where text is expected`);
    const [bytes, read] = number;
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    let text = "";
    for (let at = 0; at + bytes <= data.length; at += bytes) {
      text += String.fromCharCode(read(view, at, this.#little));
    }
    return text;
  }

  /** The inside of an element that must be an array. */
  matrix(): Elements | undefined {
    const { type, data } = this.next();
    if (type !== MI_MATRIX) throw new MatlabError(`an element of type ${type} where an array is expected`);
    return data.length === 0 ? undefined : new Elements(data, this.#little);
  }
}

const EMPTY: MatlabArray = { kind: "numeric", shape: [0, 0], values: [] };

/** One array. An array without content is an empty numeric one. */
function readArray(inside: Elements | undefined, depth: number): { name: string; array: MatlabArray } {
  if (!inside) return { name: "", array: EMPTY };
  if (depth > MAX_DEPTH) throw new MatlabError(`arrays within arrays, deeper than ${MAX_DEPTH}`);
  const [flags = 0] = inside.numbers();
  const shape = inside.numbers();
  const name = inside.text();
  const count = shape.reduce((product, side) => product * side, 1);
  if (shape.some((side) => side < 0) || !Number.isSafeInteger(count)) {
    throw new MatlabError(`"${name}" has the shape ${shape.join(" x ")}`);
  }
  return { name, array: { shape, ...readContent(inside, flags, name, count, depth) } as MatlabArray };
}

function readContent(inside: Elements, flags: number, name: string, count: number, depth: number) {
  const kind = flags & 0xff;
  const isComplex = (flags & 0x800) !== 0;
  const nested = () => readArray(inside.matrix(), depth + 1).array;
  switch (kind) {
    case 1: {
      const cells: MatlabArray[] = [];
      for (let i = 0; i < count; i++) cells.push(nested());
      return { kind: "cell", cells };
    }
    case 2: {
      const [length = 0] = inside.numbers();
      const joined = inside.text();
      if (length < 1) throw new MatlabError(`the structure "${name}" has field names of ${length} bytes`);
      const fields = Array.from(
        { length: Math.floor(joined.length / length) },
        (_, i) => joined.slice(i * length, (i + 1) * length).split("\0", 1)[0] as string,
      );
      // Without fields nothing would end the loop at the end of the file.
      if (fields.length === 0) throw new MatlabError(`the structure "${name}" has no fields`);
      const elements: Map<string, MatlabArray>[] = [];
      for (let i = 0; i < count; i++) {
        elements.push(new Map(fields.map((field) => [field, nested()] as const)));
      }
      return { kind: "structure", elements };
    }
    case 4:
      return { kind: "text", text: inside.text() };
    default: {
      if (kind < 6 || kind > 15) {
        throw new MatlabError(`"${name}" is an array of class ${kind}, which this reader does not know`);
      }
      const values = inside.numbers();
      if (values.length !== count || isComplex) {
        throw new MatlabError(`"${name}" has ${values.length} values, expected ${count} real ones`);
      }
      return { kind: "numeric", values };
    }
  }
}

/**
 * The variables of a `.mat` file.
 * @throws MatlabError when the file is damaged, of another version, or holds what this reader does not know.
 */
export function readMatlab(bytes: Uint8Array): Map<string, MatlabArray> {
  if (bytes.length < 128) throw new MatlabError(`${bytes.length} bytes are too few for a MATLAB file`);
  const marker = String.fromCharCode(bytes[126] as number, bytes[127] as number);
  if (marker !== "IM" && marker !== "MI") throw new MatlabError("not a MATLAB file of version 5");
  const little = marker === "IM";
  const major = bytes[little ? 125 : 124];
  if (major === 2) throw new MatlabError("MATLAB 7.3 (HDF5): save it with -v7");
  if (major !== 1) throw new MatlabError(`MATLAB file version ${major}, expected 1`);
  const variables = new Map<string, MatlabArray>();
  for (const elements = new Elements(bytes, little, 128); !elements.done; ) {
    const { type, data } = elements.next();
    let inside: Elements | undefined;
    // A compressed element holds one other, with its tag.
    if (type === MI_COMPRESSED) inside = new Elements(inflate(data), little).matrix();
    else if (type === MI_MATRIX) inside = new Elements(data, little);
    else throw new MatlabError(`an element of type ${type} where a variable is expected`);
    const { name, array } = readArray(inside, 0);
    if (name !== "") variables.set(name, array);
  }
  return variables;
}

function inflate(data: Uint8Array): Uint8Array {
  try {
    return inflateSync(data, { maxOutputLength: MAX_INFLATED });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new MatlabError(`a compressed element cannot be read: ${reason}`);
  }
}
