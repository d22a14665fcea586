/**
 * @file Pretraining as a library call: a configuration and a folder of images in, a run folder out. Observers see
 * every step; what they write (logs, pictures, reports) is their business.
 */

import { availableParallelism } from "node:os";
import type { Dataset } from "../data/index.js";
import { explainError, systemErrorCode } from "../files.js";
import type { Method, RunLength } from "../methods/index.js";
import type { VisionTransformerConfig } from "../models/index.js";
import { Device, type ProviderName } from "../runtime/index.js";
import { CheckpointStore } from "./checkpoint-store.js";
import type { RunConfig } from "./config.js";
import { NonFiniteError, writeDump } from "./dump.js";
import { type StepReport, trainingLoop } from "./loop.js";
import { makeSchedules, updateOptions } from "./optimization.js";
import { findCheckpoint, initializeFrom, resumeCheckpoint, saveCheckpoint, type Trained } from "./restore.js";
import { checkStartOptions, RunFolder, RunFolderError, type StartOptions } from "./run-folder.js";
import { planRun, type RunPlan, type RunRequest } from "./run-plan.js";
import { initializeState, savedTypes } from "./state.js";
import { compileTrainingStep, type TrainingStep } from "./training-step.js";

export interface PretrainOptions extends RunRequest, StartOptions {
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
  readonly length: RunLength;
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

/** A run that is ready to begin: everything that could be refused has been accepted, and nothing was written. */
interface Prepared extends RunPlan, Trained {
  readonly trainingStep: TrainingStep;
}

/**
 * Runs or resumes a pretraining. A run that cannot begin leaves its folder as it was.
 * @throws ConfigError, DataError, RunFolderError, CheckpointError, ProviderError, NonFiniteError: each says what to do.
 */
export async function pretrain(options: PretrainOptions): Promise<PretrainResult> {
  const { out, device: provider = "cpu", threads = availableParallelism(), warn = () => undefined } = options;
  checkStartOptions(out, options);
  const plan = await planRun(options);
  const source =
    options.initFrom === undefined ? undefined : await findCheckpoint(options.initFrom, options.warn);
  await using device = await Device.open({ provider, threads });
  const prepared = await prepare(plan, device);
  if (source) await initializeFrom(source, prepared, warn);
  const { resume, overwrite = false } = options;
  const folder = resume ? RunFolder.open(out) : RunFolder.create(out, plan.record, { overwrite });
  try {
    return await train(prepared, folder, options, warn);
  } catch (error) {
    throw explained(error, folder);
  } finally {
    folder.release();
  }
}

async function prepare(plan: RunPlan, device: Device): Promise<Prepared> {
  const { config, method, encoder, length } = plan;
  const { batchSize, accumulate, seed } = config;
  const options = updateOptions(config, encoder.depth, length);
  const { optimizer } = options;
  const trainingStep = await compileTrainingStep(device, method, { ...options, batchSize, accumulate });
  await initializeState(device, method, optimizer, seed);
  return { ...plan, device, optimizer, trainingStep };
}

async function train(
  prepared: Prepared,
  folder: RunFolder,
  { resume, initFrom, observe, signal = new AbortController().signal }: PretrainOptions,
  warn: (message: string) => void,
): Promise<PretrainResult> {
  const { config, method, encoder, dataset, device, optimizer, length } = prepared;
  const { totalSteps } = length;
  dataset.skips.nameIn(folder.skippedFile);
  const store = new CheckpointStore(folder.checkpoints, { keepLast: config.log.keep, warn });
  const { fingerprint } = dataset;
  const startStep = resume ? await resumeCheckpoint(store, prepared, fingerprint, warn) : 0;
  const observer = await observe?.({
    config,
    method,
    encoder,
    dataset,
    device,
    folder,
    length,
    startStep,
  });
  let result: PretrainResult | undefined;
  let last: StepReport | undefined;
  const save = async (step: number): Promise<void> => {
    await saveCheckpoint(store, prepared, step, fingerprint);
    await observer?.checkpoint?.(step);
  };
  try {
    // Without it, a run killed before its first checkpoint would be resumed from other weights.
    if (initFrom !== undefined) await save(0);
    await trainingLoop({
      ...prepared,
      schedules: makeSchedules(config, totalSteps),
      startStep,
      signal,
      onStep: async (report) => {
        last = report;
        await observer?.step?.(report);
        if (report.step % config.log.checkpointEvery === 0) await save(report.step);
      },
    });
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
  } catch (error) {
    if (error instanceof NonFiniteError) {
      const dump = await writeDump(folder.dumps, error, device, Object.keys(savedTypes(method, optimizer)));
      error.message +=
        `. The step is kept in ${dump}: look at it with \`inbetween replay ${dump}\`. A new run from the last ` +
        `checkpoint with a lower rate: --init-from ${folder.path} --out NEW --set optimizer.baseLearningRate=…`;
    }
    throw error;
  } finally {
    await closeObserver(observer, result, warn);
  }
}

/** Closes; when the run failed, failing here too must not hide why. */
async function closeObserver(
  observer: RunObserver | undefined,
  result: PretrainResult | undefined,
  warn: (message: string) => void,
): Promise<void> {
  try {
    await observer?.close?.(result);
  } catch (error) {
    if (result) throw error;
    warn(`the run's last words could not be written: ${explainError(error)}`);
  }
}

/** What the system refused while the run was under way (a full disk), in words. */
function explained(error: unknown, { path }: RunFolder): unknown {
  if (systemErrorCode(error) === undefined) return error;
  return new RunFolderError(
    path,
    `${path} cannot be written any more: ${explainError(error)}. ` +
      "Mend this, then continue from the last checkpoint with --resume.",
    { cause: error },
  );
}
