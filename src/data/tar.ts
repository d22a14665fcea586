/**
 * @file Where the members of a tar archive lie, so that each can be read by its offset without unpacking anything.
 *
 * Formats: POSIX ustar and pax (long names, sizes), GNU (long names, base-256 sizes), and the old format before them.
 * A checksum, size or header that does not fit is an error: an archive is whole or it is not taken.
 */

import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { DataError } from "./data-error.js";

/** A regular file in an archive. */
export interface TarMember {
  /** Path with `/`, without a leading `./` or `/`. */
  readonly name: string;
  /** First byte of its content in the archive. */
  readonly offset: number;
  /** Bytes. */
  readonly size: number;
}

const BLOCK = 512;

/** Bytes read at a time: small members come many at once, large ones are stepped over. */
const WINDOW = 1 << 18;

/** Extended headers hold names; a larger one is damage. */
const MAX_EXTENDED_HEADER = 1 << 20;

/** Members between two pauses, in which the program can do something else. */
const MEMBERS_AT_A_TIME = 4096;

const decoder = new TextDecoder("utf-8");

/** A text field: up to the first zero byte. */
function textField(header: Uint8Array, start: number, length: number): string {
  const field = header.subarray(start, start + length);
  const end = field.indexOf(0);
  return decoder.decode(end < 0 ? field : field.subarray(0, end));
}

/** A number: octal digits, or (GNU) big-endian binary with the first bit set. Undefined when it is neither. */
function numberField(header: Uint8Array, start: number, length: number): number | undefined {
  const first = header[start] as number;
  if (first === 0x80) {
    let value = 0;
    for (let i = 1; i < length; i++) value = value * 256 + (header[start + i] as number);
    return Number.isSafeInteger(value) ? value : undefined;
  }
  const text = textField(header, start, length).trim();
  return /^[0-7]*$/.test(text) ? Number.parseInt(text || "0", 8) : undefined;
}

/** Whether the header's sum of bytes is what it says; old archives summed signed bytes. */
function sumFits(header: Uint8Array): boolean {
  const expected = numberField(header, 148, 8);
  let unsigned = 0;
  let signed = 0;
  for (let i = 0; i < BLOCK; i++) {
    const byte = i >= 148 && i < 156 ? 0x20 : (header[i] as number);
    unsigned += byte;
    signed += byte < 128 ? byte : byte - 256;
  }
  return expected === unsigned || expected === signed;
}

/** Records of a pax header: "LENGTH KEY=VALUE\n", the length counting itself. Undefined when they do not fit. */
function paxRecords(bytes: Uint8Array): Map<string, string> | undefined {
  const records = new Map<string, string>();
  for (let at = 0; at < bytes.length && bytes[at] !== 0; ) {
    const space = bytes.indexOf(0x20, at);
    const digits = space < 0 ? "" : decoder.decode(bytes.subarray(at, space));
    const end = at + Number(digits);
    if (!/^\d{1,7}$/.test(digits) || end > bytes.length || end <= space || bytes[end - 1] !== 0x0a) {
      return undefined;
    }
    const record = decoder.decode(bytes.subarray(space + 1, end - 1));
    const equals = record.indexOf("=");
    if (equals < 1) return undefined;
    records.set(record.slice(0, equals), record.slice(equals + 1));
    at = end;
  }
  return records;
}

/** Reads ahead in windows. */
class WindowedFile {
  readonly size: number;
  readonly #descriptor: number;
  readonly #window = new Uint8Array(WINDOW);
  #start = 0;
  #length = 0;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
    this.size = fstatSync(descriptor).size;
  }

  /** A view that the next read invalidates; shorter at the end of the file. `length` is at most a window. */
  read(offset: number, length: number): Uint8Array {
    if (offset < this.#start || offset + length > this.#start + this.#length) {
      this.#start = offset;
      this.#length = 0;
      while (this.#length < length) {
        const position = offset + this.#length;
        const got = readSync(this.#descriptor, this.#window, this.#length, WINDOW - this.#length, position);
        if (got === 0) break;
        this.#length += got;
      }
    }
    const begin = offset - this.#start;
    return this.#window.subarray(begin, Math.min(begin + length, this.#length));
  }
}

const COMPRESSED: readonly (readonly [name: string, magic: readonly number[], tool: string])[] = [
  ["gzip", [0x1f, 0x8b], "gunzip"],
  ["bzip2", [0x42, 0x5a, 0x68], "bunzip2"],
  ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a], "unxz"],
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd], "unzstd"],
];

