/** @file Between the state on the device and checkpoints: saving it, and putting it back. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import type { TensorType } from "../graph/index.js";
import type { Method } from "../methods/index.js";
import type { Optimizer } from "../nn/index.js";
import { mapKeys } from "../records.js";
import type { Device, HostValue } from "../runtime/index.js";
import type { HostTensor } from "../weights/index.js";
import {
  type Checkpoint,
  CheckpointError,
  newestCheckpoint,
  readCheckpoint,
  STATE_FILE,
} from "./checkpoint.js";
import type { CheckpointStore } from "./checkpoint-store.js";
import type { RunConfig } from "./config.js";
import { hashJson } from "./hash-json.js";
import { PARAMETER, savedTypes, stateTypes, TEACHER, teacherSpecs } from "./state.js";

/** What a run trains, where. */
export interface Trained {
  readonly device: Device;
  readonly method: Method;
  readonly optimizer: Optimizer;
  readonly config: RunConfig;
}

/** Kept beside the tensors. */
interface SavedState {
  /** Of the configuration. */
  readonly configHash?: string;
  /** Of the list of images. */
  readonly data?: string;
}

/**
 * Saves the state after `step` steps.
 * @param data The data set's fingerprint.
 * @throws CheckpointError when it cannot be written, or is not worth keeping: a value that is not finite.
 */
export async function saveCheckpoint(
  store: CheckpointStore,
  { device, method, optimizer, config }: Trained,
  step: number,
  data: string,
): Promise<void> {
  const names = Object.keys(savedTypes(method, optimizer));
  const tensors = (await device.getState(names)) as Record<string, HostTensor>;
  const spoilt = Object.entries(tensors).find(([, { data: values }]) => !allFinite(values));
  if (spoilt) {
    throw new CheckpointError(
      store.folder,
      `step ${step}: ${spoilt[0]} is not finite after the update, so no checkpoint was written over the last good ` +
        "one; lower optimizer.baseLearningRate or set optimizer.clip",
    );
  }
  const state: SavedState = { configHash: hashJson(config), data };
  await store.save(step, new Map(Object.entries(tensors)), state);
}

function allFinite(values: HostTensor["data"]): boolean {
  // A loop over every weight: `every` with a callback takes several times as long.
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(Number(values[i]))) return false;
  return true;
}

/**
 * Puts a run's newest checkpoint on the device; returns the steps it had done, 0 without a checkpoint.
 * @param data The data set's fingerprint.
 * @throws CheckpointError when none is whole, or it was saved under another configuration.
 */
export async function resumeCheckpoint(
  store: CheckpointStore,
  { device, method, optimizer, config }: Trained,
  data: string,
  warn: (message: string) => void,
): Promise<number> {
  const checkpoint = await store.newest();
  if (!checkpoint) return 0;
  const saved = checkpoint.state as SavedState;
  if (saved.configHash !== hashJson(config)) {
    throw new CheckpointError(
      checkpoint.path,
      `${checkpoint.path} was saved under another configuration than the run's config.json; ` +
        "put the old config.json back, or begin a new run with --init-from",
    );
  }
  if (saved.data !== data) {
    warn(
      "the images are not those that this run was begun on: it continues, but not as it would have done uninterrupted",
    );
  }
  await load(device, checkpoint, Object.keys(savedTypes(method, optimizer)));
  return checkpoint.step;
}

/**
 * Puts the weights of another run's checkpoint on the device: its encoder, which must fit, and of the heads those that
 * do. Other heads start anew, they may be another method's, and so does a mask token.
 * @throws CheckpointError when the encoder does not fit.
 */
export async function initializeFrom(
  checkpoint: Checkpoint,
  { device, method }: Pick<Trained, "device" | "method">,
  warn: (message: string) => void,
): Promise<void> {
  const { parameters } = stateTypes(method);
  await using file = await checkpoint.open();
  const fits = ([name, { shape }]: [string, TensorType]) =>
    file.has(name) && file.info(name).shape.join() === shape.join();
  const isNeeded = ([name]: [string, TensorType]) =>
    name.startsWith(`${PARAMETER}encoder.`) && name !== `${PARAMETER}encoder.mask_token`;
  const entries = Object.entries(parameters);
  const anew = entries.filter((entry) => !isNeeded(entry) && !fits(entry)).map(([name]) => name);
  if (anew.length > 0) {
    const heads = new Set(
      anew.map((name) => name.slice(PARAMETER.length).replace(/^(?!encoder\.)(\w+)\..*/, "$1")),
    );
    warn(`${checkpoint.path} has no weights that fit the ${[...heads].join(" and the ")}: these start anew`);
  }
  await load(
    device,
    checkpoint,
    Object.keys(parameters).filter((name) => !anew.includes(name)),
  );
  // A teacher starts as its student does.
  const followed = Object.keys(teacherSpecs(method));
  const values = await device.getState(followed.map((name) => PARAMETER + name));
  await device.setState(mapKeys(values, (name) => TEACHER + name.slice(PARAMETER.length)));
}

/**
 * The checkpoint at a path, or the newest of a run folder or of a folder of checkpoints.
 * @param warn Told of damaged checkpoints that were passed over.
 */
export async function findCheckpoint(
  path: string,
  warn: (message: string) => void = () => undefined,
): Promise<Checkpoint> {
  if (existsSync(join(path, STATE_FILE))) return readCheckpoint(path);
  const checkpoint =
    (await newestCheckpoint(join(path, "checkpoints"), warn)) ?? (await newestCheckpoint(path, warn));
  if (checkpoint) return checkpoint;
  throw new CheckpointError(path, `${path} holds no checkpoint; name a run folder that has saved one`);
}

async function load(device: Device, checkpoint: Checkpoint, names: readonly string[]): Promise<void> {
  await using file = await checkpoint.open();
  const missing = names.filter((name) => !file.has(name));
  if (missing.length > 0) {
    throw new CheckpointError(
      checkpoint.path,
      `${checkpoint.path} lacks ${missing.length} of ${names.length} tensors (${missing.slice(0, 3).join(", ")}, …); ` +
        "it comes from another configuration: use the one that it was made with",
    );
  }
  const values: Record<string, HostValue> = {};
  for (const name of names) values[name] = (await file.read(name)) as HostValue;
  try {
    await device.setState(values, { transfer: true });
  } catch (error) {
    throw new CheckpointError(
      checkpoint.path,
      `${checkpoint.path} does not fit this configuration: ${(error as Error).message}`,
      { cause: error },
    );
  }
}
