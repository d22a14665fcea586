/** @file Append-only files of one JSON value a line that survive a process killed in the middle of a write. */

import {
  closeSync,
  existsSync,
  fdatasyncSync,
  openSync,
  readFileSync,
  truncateSync,
  writeSync,
} from "node:fs";
import { writeFileAtomic } from "../files.js";

const NEWLINE = 0x0a;

/** JSON has no NaN or infinities, and a diverged loss must not turn into `null`: they are stored by name. */
function nameNonFinite(_key: string, value: unknown): unknown {
  return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
}

/** Undoes `nameNonFinite` in a subtree that holds numbers only under the names given back here. */
export function reviveNumbers<T>(value: T): T {
  return JSON.parse(JSON.stringify(value), (_key, entry: unknown) =>
    entry === "NaN" || entry === "Infinity" || entry === "-Infinity" ? Number(entry) : entry,
  ) as T;
}

/** Writes all bytes: one `write` may take fewer than it was given, for example on a full disk. */
export function writeAll(descriptor: number, bytes: Uint8Array): void {
  let written = 0;
  while (written < bytes.length) written += writeSync(descriptor, bytes, written, bytes.length - written);
}

interface Parsed {
  values: unknown[];
  /** Bytes up to the end of the last complete line. */
  completeBytes: number;
}

function parse(path: string): Parsed {
  const bytes = readFileSync(path);
  const completeBytes = bytes.lastIndexOf(NEWLINE) + 1;
  const values: unknown[] = [];
  const lines = bytes.toString("utf8", 0, completeBytes).split("\n");
  lines.forEach((line, index) => {
    if (line.trim() === "") return;
    try {
      values.push(JSON.parse(line));
    } catch {
      throw new Error(
        `${path}, line ${index + 1}: expected one JSON value, got ${JSON.stringify(line.slice(0, 60))}. ` +
          "Only an unfinished last line is repaired; delete this line or restore the file.",
      );
    }
  });
  return { values, completeBytes };
}

/**
 * Reads every complete line; a missing file is empty, an unfinished last line (a killed writer) is left out.
 *
 * @throws Error naming file and line where a complete line is not JSON.
 */
export function readJsonLines(path: string): unknown[] {
  return existsSync(path) ? parse(path).values : [];
}

/** Appends rows; each is handed to the system in one write, so that killing the process loses none. */
export class JsonLinesWriter {
  private readonly descriptor: number;

  /**
   * Opens for appending, creating the file if needed and cutting off an unfinished last line.
   *
   * @param keep when given, rows for which it is false are dropped first (the file is replaced atomically).
   */
  constructor(
    readonly path: string,
    keep?: (row: unknown) => boolean,
  ) {
    if (existsSync(path)) {
      const { values, completeBytes } = parse(path);
      const kept = keep ? values.filter(keep) : values;
      if (kept.length < values.length)
        writeFileAtomic(path, kept.map((row) => `${JSON.stringify(row)}\n`).join(""));
      else truncateSync(path, completeBytes);
    }
    this.descriptor = openSync(path, "a");
  }

  append(row: object): void {
    writeAll(this.descriptor, Buffer.from(`${JSON.stringify(row, nameNonFinite)}\n`, "utf8"));
  }

  /** Flushes to the device: after this a power cut loses nothing either. */
  sync(): void {
    fdatasyncSync(this.descriptor);
  }

  close(): void {
    closeSync(this.descriptor);
  }
}
