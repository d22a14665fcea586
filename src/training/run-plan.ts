/**
 * @file What a run will do, decided before anything is computed or written: configuration, method, images, length.
 * What does not fit together is refused here.
 */

import { type Dataset, openDataset, stepsPerEpoch } from "../data/index.js";
import { encoderNeeds, type Method, makeMethod, type RunLength } from "../methods/index.js";
import { type VisionTransformerConfig, visionTransformerConfig } from "../models/index.js";
import { ConfigError, differingKeys, parseConfig, type RunConfig } from "./config.js";
import { hashJson } from "./hash-json.js";
import { checkMemory } from "./memory-check.js";
import { checkVacant, type RunRecord, readResumedRecord, type StartOptions } from "./run-folder.js";
import { makeViews } from "./views.js";

export interface RunRequest extends Pick<StartOptions, "resume" | "overwrite"> {
  /** Validated configuration. A resumed run has its own: when given, it must be the same. */
  readonly config?: RunConfig;
  /** What `openDataset` takes. */
  readonly data: string;
  /** Which part of a data set with splits. Default "train". */
  readonly split?: string;
  /** The run folder. */
  readonly out: string;
}

export interface RunPlan {
  readonly record: RunRecord;
  readonly config: RunConfig;
  readonly method: Method;
  readonly encoder: VisionTransformerConfig;
  readonly dataset: Dataset;
  readonly length: RunLength;
}

/**
 * Plans a new run, or the rest of one. Reads only.
 * @throws RunFolderError, ConfigError or DataError.
 */
export async function planRun(request: RunRequest): Promise<RunPlan> {
  const record = recordOf(request);
  const where = request.resume ? `${request.out}/config.json` : record.recipe.name;
  const config = parseConfig(record.config, where);
  if (request.resume && request.config) checkUnchanged(request.config, config, where);
  const { method, encoder } = buildMethod(config);
  checkMemory(method, config);
  const dataset = await openDataset(request.data, {
    ...(request.split === undefined ? {} : { split: request.split }),
    synthetic: { seed: config.seed, size: config.imageSize },
  });
  return { record, config, method, encoder, dataset, length: runLength(config, dataset, method) };
}

function recordOf({ config, out, resume, overwrite = false }: RunRequest): RunRecord {
  if (resume) return readResumedRecord(out);
  if (!config) throw new ConfigError("a new run needs a configuration; name a recipe");
  checkVacant(out, overwrite);
  return { recipe: { name: config.name, hash: hashJson(config) }, config };
}

function checkUnchanged(asked: RunConfig, own: RunConfig, where: string): void {
  const keys = differingKeys(asked, own);
  if (keys.length === 0) return;
  throw new ConfigError(
    `${where}: the run that is resumed was begun with another ${keys.join(", ")}; a resumed run keeps its ` +
      "configuration: leave out what sets it otherwise, or begin a new run with --init-from",
  );
}

/** The method and encoder that a configuration describes. @throws ConfigError when their sizes do not fit. */
export function buildMethod(config: RunConfig): { method: Method; encoder: VisionTransformerConfig } {
  const { name, batchSize, imageSize, augmentation } = config;
  try {
    const encoder = visionTransformerConfig({ ...encoderNeeds(config.method), ...config.encoder, imageSize });
    const method = makeMethod(config.method, {
      encoder,
      views: makeViews(config),
      batchSize,
      augmentation: augmentation.pipeline,
    });
    const { minimumBatch, title } = method;
    if (
      augmentation.local &&
      augmentation.local.count !== 0 &&
      !method.views.some(({ name }) => name === "local")
    ) {
      throw new RangeError(
        `"augmentation.local" describes small crops, and ${title} takes none; leave it out, or choose a method with ` +
          "multi-crop (dino, ibot, dinov2)",
      );
    }
    if (batchSize < minimumBatch) {
      throw new RangeError(
        `"batchSize" ${batchSize} is too small: the loss of ${title} compares the samples of a batch; ` +
          `use at least ${minimumBatch}`,
      );
    }
    return { method, encoder };
  } catch (error) {
    if (error instanceof RangeError) throw new ConfigError(`${name}: ${error.message}`, { cause: error });
    throw error;
  }
}

/** Optimiser steps of the whole run and of one pass over the data. @throws ConfigError when the data set has not one batch. */
export function runLength(
  { steps, epochs, batchSize }: RunConfig,
  { length, name }: Pick<Dataset, "length" | "name">,
  { minimumBatch }: Pick<Method, "minimumBatch">,
): RunLength {
  const perEpoch = stepsPerEpoch(length, batchSize, true);
  if (perEpoch === 0) {
    const images = length === 1 ? "1 image" : `${length} images`;
    const advice = length < minimumBatch ? "add images" : `use at most ${length}, or add images`;
    throw new ConfigError(`"batchSize" ${batchSize} is more than the ${images} of ${name}; ${advice}`);
  }
  const totalSteps = steps ?? Math.max(1, Math.round((epochs ?? 1) * perEpoch));
  return { totalSteps, stepsPerEpoch: perEpoch };
}
