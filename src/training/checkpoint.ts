/** @file Checkpoints as they lie on disk: which there are, whether they are whole, and what is in them. */

import { createHash } from "node:crypto";
import { createReadStream, existsSync, readdirSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { z } from "zod";
import { explainError, systemErrorCode } from "../files.js";
import { openSafetensors, type SafetensorsFile } from "../weights/index.js";

export const WEIGHTS_FILE = "state.safetensors";
export const STATE_FILE = "state.json";
/** Names the newest checkpoint, for people and scripts. Resuming looks at the folders themselves. */
export const LATEST_FILE = "latest";

/** Saving or loading failed; the message names the path and what to do. */
export class CheckpointError extends Error {
  override readonly name: string = "CheckpointError";

  constructor(
    readonly path: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** A checkpoint whose files are missing, cut short or altered: an older one can take its place. */
export class DamagedCheckpointError extends CheckpointError {
  override readonly name = "DamagedCheckpointError";

  constructor(path: string, what: string, options?: ErrorOptions) {
    super(path, `${path} is damaged: ${what}`, options);
  }
}

const stateSchema = z.object({
  formatVersion: z.literal(1),
  step: z.int().nonnegative(),
  state: z.unknown(),
  weights: z.object({
    byteLength: z.int(),
    sha256: z.string(),
    /** Repeated from the safetensors header, for readers that know JSON only. */
    tensors: z.array(
      z.object({ name: z.string(), dtype: z.string(), shape: z.array(z.int()), byteLength: z.int() }),
    ),
  }),
});

/** Content of `state.json`. */
export type StateFile = z.infer<typeof stateSchema>;

/** A checkpoint that was found whole. */
export interface Checkpoint {
  /** Optimiser steps finished. */
  readonly step: number;
  readonly path: string;
  /** What was saved beside the tensors. */
  readonly state: unknown;
  /** Opens its tensors. */
  open(): Promise<SafetensorsFile>;
}

export function checkpointName(step: number): string {
  return `step-${String(step).padStart(8, "0")}`;
}

/** The step of a checkpoint folder's name, undefined for any other name. */
function stepOf(name: string): number | undefined {
  const step = Number(/^step-(\d{8,})$/.exec(name)?.[1]);
  return Number.isSafeInteger(step) && checkpointName(step) === name ? step : undefined;
}

/** Steps that have a folder, whole or not, in ascending order; none when the folder does not exist. */
export function checkpointSteps(folder: string): number[] {
  if (!existsSync(folder)) return [];
  const steps = readdirSync(folder).map(stepOf);
  return steps.filter((step) => step !== undefined).sort((a, b) => a - b);
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 4 << 20 })) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

/** Codes that say nothing about the checkpoint itself: passing over a good one would throw work away. */
const unrelatedCodes = ["EACCES", "EPERM", "EMFILE", "ENFILE"];

async function check(path: string): Promise<StateFile> {
  let json: unknown;
  try {
    json = JSON.parse(await readFile(join(path, STATE_FILE), "utf8"));
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new DamagedCheckpointError(path, `${STATE_FILE} is no JSON (${error.message})`, { cause: error });
  }
  const parsed = stateSchema.safeParse(json);
  if (!parsed.success) {
    throw new DamagedCheckpointError(
      path,
      `${STATE_FILE}: ${z.prettifyError(parsed.error).replaceAll("\n", " ")}`,
    );
  }
  const { step, weights } = parsed.data;
  if (checkpointName(step) !== basename(path)) {
    throw new DamagedCheckpointError(
      path,
      `${STATE_FILE} is of step ${step}, expected that of the folder's name`,
    );
  }
  const file = join(path, WEIGHTS_FILE);
  const { size } = await stat(file);
  if (size !== weights.byteLength) {
    throw new DamagedCheckpointError(
      path,
      `${WEIGHTS_FILE} has ${size} bytes, expected ${weights.byteLength}`,
    );
  }
  if ((await sha256Of(file)) !== weights.sha256) {
    throw new DamagedCheckpointError(
      path,
      `the content of ${WEIGHTS_FILE} has changed (its SHA-256 differs)`,
    );
  }
  return parsed.data;
}

/**
 * Reads one checkpoint and checks that it is whole: both files there, the tensors' size and SHA-256 as recorded.
 *
 * @throws DamagedCheckpointError saying what is wrong with it.
 * @throws CheckpointError when it cannot be read for another reason, such as permissions.
 */
export async function readCheckpoint(path: string): Promise<Checkpoint> {
  let content: StateFile;
  try {
    content = await check(path);
  } catch (error) {
    if (error instanceof CheckpointError) throw error;
    const code = systemErrorCode(error);
    if (code === undefined) throw error;
    const missing = code === "ENOENT" ? "a file is missing: " : "";
    if (!unrelatedCodes.includes(code)) {
      const file = (error as NodeJS.ErrnoException).path;
      const where = file === undefined ? "" : ` (${basename(file)})`;
      throw new DamagedCheckpointError(path, `${missing}${explainError(error)}${where}`, { cause: error });
    }
    throw new CheckpointError(
      path,
      `${path} cannot be read: ${explainError(error)}. Make it readable, or name another checkpoint.`,
      { cause: error },
    );
  }
  const { step, state } = content;
  return { step, path, state, open: () => openSafetensors(join(path, WEIGHTS_FILE)) };
}

/**
 * The newest whole checkpoint of a folder, undefined when it has none at all.
 *
 * @param warn Told of each damaged checkpoint that was passed over.
 * @throws CheckpointError when there are checkpoints and all are damaged, naming what is wrong with each.
 */
export async function newestCheckpoint(
  folder: string,
  warn: (message: string) => void,
): Promise<Checkpoint | undefined> {
  const damages: string[] = [];
  for (const step of checkpointSteps(folder).reverse()) {
    try {
      const checkpoint = await readCheckpoint(join(folder, checkpointName(step)));
      for (const damage of damages) warn(`${damage}. Using ${checkpointName(step)} instead.`);
      return checkpoint;
    } catch (error) {
      if (!(error instanceof DamagedCheckpointError)) throw error;
      damages.push(error.message);
    }
  }
  if (damages.length === 0) return undefined;
  throw new CheckpointError(
    folder,
    `No checkpoint in ${folder} is whole: ${damages.join("; ")}. Restore one from a copy, or start over with --overwrite.`,
  );
}
