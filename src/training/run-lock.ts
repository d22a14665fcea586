/** @file One process at a time trains in a run folder: a lock file that a dead process's successor takes over. */

import {
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { z } from "zod";
import { systemErrorCode, TEMPORARY_SUFFIX } from "../files.js";

const ownerSchema = z.object({
  pid: z.int().positive(),
  host: z.string(),
  /** Tells a process from a later one with the same number; null where the system does not say. */
  started: z.string().nullable(),
  since: z.string(),
});

/** Who holds a lock. */
export type LockOwner = z.infer<typeof ownerSchema>;

/** Thrown when a running process holds the lock, or one of which this machine cannot tell. */
export class LockedError extends Error {
  override readonly name = "LockedError";
}

/** Milliseconds in which a lock file is written after it was created. */
const WRITING_TIME = 5000;

/** When a process started: boot and clock tick (Linux, proc(5), field 22 of /proc/PID/stat). */
function startOf(pid: number): string | null {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "latin1");
    // Field 2 is the command in brackets and may hold anything; field 3 follows the last bracket.
    const ticks = fields.slice(fields.lastIndexOf(")") + 2).split(" ")[19];
    return `${readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim()}/${ticks}`;
  } catch {
    return null;
  }
}

function runs({ pid, started }: LockOwner): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it runs, as another user.
    if (systemErrorCode(error) === "ESRCH") return false;
  }
  const now = startOf(pid);
  return started === null || now === null || now === started;
}

function ownerOf(text: string): LockOwner | undefined {
  try {
    return ownerSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

/** @throws LockedError when the owner of this lock file's text may still be at work. */
function checkStale(path: string, text: string): void {
  const owner = ownerOf(text);
  if (owner === undefined) {
    if (Date.now() - statSync(path).mtimeMs > WRITING_TIME) return;
    throw new LockedError(`${path} was just created by another process: two cannot work in one run folder.`);
  }
  const who = `process ${owner.pid} on ${owner.host}, since ${owner.since}`;
  if (owner.host !== hostname()) {
    throw new LockedError(
      `${path} is held by ${who}. If it is no longer running, delete this file and try again.`,
    );
  }
  if (runs(owner))
    throw new LockedError(`${path} is held by ${who}. Wait for it or stop it, or choose another folder.`);
}

/** Creates a file that must not exist; when its content cannot be written, it is removed again. */
function createFile(path: string, text: string): void {
  const descriptor = openSync(path, "wx");
  try {
    writeFileSync(descriptor, text);
    fsyncSync(descriptor);
  } catch (error) {
    rmSync(path);
    throw error;
  } finally {
    closeSync(descriptor);
  }
}

/** A held lock. */
export class RunLock {
  readonly #path: string;
  readonly #text: string;

  private constructor(path: string, text: string) {
    this.#path = path;
    this.#text = text;
  }

  /**
   * @throws LockedError when a running process (this one included) holds the lock.
   * @throws the system's error when the file cannot be created.
   */
  static acquire(path: string): RunLock {
    const { pid } = process;
    const owner: LockOwner = {
      pid,
      host: hostname(),
      started: startOf(pid),
      since: new Date().toISOString(),
    };
    const text = `${JSON.stringify(owner)}\n`;
    for (let attempt = 0; attempt < 10; attempt++) {
      try {
        createFile(path, text);
        return new RunLock(path, text);
      } catch (error) {
        if (systemErrorCode(error) !== "EEXIST") throw error;
      }
      RunLock.#removeStale(path);
    }
    throw new LockedError(`${path} changes hands all the time: other processes want this run folder too.`);
  }

  /** Removes a dead process's lock, but not one that another process has put in its place meanwhile. */
  static #removeStale(path: string): void {
    try {
      const text = readFileSync(path, "utf8");
      checkStale(path, text);
      const aside = `${path}.${process.pid}${TEMPORARY_SUFFIX}`;
      renameSync(path, aside);
      if (readFileSync(aside, "utf8") === text) rmSync(aside);
      else renameSync(aside, path);
    } catch (error) {
      // Released or taken over by another process between two of these calls: look again.
      if (systemErrorCode(error) !== "ENOENT") throw error;
    }
  }

  /** Gives the lock back, unless someone removed it and another process holds it now. */
  release(): void {
    try {
      if (readFileSync(this.#path, "utf8") === this.#text) rmSync(this.#path);
    } catch (error) {
      if (systemErrorCode(error) !== "ENOENT") throw error;
    }
  }
}
