/** @file Files that are whole or absent: atomic replacement, durable folders, and system errors in words. */

import { randomBytes } from "node:crypto";
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, statSync, writeSync } from "node:fs";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

/** Ending of everything that is not finished yet. What still has it when its writer is gone can be removed. */
export const TEMPORARY_SUFFIX = ".tmp";

function temporaryName(path: string): string {
  return `${path}.${randomBytes(4).toString("hex")}${TEMPORARY_SUFFIX}`;
}

/**
 * Replaces a small file as a whole: a reader sees the old bytes or the new ones, never a part, also after a power cut.
 *
 * @throws the system's error; the old file is then untouched and nothing is left beside it.
 */
export function writeFileAtomic(path: string, data: string | Uint8Array): void {
  const bytes = typeof data === "string" ? Buffer.from(data, "utf8") : data;
  const temporary = temporaryName(path);
  try {
    const descriptor = openSync(temporary, "wx");
    try {
      for (let done = 0; done < bytes.length; ) done += writeSync(descriptor, bytes, done);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  syncFolder(dirname(path));
}

/** A large file written piece by piece that takes its place only when it is complete. */
export class AtomicFile {
  readonly path: string;
  readonly #temporary: string;
  readonly #file: FileHandle;

  private constructor(path: string, temporary: string, file: FileHandle) {
    this.path = path;
    this.#temporary = temporary;
    this.#file = file;
  }

  static async create(path: string): Promise<AtomicFile> {
    const temporary = temporaryName(path);
    return new AtomicFile(path, temporary, await open(temporary, "wx"));
  }

  /** Appends all bytes: one system call may take fewer than it was given. */
  async write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      done += (await this.#file.write(bytes, done, bytes.length - done)).bytesWritten;
    }
  }

  /** Replaces bytes that were written before. */
  async rewrite(bytes: Uint8Array, position: number): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      done += (await this.#file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
    }
  }

  /** Flushes to the device and takes the place of `path`. */
  async commit(): Promise<void> {
    await this.#file.sync();
    await this.#file.close();
    await rename(this.#temporary, this.path);
    syncFolder(dirname(this.path));
  }

  /** Gives up: what was at `path` before stays as it is. */
  async abort(): Promise<void> {
    // Already closed when it was the rename that failed.
    await this.#file.close().catch(() => {});
    await rm(this.#temporary, { force: true });
  }
}

/**
 * Makes a folder and those above it; one that exists is fine. Node's recursive `mkdir` reports a read-only file system
 * as a missing folder.
 */
export function makeFolder(path: string): void {
  try {
    mkdirSync(path);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === "ENOENT" && dirname(path) !== path) {
      makeFolder(dirname(path));
      mkdirSync(path);
    } else if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) throw error;
  }
}

/** Makes renames inside a folder durable, where the platform can open folders and its file system can flush them. */
export function syncFolder(path: string): void {
  if (process.platform === "win32") return;
  const descriptor = openSync(path, "r");
  try {
    fsyncSync(descriptor);
  } catch (error) {
    if (!["EINVAL", "ENOTSUP"].includes(systemErrorCode(error) ?? "")) throw error;
  } finally {
    closeSync(descriptor);
  }
}

/** The code of a system error ("ENOENT"), undefined for anything else. */
export function systemErrorCode(error: unknown): string | undefined {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return typeof code === "string" && /^E[A-Z0-9]+$/.test(code) ? code : undefined;
}

const explanations: Readonly<Record<string, string>> = {
  EACCES: "permission denied",
  EDQUOT: "the disk quota is used up",
  EFBIG: "the file is larger than the file system or the process's limit (ulimit -f) allows",
  EIO: "the device reported an input/output error",
  EISDIR: "it is a folder",
  EMFILE: "too many files are open in this process",
  ENAMETOOLONG: "the name is too long",
  ENFILE: "too many files are open on this machine",
  ENOENT: "no such file or folder",
  ENOSPC: "no space left on the device",
  ENOTDIR: "a part of the path is a file, not a folder",
  EPERM: "the operation is not permitted",
  EROFS: "the file system is read-only",
};

/** Why a call to the system failed, in words: "no space left on the device (ENOSPC)". */
export function explainError(error: unknown): string {
  const code = systemErrorCode(error);
  const words = code === undefined ? undefined : explanations[code];
  if (words !== undefined) return `${words} (${code})`;
  return error instanceof Error ? error.message : String(error);
}
