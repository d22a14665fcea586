/** @file The encoder that a command is asked to use: of a run, exported, or as a recipe's starts. */

import { randomEncoder } from "../evaluation/index.js";
import { visionTransformerParameters } from "../models/index.js";
import { flattenTree } from "../nn/index.js";
import {
  buildMethod,
  CheckpointError,
  encoderPrefix,
  findCheckpoint,
  parseConfig,
  type RunConfig,
  readRunRecord,
} from "../training/index.js";
import { type Encoder, type HostTensor, loadEncoder } from "../weights/index.js";
import { CommandError, printWarning } from "./output.js";
import { loadRecipe } from "./recipes.js";

/** Exactly one of `run`, `encoder` and `random`. */
export interface EncoderChoice {
  /** A run folder: the newest checkpoint's encoder. */
  readonly run?: string | undefined;
  /** A folder that `inbetween export` wrote. */
  readonly encoder?: string | undefined;
  /** A recipe: its encoder before any training. */
  readonly random?: string | undefined;
  /** Of the random encoder's weights; the recipe's own when omitted. */
  readonly seed?: number | undefined;
}

/**
 * Loads the encoder that was chosen.
 * @throws CommandError when none or several were chosen; RunFolderError, ConfigError, CheckpointError, EncoderError or
 *   SafetensorsError when it cannot be had, naming the file.
 */
export async function loadEncoderFrom({ run, encoder, random, seed }: EncoderChoice): Promise<Encoder> {
  const given = Object.entries({ run, encoder, random }).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name} ${value}`],
  );
  if (given.length > 1) {
    throw new CommandError(`${given.join(" and ")} each name an encoder; keep one of them`);
  }
  if (run !== undefined) return encoderOfRun(run);
  if (encoder !== undefined) return loadEncoder(encoder);
  if (random !== undefined) return untrainedEncoder(loadRecipe(random, { seed }));
  throw new CommandError(
    "no encoder was named; give --run RUN (a run folder) or --encoder DIR (an exported one)",
  );
}

async function encoderOfRun(run: string): Promise<Encoder> {
  const record = readRunRecord(run);
  const config = parseConfig(record.config, `${run}/config.json`);
  const { method, encoder } = buildMethod(config);
  const prefix = encoderPrefix(method);
  const checkpoint = await findCheckpoint(run, printWarning);
  await using file = await checkpoint.open();
  const weights: Record<string, HostTensor<"float32">> = {};
  for (const [name, { shape }] of Object.entries(flattenTree(visionTransformerParameters(encoder)))) {
    const fail = (what: string): never => {
      throw new CheckpointError(
        checkpoint.path,
        `${checkpoint.path} does not belong to ${run}/config.json: ${what}; put the run's own files back`,
      );
    };
    if (!file.has(prefix + name)) fail(`it has no "${prefix}${name}"`);
    const tensor = await file.read(prefix + name);
    if (tensor.dtype !== "float32" || tensor.shape.join() !== shape.join()) {
      fail(
        `"${prefix}${name}" is ${tensor.dtype}[${tensor.shape.join(", ")}], expected float32[${shape.join(", ")}]`,
      );
    }
    weights[name] = tensor as HostTensor<"float32">;
  }
  const origin = {
    method: method.title,
    recipe: record.recipe.name,
    steps: checkpoint.step,
    seed: config.seed,
  };
  return { config: encoder, weights, label: method.title, trained: method.evaluated.feature, origin };
}

function untrainedEncoder(config: RunConfig): Encoder {
  const { encoder, method } = buildMethod(config);
  return randomEncoder(encoder, config.seed, method.evaluated.feature);
}

/** An architecture in words. */
export function architectureText({ config }: Pick<Encoder, "config">): string {
  const { embedDim, depth, numHeads, patchSize, imageSize, registers } = config;
  const tokens = registers > 0 ? `, ${registers} registers` : "";
  return `ViT of ${depth} blocks, ${embedDim} features, ${numHeads} heads, patch ${patchSize} at ${imageSize} px${tokens}`;
}
