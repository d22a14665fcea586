/**
 * @file Pretraining as a library call: a configuration and a folder of images in, a run folder out. Observers see
 * every step; what they write (logs, pictures, reports) is their business.
 */

import { availableParallelism } from "node:os";
import { type Dataset, openDataset, stepsPerEpoch } from "../data/index.js";
import type { Method } from "../methods/index.js";
import { makeMethod } from "../methods/index.js";
import { type VisionTransformerConfig, visionTransformerConfig } from "../models/index.js";
import type { Optimizer } from "../nn/index.js";
import { Device, type HostValue, type ProviderName } from "../runtime/index.js";
import type { HostTensor } from "../weights/index.js";
import { type Checkpoint, CheckpointError, newestCheckpoint } from "./checkpoint.js";
import { CheckpointStore } from "./checkpoint-store.js";
import { ConfigError, parseConfig, type RunConfig } from "./config.js";
import { NonFiniteError, writeDump } from "./dump.js";
import { hashJson } from "./hash-json.js";
import { type StepReport, trainingLoop } from "./loop.js";
import { makeOptimizer, makeSchedules } from "./optimization.js";
import { checkStartOptions, RunFolder, type StartOptions } from "./run-folder.js";
import { initializeState, PARAMETER, savedTypes, stateTypes } from "./state.js";
import { GradientStep } from "./step.js";
import { UpdateStep } from "./update.js";
import { makeViews } from "./views.js";

export interface PretrainOptions extends StartOptions {
  /** Validated configuration; ignored on resume, where the run's own is taken. */
  readonly config?: RunConfig;
  /** What `openDataset` takes. */
  readonly data: string;
  /** The run folder. */
  readonly out: string;
  readonly device?: ProviderName;
  readonly threads?: number;
  /** Stops the run after the step under way, with a checkpoint. */
  readonly signal?: AbortSignal;
  /** Told of what is unusual but no error. */
  readonly warn?: (message: string) => void;
  /** Made once everything is ready; see `RunObserver`. */
  readonly observe?: (context: RunContext) => Promise<RunObserver> | RunObserver;
}

/** What an observer may look at: the run's parts, alive. */
export interface RunContext {
  readonly config: RunConfig;
  readonly method: Method;
  readonly encoder: VisionTransformerConfig;
  readonly dataset: Dataset;
  readonly device: Device;
  readonly folder: RunFolder;
  readonly totalSteps: number;
  /** Steps already done when this process began. */
  readonly startStep: number;
}

export interface RunObserver {
  /** After each step. */
  step?(report: StepReport): Promise<void> | void;
  /** After each checkpoint. */
  checkpoint?(step: number): Promise<void> | void;
  /** Once, when the run ends for whatever reason; the device is still open. */
  close?(outcome: PretrainResult | undefined): Promise<void> | void;
}

export interface PretrainResult {
  /** Path of the run folder. */
  readonly run: string;
  /** Steps finished. */
  readonly step: number;
  readonly totalSteps: number;
  /** Over the steps of this process. */
  readonly imagesPerSecond: number;
  /** Of the last step; empty when none was run. */
  readonly loss: Readonly<Record<string, number>>;
  /** Whether the signal stopped the run before its end. */
  readonly interrupted: boolean;
}

/**
 * Runs or resumes a pretraining.
 * @throws ConfigError, DataError, RunFolderError, CheckpointError, ProviderError, NonFiniteError: each says what to do.
 */
export async function pretrain(options: PretrainOptions): Promise<PretrainResult> {
  const {
    data,
    out,
    device: provider = "cpu",
    threads = availableParallelism(),
    warn = () => undefined,
  } = options;
  checkStartOptions(out, options);
  const folder = openFolder(options);
  let device: Device | undefined;
  let observer: RunObserver | undefined;
  let result: PretrainResult | undefined;
  try {
    const config = parseConfig(folder.record.config, `${folder.path}/config.json`);
    const dataset = await openDataset(data, {
      skippedFile: folder.skippedFile,
      synthetic: { seed: config.seed, size: config.imageSize },
    });
    const { method, encoder } = buildMethod(config);
    const totalSteps = runLength(config, dataset);
    const optimizer = makeOptimizer(config);
    device = await Device.open({ provider, threads });
    const gradients = await GradientStep.compile(device, method, config.batchSize, config.accumulate);
    const update = await UpdateStep.compile(device, method, { optimizer, clip: clipOf(config) });
    const store = new CheckpointStore(folder.checkpoints, { keepLast: config.log.keep, warn });
    await initializeState(device, method, optimizer, config.seed);
    const startStep = await restore(device, method, optimizer, config, options, store);
    const context = { config, method, encoder, dataset, device, folder, totalSteps, startStep };
    observer = await options.observe?.(context);
    let last: StepReport | undefined;
    const save = async (step: number): Promise<void> => {
      await saveCheckpoint(store, context, optimizer, step);
      await observer?.checkpoint?.(step);
    };
    try {
      await trainingLoop({
        config,
        method,
        dataset,
        gradients,
        update,
        schedules: makeSchedules(config, totalSteps),
        startStep,
        totalSteps,
        signal: options.signal ?? new AbortController().signal,
        onStep: async (report) => {
          last = report;
          await observer?.step?.(report);
          if (report.step % config.log.checkpointEvery === 0) await save(report.step);
        },
      });
    } catch (error) {
      if (error instanceof NonFiniteError) {
        const dump = await writeDump(folder.dumps, error, device, Object.keys(savedTypes(method, optimizer)));
        error.message += `. The step is kept in ${dump}: look at it with \`inbetween replay ${dump}\``;
      }
      throw error;
    }
    const step = last?.step ?? startStep;
    if (step % config.log.checkpointEvery !== 0 || step === 0) await save(step);
    result = {
      run: folder.path,
      step,
      totalSteps,
      imagesPerSecond: last ? ((last.step - startStep) * config.batchSize) / last.seconds : 0,
      loss: last?.gradients.losses ?? {},
      interrupted: step < totalSteps,
    };
    return result;
  } finally {
    await observer?.close?.(result);
    await device?.close();
    folder.release();
  }
}

