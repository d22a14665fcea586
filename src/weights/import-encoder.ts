/** @file Encoders from the files of others: PyTorch and safetensors, in the layouts of `families/`. */

import { basename, dirname } from "node:path";
import type { VisionTransformerConfig } from "../models/index.js";
import { type Encoder, EncoderError, expectedShapes, type FeatureKind, weightOf } from "./encoder.js";
import { CONFIG_KEY } from "./encoder-config.js";
import { loadEncoder } from "./encoder-folder.js";
import type { FamilyName } from "./families/index.js";
import { type LocatedEncoder, listed, locateEncoder } from "./families/locate.js";
import { type HostTensor, toFloat32 } from "./host-tensor.js";
import { type ArchitectureOverrides, inferArchitecture } from "./infer-architecture.js";
import {
  isImagenet,
  type Normalization,
  statedNormalization,
  withImagenetNormalization,
} from "./normalization.js";
import { openCheckpoint } from "./open-checkpoint.js";
import type { TensorSource } from "./tensor-source.js";

export interface ImportOptions extends ArchitectureOverrides {
  /** Where the weights come from; recognised by the names of the tensors when omitted. */
  readonly family?: FamilyName | undefined;
  /** Which encoder of a checkpoint: `teacher`, `student`, … */
  readonly part?: string | undefined;
  /** The feature to use (default: the one that the method's own evaluations use). */
  readonly feature?: FeatureKind | undefined;
  /** Label in tables. */
  readonly label?: string | undefined;
  /**
   * How the source's images are normalised: as ImageNet's (default), or as the files beside its weights say; the
   * projection of patches then takes up the difference.
   */
  readonly normalization?: "imagenet" | "file" | undefined;
}

/** What became of a file's tensors. */
export interface ImportReport {
  /** `inbetween`: a folder of ours. */
  readonly family: FamilyName | "inbetween";
  /** Families whose files look the same; they differ in heads or in how positions are interpolated. */
  readonly alternatives: readonly FamilyName[];
  readonly part: string;
  readonly format: string;
  /** The files that were read. */
  readonly sources: readonly string[];
  /** What tensors do not show, and where it was taken from. */
  readonly assumed: readonly string[];
  readonly warnings: readonly string[];
  /** The encoder's tensors, by our names. */
  readonly taken: readonly string[];
  /** Those that are called otherwise in the file, or are made of several. */
  readonly renamed: readonly { readonly from: readonly string[]; readonly to: string }[];
  /** Tensors that were converted to float32, by the element type in the file. */
  readonly converted: Readonly<Record<string, number>>;
  /** The file's tensors that are not the encoder's. */
  readonly leftOver: readonly string[];
  /** The encoder's tensors that are not in the file: none, for an import without them is an error. */
  readonly missing: readonly string[];
}

export interface ImportedEncoder {
  readonly encoder: Encoder;
  readonly report: ImportReport;
}

/**
 * Reads an encoder of any family, in float32. Beyond its own weights, one tensor at a time is in memory.
 *
 * @param path A file, or a folder with one (or with shards and their index).
 * @throws EncoderError when there is no encoder, tensors are missing, or shapes disagree; SafetensorsError or
 *   TorchFileError when a file is damaged, or wants to run code.
 */
