/**
 * @file Zip archives read strictly and on demand (PKWARE APPNOTE 6.3.10): the directory is read and checked when an
 * archive is opened, an entry's bytes when they are asked for. Stored and deflated entries, with or without ZIP64.
 */

import { inflateRawSync } from "node:zlib";
import { ByteRange, type ByteSource, FormatError, MemoryBytes, quoted, readBytes } from "../pickle/index.js";

const LOCAL_HEADER = 0x04034b50;
const DIRECTORY_ENTRY = 0x02014b50;
const DIRECTORY_END = 0x06054b50;
const DIRECTORY_END_64 = 0x06064b50;
const LOCATOR_64 = 0x07064b50;
const ZIP64_EXTRA = 0x0001;
const MAX_32 = 0xffffffff;
const MAX_16 = 0xffff;

const LOCAL_BYTES = 30;
const ENTRY_BYTES = 46;
const END_BYTES = 22;
const LOCATOR_BYTES = 20;
const MAX_COMMENT_BYTES = 0xffff;
const MAX_DIRECTORY_BYTES = 64 << 20;

/**
 * What a deflated entry may grow to: weights hardly shrink, and lists of names no more than tenfold, so an entry that
 * promises more is made to fill the memory.
 */
const inflatedLimit = (compressed: number): number => (64 << 20) + 8 * compressed;

/** An entry of the directory. Offsets count from the beginning of the file. */
export interface ZipEntry {
  readonly name: string;
  readonly method: "stored" | "deflated";
  readonly compressedSize: number;
  readonly size: number;
  /** Of its local header. */
  readonly offset: number;
  /** Where the next entry, or the directory, begins. */
  readonly limit: number;
}

/** Whether a file starts as a zip archive does. */
export function looksLikeZip(start: Uint8Array): boolean {
  return start.length >= 4 && view(start).getUint32(0, true) === LOCAL_HEADER;
}

/** An archive whose directory was found valid. */
export class ZipArchive {
  private constructor(
    private readonly source: ByteSource,
    readonly entries: ReadonlyMap<string, ZipEntry>,
  ) {}

  /** @throws FormatError when the directory is damaged, or entries overlap or lie outside the file. */
  static open(source: ByteSource): ZipArchive {
    const { offset, size, count } = findDirectory(source);
    if (size > MAX_DIRECTORY_BYTES) {
      throw new FormatError(`its directory has ${size} bytes, expected at most ${MAX_DIRECTORY_BYTES}`);
    }
    const parsed = parseDirectory(readBytes(source, offset, size), count);
    parsed.sort((a, b) => a.offset - b.offset);
    const entries = new Map<string, ZipEntry>();
    parsed.forEach((entry, i) => {
      const limit = parsed[i + 1]?.offset ?? offset;
      const needed = entry.offset + LOCAL_BYTES + entry.nameBytes + entry.compressedSize;
      if (needed > limit) {
        throw new FormatError(
          `its entry ${quoted(entry.name)} overlaps what follows: it takes the bytes ${entry.offset} to ${needed} at ` +
            `least, expected an end by ${limit}`,
        );
      }
      if (entries.has(entry.name)) throw new FormatError(`it has two entries ${quoted(entry.name)}`);
      entries.set(entry.name, { ...entry, limit });
    });
    return new ZipArchive(source, entries);
  }

  /**
   * The bytes of an entry: a window of the file when it is stored, in memory when it is deflated.
   * @throws FormatError when its header is damaged, or it does not inflate to the size that the directory says.
   */
  bytes(entry: ZipEntry): ByteSource {
    const start = this.#dataStart(entry);
    if (entry.method === "stored") return new ByteRange(this.source, start, entry.size);
    const packed = readBytes(this.source, start, entry.compressedSize);
    let bytes: Uint8Array;
    try {
      bytes = inflateRawSync(packed, { maxOutputLength: Math.max(entry.size, 1) });
    } catch (error) {
      throw new FormatError(
        `its entry ${quoted(entry.name)} does not inflate to its ${entry.size} bytes (${(error as Error).message})`,
        { cause: error },
      );
    }
    if (bytes.length !== entry.size) {
      throw new FormatError(
        `its entry ${quoted(entry.name)} inflates to ${bytes.length} bytes, expected ${entry.size}`,
      );
    }
    return new MemoryBytes(bytes);
  }

  #dataStart({ name, method, compressedSize, offset, limit }: ZipEntry): number {
    const header = view(readBytes(this.source, offset, LOCAL_BYTES));
    const nameBytes = header.getUint16(26, true);
    const start = offset + LOCAL_BYTES + nameBytes + header.getUint16(28, true);
    const localName = decodeName(readBytes(this.source, offset + LOCAL_BYTES, nameBytes));
    const isSame =
      header.getUint32(0, true) === LOCAL_HEADER &&
      localName === name &&
      methodOf(header.getUint16(8, true)) === method;
    if (!isSame || start + compressedSize > limit) {
      throw new FormatError(
        `the header of its entry ${quoted(name)} at byte ${offset} disagrees with its directory: ` +
          "it is damaged, or was made to be read in two ways",
      );
    }
    return start;
  }
}

interface ParsedEntry extends Omit<ZipEntry, "limit"> {
  readonly nameBytes: number;
}