function openFolder({ config, out, resume, overwrite = false }: PretrainOptions): RunFolder {
  if (resume) return RunFolder.open(out);
  if (!config) throw new ConfigError("a new run needs a configuration; name a recipe");
  const record = { recipe: { name: config.name, hash: hashJson(config) }, config };
  return RunFolder.create(out, record, { overwrite });
}

/** The method and encoder that a configuration describes. @throws ConfigError when their sizes do not fit. */
export function buildMethod(config: RunConfig): { method: Method; encoder: VisionTransformerConfig } {
  try {
    const encoder = visionTransformerConfig({ ...config.encoder, imageSize: config.imageSize });
    return { method: makeMethod(config.method, encoder, makeViews(config)), encoder };
  } catch (error) {
    if (error instanceof RangeError)
      throw new ConfigError(`${config.name}: ${error.message}`, { cause: error });
    throw error;
  }
}

/** Optimiser steps of the whole run. @throws ConfigError when the data set has not one batch. */
export function runLength({ steps, epochs, batchSize }: RunConfig, dataset: Dataset): number {
  const perEpoch = stepsPerEpoch(dataset.length, batchSize, true);
  if (perEpoch === 0) {
    throw new ConfigError(
      `"batchSize" ${batchSize} is more than the ${dataset.length} images of ${dataset.name}; ` +
        `use at most ${dataset.length}, or add images`,
    );
  }
  return steps ?? Math.max(1, Math.round((epochs ?? 1) * perEpoch));
}

function clipOf({ optimizer: { clip } }: RunConfig) {
  return clip && { norm: clip.norm, scope: clip.scope === "global" ? ("all" as const) : clip.scope };
}

/** Puts a checkpoint's state on the device where one is asked for; returns the steps it had done. */
async function restore(
  device: Device,
  method: Method,
  optimizer: Optimizer,
  config: RunConfig,
  { resume, initFrom }: StartOptions,
  store: CheckpointStore,
): Promise<number> {
  if (resume) {
    const checkpoint = await store.newest();
    if (!checkpoint) return 0;
    const { configHash } = checkpoint.state as { readonly configHash?: string };
    if (configHash !== hashJson(config)) {
      throw new CheckpointError(
        checkpoint.path,
        `${checkpoint.path} was saved under another configuration than the run's config.json; ` +
          "put the old config.json back, or begin a new run with --init-from",
      );
    }
    await load(device, checkpoint, Object.keys(savedTypes(method, optimizer)));
    return checkpoint.step;
  }
  if (initFrom !== undefined) {
    const checkpoint = await findCheckpoint(initFrom);
    await using file = await checkpoint.open();
    const { parameters } = stateTypes(method);
    // Heads may be another method's; the encoder must be there.
    const isWanted = (name: string) => name.startsWith(`${PARAMETER}encoder.`) || file.names.includes(name);
    await load(device, checkpoint, Object.keys(parameters).filter(isWanted));
  }
  return 0;
}

/** The newest checkpoint of a run folder, or of a folder of checkpoints. */
export async function findCheckpoint(path: string): Promise<Checkpoint> {
  const checkpoint =
    (await newestCheckpoint(`${path}/checkpoints`, () => undefined)) ??
    (await newestCheckpoint(path, () => undefined));
  if (checkpoint) return checkpoint;
  throw new CheckpointError(path, `${path} holds no checkpoint; name a run folder that has saved one`);
}

async function load(device: Device, checkpoint: Checkpoint, names: readonly string[]): Promise<void> {
  await using file = await checkpoint.open();
  const missing = names.filter((name) => !file.names.includes(name));
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
    await device.setState(values);
  } catch (error) {
    throw new CheckpointError(
      checkpoint.path,
      `${checkpoint.path} does not fit this configuration: ${(error as Error).message}`,
      { cause: error },
    );
  }
}

async function saveCheckpoint(
  store: CheckpointStore,
  { device, method, config }: RunContext,
  optimizer: Optimizer,
  step: number,
): Promise<void> {
  const tensors = (await device.getState(Object.keys(savedTypes(method, optimizer)))) as Record<
    string,
    HostTensor
  >;
  await store.save(step, new Map(Object.entries(tensors)), { configHash: hashJson(config) });
}
