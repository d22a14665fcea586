/**
 * @file Saves checkpoints so that killing the process, a power cut or a full disk at any moment leaves the last good one
 * readable: everything is written into a temporary sibling folder, flushed, and renamed.
 */

import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from "node:fs";
import { rm, statfs } from "node:fs/promises";
import { join } from "node:path";
import {
  explainError,
  makeFolder,
  syncFolder,
  systemErrorCode,
  TEMPORARY_SUFFIX,
  writeFileAtomic,
} from "../files.js";
import { bytesPerElement, elementCount, type HostTensor, writeSafetensors } from "../weights/index.js";
import {
  type Checkpoint,
  CheckpointError,
  checkpointName,
  checkpointSteps,
  LATEST_FILE,
  newestCheckpoint,
  STATE_FILE,
  type StateFile,
  WEIGHTS_FILE,
} from "./checkpoint.js";

export interface CheckpointStoreOptions {
  /** The newest this many are kept, from 1. */
  keepLast: number;
  /** Checkpoints at multiples of this many steps are kept for good. */
  keepEvery?: number;
  /** Told what went wrong without harm: damaged checkpoints passed over, old ones that could not be removed. */
  warn: (message: string) => void;
}

/** A checkpoint moved aside while another of the same step takes its place. */
const REPLACED_SUFFIX = `.replaced${TEMPORARY_SUFFIX}`;

/** JSON that reads back as the same value: NaN and infinities would silently become null. */
function toJson(path: string, value: unknown): string {
  return JSON.stringify(
    value,
    (key, entry: unknown) => {
      if (typeof entry === "number" && !Number.isFinite(entry)) {
        throw new CheckpointError(
          path,
          `${path}: "${key}" is ${entry}, expected a finite number: JSON has no other`,
        );
      }
      return entry;
    },
    2,
  );
}

/** The checkpoints of one run. Whoever holds the store must be the only one that writes into its folder. */
export class CheckpointStore {
  readonly folder: string;
  readonly #options: CheckpointStoreOptions;

  /**
   * Creates the folder when it is missing and clears away what a killed process left unfinished.
   *
   * @throws CheckpointError when the folder cannot be written, RangeError for `keepLast` or `keepEvery` below 1.
   */
  constructor(folder: string, options: CheckpointStoreOptions) {
    const { keepLast, keepEvery = 1 } = options;
    for (const [name, value] of Object.entries({ keepLast, keepEvery })) {
      if (!Number.isSafeInteger(value) || value < 1) {
        throw new RangeError(`${name} is ${value}, expected a whole number from 1`);
      }
    }
    this.folder = folder;
    this.#options = options;
    try {
      makeFolder(folder);
      this.#clearUnfinished();
    } catch (error) {
      const message = `${folder} cannot be written: ${explainError(error)}. Make it writable, or choose another --out.`;
      throw new CheckpointError(folder, message, { cause: error });
    }
  }