function parseDirectory(bytes: Uint8Array, count: number): ParsedEntry[] {
  const data = view(bytes);
  const entries: ParsedEntry[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (at + ENTRY_BYTES > bytes.length || data.getUint32(at, true) !== DIRECTORY_ENTRY) {
      throw new FormatError(`its directory is damaged after ${entries.length} entries`);
    }
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((field) =>
      data.getUint16(at + field, true),
    ) as [number, number, number];
    const nameEnd = at + ENTRY_BYTES + nameBytes;
    const end = nameEnd + extraBytes + commentBytes;
    if (end > bytes.length) throw new FormatError(`its directory ends within entry ${entries.length}`);
    const name = decodeName(bytes.subarray(at + ENTRY_BYTES, nameEnd));
    const method = methodOf(data.getUint16(at + 10, true));
    if (method === undefined || (data.getUint16(at + 8, true) & 1) !== 0) {
      throw new FormatError(
        `its entry ${quoted(name)} is encrypted or packed by method ${data.getUint16(at + 10, true)}, ` +
          "expected stored or deflated",
      );
    }
    const wide = wideFields(view(bytes.subarray(nameEnd, nameEnd + extraBytes)), name);
    const field = (place: number) => {
      const value = data.getUint32(at + place, true);
      return value === MAX_32 ? wide() : value;
    };
    // In the order in which ZIP64's extra field lists those that it replaces.
    const [size, compressedSize, offset] = [field(24), field(20), field(42)];
    if (method === "stored" && size !== compressedSize) {
      throw new FormatError(
        `its entry ${quoted(name)} is stored, with ${compressedSize} bytes for ${size}, expected the same number`,
      );
    }
    if (method === "deflated" && size > inflatedLimit(compressedSize)) {
      throw new FormatError(
        `its entry ${quoted(name)} is said to inflate from ${compressedSize} to ${size} bytes, ` +
          `expected at most ${inflatedLimit(compressedSize)}: it may be a zip bomb`,
      );
    }
    entries.push({ name, method, compressedSize, size, offset, nameBytes });
    at = end;
  }
  if (entries.length !== count) {
    throw new FormatError(`its directory has ${entries.length} entries, expected ${count}`);
  }
  return entries;
}

/** Gives the 64-bit numbers of an entry's extra field, one a call. */
function wideFields(extra: DataView, name: string): () => number {
  const fail = () => new FormatError(`its entry ${quoted(name)} lacks the 64-bit sizes that it announces`);
  let next = 0;
  return () => {
    for (let at = 0; at + 4 <= extra.byteLength; ) {
      const end = at + 4 + extra.getUint16(at + 2, true);
      if (extra.getUint16(at, true) === ZIP64_EXTRA) {
        const place = at + 4 + 8 * next++;
        if (end > extra.byteLength || place + 8 > end) throw fail();
        return wholeNumber(extra, place);
      }
      at = end;
    }
    throw fail();
  };
}

interface Directory {
  readonly offset: number;
  readonly size: number;
  readonly count: number;
}

function findDirectory(source: ByteSource): Directory {
  const length = Math.min(source.size, END_BYTES + MAX_COMMENT_BYTES);
  const tailStart = source.size - length;
  const tail = view(readBytes(source, tailStart, length));
  let at = length - END_BYTES;
  const isEnd = (place: number) =>
    tail.getUint32(place, true) === DIRECTORY_END &&
    place + END_BYTES + tail.getUint16(place + 20, true) === length;
  while (at >= 0 && !isEnd(at)) at--;
  if (at < 0) throw new FormatError("the directory at its end is missing: it is cut short");
  const disks = [4, 6].map((field) => tail.getUint16(at + field, true));
  const short = {
    count: tail.getUint16(at + 10, true),
    size: tail.getUint32(at + 12, true),
    offset: tail.getUint32(at + 16, true),
  };
  const isWide = short.count === MAX_16 || short.size === MAX_32 || short.offset === MAX_32;
  const directory = isWide ? (wideDirectory(source, tailStart + at) ?? short) : short;
  if (disks.some((disk) => disk !== 0 && disk !== MAX_16)) {
    throw new FormatError("it is one part of several, expected a whole archive");
  }
  if (directory.offset + directory.size > tailStart + at) {
    throw new FormatError(
      `its directory is said to take ${directory.size} bytes from byte ${directory.offset} on, expected an end by ` +
        `${tailStart + at}`,
    );
  }
  return directory;
}

/** The 64-bit record before the end record at `end`; undefined when there is none. */
function wideDirectory(source: ByteSource, end: number): Directory | undefined {
  if (end < LOCATOR_BYTES) return undefined;
  const locator = view(readBytes(source, end - LOCATOR_BYTES, LOCATOR_BYTES));
  if (locator.getUint32(0, true) !== LOCATOR_64) return undefined;
  const record = view(readBytes(source, wholeNumber(locator, 8), 56));
  if (record.getUint32(0, true) !== DIRECTORY_END_64) {
    throw new FormatError("its 64-bit directory record is not where it is said to be");
  }
  return {
    count: wholeNumber(record, 32),
    size: wholeNumber(record, 40),
    offset: wholeNumber(record, 48),
  };
}

function methodOf(number: number): ZipEntry["method"] | undefined {
  return number === 0 ? "stored" : number === 8 ? "deflated" : undefined;
}

function wholeNumber(data: DataView, at: number): number {
  const value = Number(data.getBigUint64(at, true));
  if (!Number.isSafeInteger(value))
    throw new FormatError(`it holds the size ${value}, expected one below 2^53`);
  return value;
}

function decodeName(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new FormatError("the name of one of its entries is no UTF-8 text", { cause });
  }
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
