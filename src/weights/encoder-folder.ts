/**
 * @file Encoders in folders, in the layout of the Hugging Face Hub: read by transformers, transformers.js, and
 * `loadEncoder`, which gives back exactly what was written.
 */

import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { AtomicFile, explainError, syncFolder, systemErrorCode, TEMPORARY_SUFFIX } from "../files.js";
import { checkEncoder, type Encoder, EncoderError } from "./encoder.js";
import { type EncoderDescription, encoderConfigJson, parseEncoderConfig } from "./encoder-config.js";
import { fromHuggingFace, huggingFacePreprocessor, toHuggingFace } from "./huggingface.js";
import { modelCard } from "./model-card.js";
import { encoderOnnxFiles, ONNX_PRECISIONS, type OnnxPrecision } from "./onnx-export.js";
import { encoderPreprocessing } from "./preprocessing.js";
import { openSafetensors, writeSafetensors } from "./safetensors.js";

const CONFIG = "config.json";
const WEIGHTS = "model.safetensors";
const PREPROCESSOR = "preprocessor_config.json";
const CARD = "README.md";
const ONNX = "onnx";
/** What evaluations of an encoder leave beside it: of its weights alone, so that they go when it is replaced. */
const RECORDS = ["evaluations.jsonl", "classifications.jsonl"];
/** Everything that `saveEncoder` writes, and what may lie beside it: a folder with anything else is not replaced. */
const known: ReadonlySet<string> = new Set([CONFIG, WEIGHTS, PREPROCESSOR, CARD, ONNX, ...RECORDS]);

/**
 * The models' names by precision, as transformers.js looks for them: `int8` is what it calls by this name, and by
 * `q8`, its choice in a browser when none is asked for.
 */
const MODELS: Readonly<Record<OnnxPrecision, readonly string[]>> = {
  fp32: ["model.onnx"],
  fp16: ["model_fp16.onnx"],
  int8: ["model_int8.onnx", "model_quantized.onnx"],
};

export interface SaveEncoderOptions {
  /** Replace an encoder that is there. A folder that holds anything else is never replaced. */
  readonly overwrite?: boolean;
  /** The models to write into `onnx/` (default: all). */
  readonly onnx?: readonly OnnxPrecision[];
  /** What one file of a model may hold (default: a little less than 2 GiB). */
  readonly maxFileBytes?: number;
}

export interface SavedEncoder {
  /** Absolute. */
  readonly folder: string;
  /** Relative to the folder, with their sizes in bytes. */
  readonly files: Readonly<Record<string, number>>;
}

/**
 * Writes an encoder. The folder appears when it is complete; until then, what was there stays as it is.
 *
 * @throws EncoderError when the path is taken, or the encoder cannot be written, before anything is written.
 */
export async function saveEncoder(
  encoder: Encoder,
  folder: string,
  { overwrite = false, onnx = ONNX_PRECISIONS, maxFileBytes }: SaveEncoderOptions = {},
): Promise<SavedEncoder> {
  const target = resolve(folder);
  if (encoder.config.channels !== 3) {
    throw new EncoderError(
      `encoder "${encoder.label}" takes images of ${encoder.config.channels} channels, expected 3: ` +
        "preprocessor_config.json describes RGB images",
    );
  }
  checkEncoder(encoder);
  const tensors = toHuggingFace(encoder);
  const isTaken = await checkTarget(target, overwrite);
  const temporary = temporarySibling(target);
  const files: Record<string, number> = {};
  try {
    await mkdir(join(temporary, ...(onnx.length > 0 ? [ONNX] : [])), { recursive: true });
    const { byteLength } = await writeSafetensors(join(temporary, WEIGHTS), tensors, {
      // Without it, transformers refuses the file.
      metadata: { format: "pt" },
    });
    files[WEIGHTS] = byteLength;
    for (const precision of onnx) {
      for (const name of MODELS[precision]) {
        const limit = maxFileBytes === undefined ? {} : { maxFileBytes };
        for (const file of encoderOnnxFiles(encoder, { precision, name, ...limit })) {
          files[`${ONNX}/${file.name}`] = await writePieces(join(temporary, ONNX, file.name), file.pieces);
        }
      }
    }
    for (const [name, text] of Object.entries(folderTexts(encoder, onnx, files))) {
      files[name] = await writePieces(join(temporary, name), [Buffer.from(text, "utf8")]);
    }
    await moveInto(temporary, target, isTaken);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    if (systemErrorCode(error) === undefined) throw error;
    throw new EncoderError(`${target}: the encoder could not be written: ${explainError(error)}`, {
      cause: error,
    });
  }
  return { folder: target, files };
}