  #clearUnfinished(): void {
    for (const name of readdirSync(this.folder)) {
      if (!name.endsWith(TEMPORARY_SUFFIX)) continue;
      const path = join(this.folder, name);
      const original = path.slice(0, -REPLACED_SUFFIX.length);
      if (name.endsWith(REPLACED_SUFFIX) && !existsSync(original)) renameSync(path, original);
      else rmSync(path, { recursive: true });
    }
  }

  /** The checkpoint to resume from; see `newestCheckpoint`. */
  newest(): Promise<Checkpoint | undefined> {
    return newestCheckpoint(this.folder, this.#options.warn);
  }

  /**
   * Saves a checkpoint, removes old ones, and removes those of later steps: they belong to a course of the run that
   * was left when it resumed from an earlier step. Calls must not overlap, and the arrays must not change meanwhile.
   *
   * @param step Optimiser steps finished.
   * @param state Plain data with finite numbers, stored as JSON.
   * @returns The checkpoint's path.
   * @throws CheckpointError when it cannot be written; earlier checkpoints are untouched and nothing is left behind.
   */
  async save(step: number, tensors: ReadonlyMap<string, HostTensor>, state: object): Promise<string> {
    if (!Number.isSafeInteger(step) || step < 0) {
      throw new RangeError(`step is ${step}, expected a whole number from 0`);
    }
    const path = join(this.folder, checkpointName(step));
    const temporary = `${path}${TEMPORARY_SUFFIX}`;
    try {
      await rm(temporary, { recursive: true, force: true });
      mkdirSync(temporary);
      const { byteLength, sha256 } = await writeSafetensors(join(temporary, WEIGHTS_FILE), tensors);
      const content: StateFile = {
        formatVersion: 1,
        step,
        state,
        weights: {
          byteLength,
          sha256,
          tensors: [...tensors].map(([name, tensor]) => describe(name, tensor)),
        },
      };
      writeFileAtomic(join(temporary, STATE_FILE), `${toJson(path, content)}\n`);
      this.#publish(temporary, path);
    } catch (error) {
      // What was the reason for failing may prevent this too; the next start clears it away then.
      await rm(temporary, { recursive: true, force: true }).catch(() => {});
      throw error instanceof CheckpointError ? error : await this.#failure(path, tensors, error);
    }
    this.#prune(step);
    // After pruning, which makes room.
    this.#attempt(`${join(this.folder, LATEST_FILE)} could not be updated`, () =>
      writeFileAtomic(join(this.folder, LATEST_FILE), `${checkpointName(step)}\n`),
    );
    return path;
  }

  /** Gives a complete folder its name. Its files and itself were flushed when they were written. */
  #publish(temporary: string, path: string): void {
    const replaced = `${path}${REPLACED_SUFFIX}`;
    const exists = existsSync(path);
    if (exists) renameSync(path, replaced);
    try {
      renameSync(temporary, path);
    } catch (error) {
      if (exists) renameSync(replaced, path);
      throw error;
    }
    syncFolder(this.folder);
    rmSync(replaced, { recursive: true, force: true });
  }

  async #failure(
    path: string,
    tensors: ReadonlyMap<string, HostTensor>,
    error: unknown,
  ): Promise<CheckpointError> {
    const code = systemErrorCode(error);
    let advice = "Make the folder writable";
    if (code === "ENOSPC" || code === "EDQUOT") {
      let needed = 0;
      for (const { shape, dtype } of tensors.values()) needed += elementCount(shape) * bytesPerElement(dtype);
      const { bavail, bsize } = await statfs(this.folder);
      const size = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
      advice = `It takes ${size(needed)}, and ${size(bavail * bsize)} are free. Free some space or keep fewer checkpoints`;
    }
    const newest = checkpointSteps(this.folder).at(-1);
    const rest =
      newest === undefined
        ? `${advice}, then start again.`
        : `${advice}, then continue with --resume: the last checkpoint is ${checkpointName(newest)}.`;
    const message = `The checkpoint ${path} could not be written: ${explainError(error)}. ${rest}`;
    return new CheckpointError(path, message, { cause: error });
  }

  /** Keeps the newest `keepLast` up to `step` and the multiples of `keepEvery`. */
  #prune(step: number): void {
    const { keepLast, keepEvery } = this.#options;
    const steps = checkpointSteps(this.folder);
    const kept = new Set(steps.filter((s) => s <= step).slice(-keepLast));
    for (const old of steps) {
      const forever = old <= step && keepEvery !== undefined && old % keepEvery === 0;
      if (kept.has(old) || forever) continue;
      const path = join(this.folder, checkpointName(old));
      this.#attempt(`The old checkpoint ${path} could not be removed`, () => {
        // Under its own name a folder that is half removed would be taken for a damaged checkpoint.
        renameSync(path, `${path}${TEMPORARY_SUFFIX}`);
        rmSync(`${path}${TEMPORARY_SUFFIX}`, { recursive: true });
      });
    }
  }

  /** Does what the checkpoint just saved does not depend on: failing is worth a warning only. */
  #attempt(failure: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#options.warn(`${failure}: ${explainError(error)}.`);
    }
  }
}

function describe(name: string, { dtype, shape, data }: HostTensor): StateFile["weights"]["tensors"][number] {
  return { name, dtype, shape: [...shape], byteLength: data.byteLength };
}