export async function importEncoder(path: string, options: ImportOptions = {}): Promise<ImportedEncoder> {
  const { source, files, config, preprocessor } = await openCheckpoint(path);
  try {
    if (config && Object.hasOwn(config, CONFIG_KEY)) return await importOurs(path, files, source, options);
    const located = locateEncoder(source, config, options);
    const { family, alternatives, part } = located;
    const shapes = ourShapes(source, located);
    const inferred = inferArchitecture({
      path: source.path,
      family,
      shapes,
      source: config,
      overrides: options,
    });
    const { config: architecture, assumed, registerRows } = inferred;
    checkShapes(source.path, expectedShapes(architecture), shapes, located, registerRows);
    const converted: Record<string, number> = {};
    const stored = await readWeights(source, located, expectedShapes(architecture), converted);
    const weights = registerRows > 0 ? withRegisterPositions(stored, architecture, registerRows) : stored;
    const imported: Encoder = {
      config: architecture,
      weights,
      label: options.label ?? `${family.title} (${basename(path)})`,
      trained: options.feature ?? (architecture.classToken ? family.feature : "mean"),
      origin: { method: family.title },
    };
    const stated = statedNormalization(preprocessor, config);
    const { encoder, warnings } = normalized(imported, stated, options.normalization, source.path);
    const renamed = [...located.ingredients].filter(([to, from]) => from.length > 1 || from[0] !== to);
    const report: ImportReport = {
      family: family.name,
      alternatives,
      part,
      format: source.format,
      sources: files,
      assumed,
      warnings,
      taken: Object.keys(weights),
      renamed: renamed.map(([to, from]) => ({ from, to })),
      converted,
      leftOver: located.leftOver,
      missing: [],
    };
    return { encoder, report };
  } finally {
    await source.close();
  }
}

/** Takes up the source's normalisation when that is asked for, and else says when it is another. */
function normalized(
  encoder: Encoder,
  stated: Normalization | undefined,
  wanted: ImportOptions["normalization"],
  path: string,
): { readonly encoder: Encoder; readonly warnings: readonly string[] } {
  if (wanted === "file") {
    if (stated) return { encoder: withImagenetNormalization(encoder, stated), warnings: [] };
    throw new EncoderError(
      `${path}: nothing beside it says how its images are normalised, expected image_mean and image_std in preprocessor_config.json`,
    );
  }
  if (!stated || isImagenet(stated) || wanted === "imagenet") return { encoder, warnings: [] };
  const warning =
    `the files beside the weights say that images are normalised by mean ${stated.mean.join(", ")} and deviation ` +
    `${stated.std.join(", ")}; ImageNet's are assumed (the published DINO folder of transformers is known to be wrong): ` +
    "--normalization file takes theirs, --normalization imagenet silences this";
  return { encoder, warnings: [warning] };
}

/** A folder of ours says all about itself. */
async function importOurs(
  path: string,
  files: readonly string[],
  source: TensorSource,
  { label, feature, ...foreign }: ImportOptions,
): Promise<ImportedEncoder> {
  const given = Object.entries(foreign).find(([, value]) => value !== undefined);
  if (given) {
    throw new EncoderError(
      `${path}: the folder was written by inbetween, and "${given[0]}" cannot be changed in it`,
    );
  }
  const loaded = await loadEncoder(dirname(files[0] ?? path));
  const encoder = { ...loaded, ...(label ? { label } : {}), ...(feature ? { trained: feature } : {}) };
  const report: ImportReport = {
    family: "inbetween",
    alternatives: [],
    part: "encoder",
    format: source.format,
    sources: files,
    assumed: [],
    warnings: [],
    taken: Object.keys(loaded.weights),
    renamed: [],
    converted: {},
    leftOver: [],
    missing: [],
  };
  return { encoder, report };
}

/** The shapes under our names, parts put together. */
function ourShapes(source: TensorSource, { ingredients }: LocatedEncoder): Map<string, readonly number[]> {
  const shapes = new Map<string, readonly number[]>();
  for (const [name, parts] of ingredients) {
    const [first, ...others] = parts.map((part) => source.info(part).shape);
    const different = others.findIndex((shape) => shape.join() !== first?.join());
    if (!first || different >= 0) {
      throw new EncoderError(
        `${source.path}: ${parts[0]} is [${first?.join(", ")}] and ${parts[different + 1]} ` +
          `[${others[different]?.join(", ")}], expected the same shape`,
      );
    }
    const [rows = 1, ...rest] = first;
    shapes.set(name, parts.length === 1 ? first : [rows * parts.length, ...rest]);
  }
  return shapes;
}

