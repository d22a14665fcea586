/** @file Weights as they are published: a file, a folder of one file, or a folder of several with an index. */

import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { explainError, systemErrorCode } from "../files.js";
import { EncoderError } from "./encoder.js";
import type { SourceConfig } from "./families/index.js";
import { listed } from "./families/locate.js";
import type { HostTensor } from "./host-tensor.js";
import { openSafetensors } from "./safetensors.js";
import type { SourceTensor, TensorSource } from "./tensor-source.js";
import { openTorchFile } from "./torch-file.js";

const CONFIG = "config.json";
const PREPROCESSOR = "preprocessor_config.json";
const INDEX_SUFFIX = ".index.json";
const MAX_JSON_BYTES = 64 << 20;
/** In the order in which a folder is searched. */
const usualFiles = [
  "model.safetensors",
  `model.safetensors${INDEX_SUFFIX}`,
  "pytorch_model.bin",
  `pytorch_model.bin${INDEX_SUFFIX}`,
];
const weightFile = /\.(safetensors|pth|pt|bin|ckpt|pth\.tar)$/i;

export interface OpenCheckpoint {
  readonly source: TensorSource;
  /** Paths of the weights. */
  readonly files: readonly string[];
  /** The config.json beside the weights. */
  readonly config: SourceConfig | undefined;
  /** The preprocessor_config.json beside the weights. */
  readonly preprocessor: SourceConfig | undefined;
}

/**
 * Opens a file or a folder; no tensor is read yet. Close the source after use.
 * @throws EncoderError when there are no weights; SafetensorsError or TorchFileError when they are damaged.
 */
export async function openCheckpoint(path: string): Promise<OpenCheckpoint> {
  const file = weightsPath(path);
  const [config, preprocessor] = [CONFIG, PREPROCESSOR].map((name) => {
    const beside = join(dirname(file), name);
    return existsSync(beside) ? readJson(beside) : undefined;
  });
  if (!file.endsWith(INDEX_SUFFIX)) {
    return { source: await openFile(file), files: [file], config, preprocessor };
  }
  const { source, files } = await openShards(file);
  return { source, files: [file, ...files], config, preprocessor };
}

function weightsPath(path: string): string {
  let isFolder: boolean;
  try {
    isFolder = statSync(path).isDirectory();
  } catch (error) {
    if (systemErrorCode(error) === undefined) throw error;
    throw new EncoderError(
      `${path}: ${explainError(error)}; expected a file of weights, or a folder with one`,
      {
        cause: error,
      },
    );
  }
  if (!isFolder) return path;
  const names = readdirSync(path);
  const usual = usualFiles.find((name) => names.includes(name));
  const others = names.filter((name) => weightFile.test(name)).sort();
  const [only] = others;
  if (usual !== undefined) return join(path, usual);
  if (only !== undefined && others.length === 1) return join(path, only);
  throw new EncoderError(
    others.length === 0
      ? `${path}: the folder holds no weights, expected ${usualFiles.join(", ")}, or one .safetensors, .pth, .pt or .bin file`
      : `${path}: the folder holds several files of weights (${listed(others)}); name one of them`,
  );
}

async function openFile(path: string): Promise<TensorSource> {
  if (/\.safetensors$/i.test(path)) return openSafetensors(path);
  return openTorchFile(path);
}

function readJson(path: string): Record<string, unknown> {
  let value: unknown;
  try {
    const { size } = statSync(path);
    if (size > MAX_JSON_BYTES) throw new Error(`it has ${size} bytes, expected at most ${MAX_JSON_BYTES}`);
    value = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new EncoderError(`${path}: it cannot be read as JSON: ${explainError(error)}`, { cause: error });
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw new EncoderError(`${path}: it holds no object`);
}

/** Files that an index says which tensors are in. */
class Shards implements TensorSource {
  readonly names: readonly string[];

  constructor(
    readonly path: string,
    private readonly files: ReadonlyMap<string, TensorSource>,
    private readonly places: ReadonlyMap<string, TensorSource>,
  ) {
    this.names = [...places.keys()];
  }

  get format(): string {
    return `${[...this.files.values()][0]?.format}, ${this.files.size} shards`;
  }

  has(name: string): boolean {
    return this.places.has(name);
  }

  info(name: string): SourceTensor {
    return this.#place(name).info(name);
  }

  read(name: string): Promise<HostTensor> {
    return this.#place(name).read(name);
  }

  async close(): Promise<void> {
    for (const file of this.files.values()) await file.close();
  }

  #place(name: string): TensorSource {
    const place = this.places.get(name);
    if (!place) throw new EncoderError(`${this.path}: there is no tensor ${JSON.stringify(name)}`);
    return place;
  }
}

async function openShards(path: string) {
  const map = readJson(path).weight_map;
  if (typeof map !== "object" || map === null || Array.isArray(map)) {
    throw new EncoderError(`${path}: there is no "weight_map" from tensors to files in it`);
  }
  const files = new Map<string, TensorSource>();
  const places = new Map<string, TensorSource>();
  try {
    for (const [tensor, name] of Object.entries(map)) {
      if (typeof name !== "string" || name !== basename(name) || !weightFile.test(name)) {
        throw new EncoderError(
          `${path}: the tensor ${tensor} is said to be in ${JSON.stringify(name)}, expected the name of a file beside it`,
        );
      }
      let file = files.get(name);
      if (!file) {
        const shard = join(dirname(path), name);
        if (!existsSync(shard)) throw new EncoderError(`${shard}: the file is missing, and ${path} names it`);
        file = await openFile(shard);
        files.set(name, file);
      }
      if (!file.has(tensor))
        throw new EncoderError(`${file.path}: the tensor ${tensor} is missing, and ${path} names it`);
      places.set(tensor, file);
    }
  } catch (error) {
    for (const file of files.values()) await file.close();
    throw error;
  }
  if (places.size === 0) throw new EncoderError(`${path}: its "weight_map" is empty`);
  const source = new Shards(path, files, places);
  return { source, files: [...files.keys()].map((name) => join(dirname(path), name)) };
}