function temporarySibling(target: string): string {
  return join(dirname(target), `${basename(target)}.${randomBytes(4).toString("hex")}${TEMPORARY_SUFFIX}`);
}

/** The small files, which say what the others are. @param files Those written so far. */
function folderTexts(
  encoder: Encoder,
  onnx: readonly OnnxPrecision[],
  files: Readonly<Record<string, number>>,
): Record<string, string> {
  // How many files hold a model's data: transformers.js does not look for any by itself.
  const dataFiles: Record<string, number> = {};
  for (const path of Object.keys(files)) {
    const model = /([^/]+\.onnx)_data(_\d+)?$/.exec(path)?.[1];
    if (model !== undefined) dataFiles[model] = (dataFiles[model] ?? 0) + 1;
  }
  const preprocessing = encoderPreprocessing(encoder.config);
  return {
    [CONFIG]: encoderConfigJson(encoder, dataFiles),
    [PREPROCESSOR]: `${JSON.stringify(huggingFacePreprocessor(preprocessing), null, 2)}\n`,
    [CARD]: modelCard(encoder, onnx),
  };
}

async function writePieces(path: string, pieces: readonly Uint8Array[]): Promise<number> {
  const file = await AtomicFile.create(path);
  try {
    for (const piece of pieces) await file.write(piece);
    await file.commit();
  } catch (error) {
    await file.abort();
    throw error;
  }
  return pieces.reduce((total, { length }) => total + length, 0);
}

/** Whether something has to make room. @throws EncoderError when it must not. */
async function checkTarget(target: string, overwrite: boolean): Promise<boolean> {
  let names: readonly string[];
  try {
    names = await readdir(target);
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return false;
    throw new EncoderError(`${target}: an encoder cannot be written there: ${explainError(error)}`, {
      cause: error,
    });
  }
  const foreign = names.find((name) => !known.has(name));
  if (foreign !== undefined) {
    throw new EncoderError(
      `${target}: the folder holds "${foreign}", which belongs to no encoder, and is left as it is; choose another folder`,
    );
  }
  if (names.length > 0 && !overwrite) {
    throw new EncoderError(
      `${target}: there is an encoder already; choose another folder, or ask to overwrite it`,
    );
  }
  return true;
}

/** Renames a finished folder to its place; what is there is removed after it has made room. */
async function moveInto(temporary: string, target: string, isTaken: boolean): Promise<void> {
  const old = isTaken ? temporarySibling(target) : undefined;
  if (old !== undefined) await rename(target, old);
  try {
    await rename(temporary, target);
  } catch (error) {
    if (old !== undefined) await rename(old, target);
    throw error;
  }
  syncFolder(dirname(target));
  if (old !== undefined) await rm(old, { recursive: true, force: true });
}

/**
 * Reads a folder that `saveEncoder` wrote, bit for bit.
 *
 * @throws EncoderError when the folder holds no encoder of ours, or tensors are missing or do not fit its configuration.
 * @throws SafetensorsError when its weights are damaged.
 */
export async function loadEncoder(folder: string): Promise<Encoder> {
  const description = await describeEncoder(folder);
  await using file = await openSafetensors(join(folder, WEIGHTS));
  return { ...description, weights: await fromHuggingFace(description.config, file) };
}

/** The same without the weights, which are not read. @throws EncoderError as `loadEncoder` does. */
export async function describeEncoder(folder: string): Promise<EncoderDescription> {
  const path = join(folder, CONFIG);
  return parseEncoderConfig(path, await readConfig(folder, path));
}

async function readConfig(folder: string, path: string): Promise<string> {
  const wanted = `an encoder is a folder with ${CONFIG} and ${WEIGHTS}, as \`inbetween export\` writes it`;
  try {
    if (!(await stat(folder)).isDirectory()) throw new EncoderError(`${folder}: it is a file; ${wanted}`);
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof EncoderError) throw error;
    throw new EncoderError(`${path}: ${explainError(error)}; ${wanted}`, { cause: error });
  }
}