/** Sizes without those that are 1: `[1, 1, D]` and `[1, D]` hold the same token. */
const essential = (shape: readonly number[]): string => shape.filter((size) => size !== 1).join();

function checkShapes(
  path: string,
  expected: Readonly<Record<string, readonly number[]>>,
  found: ReadonlyMap<string, readonly number[]>,
  { family, ingredients }: LocatedEncoder,
  registerRows: number,
): void {
  const missing = Object.keys(expected).filter((name) => !found.has(name));
  if (missing.length > 0) {
    throw new EncoderError(
      `${path}: the tensors ${listed(missing)} (in timm's names) are missing from the encoder of ${family.title}`,
    );
  }
  for (const [name, shape] of found) {
    const wanted = expected[name];
    const theirs = ingredients.get(name)?.join(" + ");
    if (!wanted) throw new EncoderError(`${path}: ${theirs} is in some blocks and not in others`);
    const [a = 1, rows = 1, ...rest] = wanted;
    const stored = name === "pos_embed" ? [a, rows + registerRows, ...rest] : wanted;
    if (essential(shape) !== essential(stored)) {
      throw new EncoderError(
        `${path}: ${theirs} is [${shape.join(", ")}], expected [${stored.join(", ")}] by the encoder's other tensors`,
      );
    }
  }
}

async function readWeights(
  source: TensorSource,
  { ingredients }: LocatedEncoder,
  shapes: Readonly<Record<string, readonly number[]>>,
  converted: Record<string, number>,
): Promise<Record<string, HostTensor<"float32">>> {
  const weights: Record<string, HostTensor<"float32">> = {};
  for (const [name, shape] of Object.entries(shapes)) {
    const parts = ingredients.get(name) ?? [];
    const values: Float32Array[] = [];
    for (const part of parts) values.push(await readFloat32(source, part, converted));
    weights[name] = { dtype: "float32", shape, data: joined(values) };
  }
  return weights;
}

async function readFloat32(
  source: TensorSource,
  name: string,
  converted: Record<string, number>,
): Promise<Float32Array> {
  const { dtype } = source.info(name);
  let values: Float32Array;
  try {
    const tensor = await source.read(name);
    values = toFloat32(tensor);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new EncoderError(`${source.path}: ${name} holds ${dtype}, expected numbers with a fraction`, {
      cause: error,
    });
  }
  if (dtype !== "float32") converted[dtype] = (converted[dtype] ?? 0) + 1;
  for (let i = 0; i < values.length; i++) {
    if (Number.isFinite(values[i])) continue;
    throw new EncoderError(
      `${source.path}: ${name} holds ${values[i]} at ${i}, expected finite numbers: the file is damaged, or its ` +
        "training diverged",
    );
  }
  return values;
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const [only] = parts;
  if (only && parts.length === 1) return only;
  const whole = new Float32Array(parts.reduce((total, { length }) => total + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Positions of registers (timm, without `no_embed_class`) are added to the registers, which have none here. */
function withRegisterPositions(
  weights: Readonly<Record<string, HostTensor<"float32">>>,
  { embedDim, classPosition }: VisionTransformerConfig,
  rows: number,
): Record<string, HostTensor<"float32">> {
  const table = weightOf(weights, "pos_embed");
  const registers = weightOf(weights, "reg_token");
  const start = classPosition ? embedDim : 0;
  const end = start + rows * embedDim;
  const kept = new Float32Array(table.data.length - rows * embedDim);
  kept.set(table.data.subarray(0, start));
  kept.set(table.data.subarray(end), start);
  const moved = registers.data.map((value, i) => value + (table.data[start + i] as number));
  return {
    ...weights,
    pos_embed: { ...table, data: kept },
    reg_token: { ...registers, data: moved },
  };
}
