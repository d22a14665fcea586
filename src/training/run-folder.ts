/** @file A run's folder: who may create, continue or replace it, and where things lie in it. */

import { existsSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { explainError, makeFolder, TEMPORARY_SUFFIX, writeFileAtomic } from "../files.js";
import { LockedError, RunLock } from "./run-lock.js";

/** A run folder cannot be created, continued or replaced; the message names the folder and what to do. */
export class RunFolderError extends Error {
  override readonly name = "RunFolderError";

  constructor(
    readonly path: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

const recordSchema = z.object({
  /** Also the mark by which a run folder is known: nothing else is ever deleted. */
  format: z.literal("inbetween-run/1"),
  recipe: z.object({ name: z.string(), hash: z.string() }),
  config: z.record(z.string(), z.unknown()),
});

/** What a run is: content of `config.json`. */
export interface RunRecord {
  readonly recipe: {
    readonly name: string;
    /** Of the recipe as it was found; see `hashJson`. */
    readonly hash: string;
  };
  /** The resolved configuration. */
  readonly config: object;
}

export interface StartOptions {
  /** Continue the run that is in the folder. */
  readonly resume?: boolean;
  /** Run or checkpoint whose weights a new run starts from. */
  readonly initFrom?: string;
  /** Delete the run that is in the folder and begin a new one. */
  readonly overwrite?: boolean;
}

/** @throws RunFolderError when more than one of the ways to start is asked for. */
export function checkStartOptions(path: string, options: StartOptions): void {
  const given = [
    options.resume && "--resume",
    options.initFrom !== undefined && "--init-from",
    options.overwrite && "--overwrite",
  ].filter((name) => typeof name === "string");
  if (given.length < 2) return;
  throw new RunFolderError(
    path,
    `${given.join(" and ")} exclude each other, expected at most one of them: --resume continues the run in ${path}, ` +
      "--init-from begins a new run with another run's weights, --overwrite deletes the run that is there.",
  );
}

const CONFIG = "config.json";
const LOCK = "run.lock";

/** Files that an interrupted start leaves in an otherwise empty folder. */
function isLeftover(name: string): boolean {
  return name === LOCK || name.endsWith(TEMPORARY_SUFFIX);
}

/**
 * What a run folder says of its run; needs no lock.
 *
 * @throws RunFolderError when the folder is no run folder or its `config.json` is damaged.
 */
export function readRunRecord(path: string): RunRecord {
  const file = join(path, CONFIG);
  if (!existsSync(file)) {
    throw new RunFolderError(
      path,
      `${path} is no run folder: it has no ${CONFIG}. Name the folder given to --out.`,
    );
  }
  let content: unknown;
  try {
    content = JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new RunFolderError(path, `${file} cannot be read: ${explainError(error)}.`, { cause: error });
  }
  const parsed = recordSchema.safeParse(content);
  if (!parsed.success) {
    const what = z.prettifyError(parsed.error).replaceAll("\n", " ");
    throw new RunFolderError(path, `${file} is not the ${CONFIG} of a run: ${what}.`, {
      cause: parsed.error,
    });
  }
  const { recipe, config } = parsed.data;
  return { recipe, config };
}

/**
 * As `readRunRecord`, of a run that is to be resumed.
 *
 * @throws RunFolderError also when there is no such folder.
 */
export function readResumedRecord(path: string): RunRecord {
  if (existsSync(path)) return readRunRecord(path);
  throw new RunFolderError(
    path,
    `${path} does not exist: there is no run to resume. Leave --resume out to begin one.`,
  );
}

/** The system's errors in words, with the folder's name. Runs `work`, giving the lock back when it fails. */
function guarded<T>(path: string, lock: RunLock | undefined, work: () => T): T {
  try {
    return work();
  } catch (error) {
    lock?.release();
    if (error instanceof RunFolderError) throw error;
    if (error instanceof LockedError) throw new RunFolderError(path, error.message, { cause: error });
    throw new RunFolderError(
      path,
      `${path} cannot be used for a run: ${explainError(error)}. Choose a folder that can be written with --out.`,
      { cause: error },
    );
  }
}

/** The folder of a run that this process works in, until `release()`. */
export class RunFolder {
  readonly checkpoints: string;
  readonly pictures: string;
  readonly report: string;
  readonly export: string;
  /** States of steps whose loss was not finite. */
  readonly dumps: string;
  readonly metricsFile: string;
  /** Images left out, and why. */
  readonly skippedFile: string;
  readonly #lock: RunLock;

  private constructor(
    readonly path: string,
    readonly record: RunRecord,
    lock: RunLock,
  ) {
    this.checkpoints = join(path, "checkpoints");
    this.pictures = join(path, "pictures");
    this.report = join(path, "report");
    this.export = join(path, "export");
    this.dumps = join(path, "dumps");
    this.metricsFile = join(path, "metrics.jsonl");
    this.skippedFile = join(path, "skipped.txt");
    this.#lock = lock;
  }

  /**
   * Begins a run in a new or empty folder.
   *
   * @param options.overwrite Deletes the run that is in the folder, and only if it is one.
   * @throws RunFolderError when the folder is not empty, holds something else than a run, is in use or not writable.
   */
  static create(path: string, record: RunRecord, options: { overwrite?: boolean } = {}): RunFolder {
    // Before the lock, too: nothing is written into a folder that is not ours.
    checkVacant(path, options.overwrite === true);
    const lock = guarded(path, undefined, () => {
      makeFolder(path);
      return RunLock.acquire(join(path, LOCK));
    });
    return guarded(path, lock, () => {
      requireVacant(path, options.overwrite === true);
      clear(path);
      const content = { format: "inbetween-run/1", recipe: record.recipe, config: record.config };
      writeFileAtomic(join(path, CONFIG), `${JSON.stringify(content, null, 2)}\n`);
      return RunFolder.#layOut(path, record, lock);
    });
  }

  /**
   * Continues the run in a folder.
   *
   * @throws RunFolderError when there is none, or when it is in use or not writable.
   */
  static open(path: string): RunFolder {
    const record = readResumedRecord(path);
    const lock = guarded(path, undefined, () => RunLock.acquire(join(path, LOCK)));
    return guarded(path, lock, () => RunFolder.#layOut(path, record, lock));
  }

  static #layOut(path: string, record: RunRecord, lock: RunLock): RunFolder {
    const folder = new RunFolder(path, record, lock);
    const { checkpoints, pictures, report, dumps } = folder;
    for (const each of [checkpoints, pictures, report, folder.export, dumps]) makeFolder(each);
    return folder;
  }

  /** Lets other processes work in the folder. */
  release(): void {
    this.#lock.release();
  }
}

/** @throws RunFolderError when a new run may not begin here. Looks only. */
export function checkVacant(path: string, overwrite: boolean): void {
  guarded(path, undefined, () => requireVacant(path, overwrite));
}

function requireVacant(path: string, overwrite: boolean): void {
  if (!existsSync(path)) return;
  if (!statSync(path).isDirectory()) {
    throw new RunFolderError(path, `${path} is a file, expected a folder for the run. Choose another --out.`);
  }
  if (readdirSync(path).every(isLeftover)) return;
  try {
    readRunRecord(path);
  } catch (cause) {
    const reason = (cause as Error).message;
    throw new RunFolderError(
      path,
      `${path} is not empty and holds no run (${reason}). ${overwrite ? "Nothing was deleted. " : ""}` +
        "Choose a new or empty folder with --out.",
      { cause },
    );
  }
  if (overwrite) return;
  throw new RunFolderError(
    path,
    `${path} already holds a run. Continue it with --resume, delete it and begin anew with --overwrite, ` +
      "or choose another folder with --out.",
  );
}

/** Deletes a run but for `config.json`, which is replaced: a folder half cleared is still known as a run folder. */
function clear(path: string): void {
  const names = readdirSync(path).filter((name) => name !== LOCK && name !== CONFIG);
  for (const name of names) rmSync(join(path, name), { recursive: true });
}