/**
 * Lists the regular files of an archive, in its order. Folders, links and devices are left out; of two members with one
 * name the later one counts, as when unpacking.
 * @throws DataError when the archive is compressed, damaged or incomplete.
 */
export async function indexTar(path: string): Promise<TarMember[]> {
  const descriptor = openSync(path, "r");
  try {
    return await readMembers(path, new WindowedFile(descriptor));
  } finally {
    closeSync(descriptor);
  }
}

async function readMembers(path: string, file: WindowedFile): Promise<TarMember[]> {
  const members = new Map<string, TarMember>();
  const damaged = (offset: number, what: string) =>
    new DataError(`${path} is damaged at byte ${offset}: ${what}; fetch or pack the archive again.`);
  const head = file.read(0, BLOCK);
  for (const [name, magic, tool] of COMPRESSED) {
    if (magic.every((byte, i) => head[i] === byte)) {
      throw new DataError(
        `${path} is compressed (${name}): a compressed archive cannot be read in places. Unpack it, or run ${tool} on it.`,
      );
    }
  }
  /** What extended headers say of the next member; of all that follow. */
  let next = new Map<string, string>();
  const all = new Map<string, string>();
  let headers = 0;
  for (let at = 0; at < file.size; ) {
    if (++headers % MEMBERS_AT_A_TIME === 0) await new Promise((resume) => setImmediate(resume));
    const header = file.read(at, BLOCK);
    if (header.length < BLOCK) throw damaged(at, "it ends inside a header: truncated");
    if (header.every((byte) => byte === 0)) return [...members.values()];
    if (!sumFits(header)) throw damaged(at, "the checksum of a member's header is wrong");
    const type = String.fromCharCode(header[156] as number);
    const extended = type === "x" || type === "g" || type === "L" || type === "K";
    const paxSize = extended ? undefined : (next.get("size") ?? all.get("size"));
    const size = paxSize === undefined ? numberField(header, 124, 12) : Number(paxSize);
    if (size === undefined || !Number.isSafeInteger(size) || size < 0)
      throw damaged(at, "a member has no size");
    const ustar = textField(header, 257, 5) === "ustar";
    const short = textField(header, 0, 100);
    // GNU's own format ("ustar  ") keeps other things where POSIX has the prefix.
    const prefix = ustar && header[262] === 0 ? textField(header, 345, 155) : "";
    const name = next.get("path") ?? all.get("path") ?? (prefix === "" ? short : `${prefix}/${short}`);
    const offset = at + BLOCK;
    // Links and folders have no content, whatever their size says.
    const content = extended || isFile(type) || !/[1-6]/.test(type) ? size : 0;
    if (offset + content > file.size) throw damaged(at, `it ends inside ${name || "a header"}: truncated`);
    if (extended) {
      if (size > MAX_EXTENDED_HEADER) throw damaged(at, `an extended header of ${size} bytes`);
      // A copy: the window moves on.
      const bytes = readWhole(file, offset, size);
      if (type === "L") next.set("path", textField(bytes, 0, size));
      else if (type !== "K") {
        const records = paxRecords(bytes);
        if (!records) throw damaged(offset, "an extended header makes no sense");
        if (records.has("GNU.sparse.major") || records.has("GNU.sparse.map")) {
          throw damaged(offset, "it holds a sparse file, which this reader does not know");
        }
        for (const [key, value] of records) (type === "g" ? all : next).set(key, value);
      }
    } else {
      if (type === "S") throw damaged(at, `${name} is a sparse file, which this reader does not know`);
      const clean = name.replace(/^(\.?\/)+/, "");
      // Old archives mark a folder by the slash alone.
      if (isFile(type) && clean !== "" && !clean.endsWith("/")) {
        members.delete(clean);
        members.set(clean, { name: clean, offset, size });
      }
      next = new Map();
    }
    at = offset + Math.ceil(content / BLOCK) * BLOCK;
  }
  if (headers === 0) throw new DataError(`${path} is empty (0 bytes).`);
  return [...members.values()];
}

function isFile(type: string): boolean {
  return type === "0" || type === "\0" || type === "7";
}

function readWhole(file: WindowedFile, offset: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let done = 0; done < size; ) {
    const part = file.read(offset + done, Math.min(size - done, WINDOW));
    if (part.length === 0) break;
    bytes.set(part, done);
    done += part.length;
  }
  return bytes;
}
