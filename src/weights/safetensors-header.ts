/**
 * @file The header of a safetensors file, read strictly and written as the reference implementation writes it
 * (huggingface/safetensors, README "Format" and `safetensors/src/tensor.rs`).
 */

import { bytesPerElement, elementCount, type TensorDType } from "./host-tensor.js";

/** The reference implementation's limit: a header is a few megabytes at most, more is an attack on the parser. */
export const MAX_HEADER_BYTES = 100_000_000;
export const METADATA_KEY = "__metadata__";

/**
 * Names of the element types, in the order of their data in a file: larger alignment first, so that every tensor is
 * aligned. Within one alignment it is the reference implementation's order.
 */
const dtypeNames: ReadonlyMap<string, TensorDType> = new Map<string, TensorDType>([
  ["I64", "int64"],
  ["F64", "float64"],
  ["F32", "float32"],
  ["I32", "int32"],
  ["BF16", "bfloat16"],
  ["F16", "float16"],
  ["I16", "int16"],
  ["I8", "int8"],
  ["U8", "uint8"],
  ["BOOL", "bool"],
]);
const fileNames = new Map([...dtypeNames].map(([name, dtype]) => [dtype, name] as const));
const fileOrder = [...dtypeNames.values()];

/** Thrown for a file that is no valid safetensors file: the message says which file, what is wrong and what was expected. */
export class SafetensorsError extends Error {
  override readonly name = "SafetensorsError";

  constructor(
    readonly path: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(`${path}: ${message}`, options);
  }
}

/** One tensor of a file, without its values. */
export interface TensorInfo {
  readonly dtype: TensorDType;
  readonly shape: readonly number[];
  readonly byteLength: number;
}

/** Where a tensor lies: `begin` counts bytes from the end of the header. */
export interface TensorEntry extends TensorInfo {
  readonly begin: number;
}

export interface Header {
  readonly metadata: ReadonlyMap<string, string>;
  /** In the order of the header. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
}

/** What is wrong with a header; `parseHeader` adds the file's name. */
class Invalid extends Error {}

/** A piece of hostile text in an error message: short, on one line. */
function quote(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}

/** The header, a tensor's object, a list in it. */
const MAX_DEPTH = 3;

/**
 * Refuses what `JSON.parse` lets through: a key that an object has twice (it would silently keep the last one) and
 * deep nesting. A scan of the (valid) text by hand, because a regular expression over megabytes overflows its stack.
 */
function checkStructure(json: string): void {
  const keysByDepth: Set<string>[] = [];
  for (let i = 0; i < json.length; i++) {
    const character = json[i];
    if (character === "{" || character === "[") {
      keysByDepth.push(new Set());
      if (keysByDepth.length > MAX_DEPTH) {
        throw new Invalid(
          `the header nests values ${keysByDepth.length} deep, expected at most ${MAX_DEPTH}`,
        );
      }
    } else if (character === "}" || character === "]") keysByDepth.pop();
    if (character !== '"') continue;
    const start = i++;
    while (json[i] !== '"') i += json[i] === "\\" ? 2 : 1;
    let next = i + 1;
    while (/\s/.test(json[next] ?? "")) next++;
    if (json[next] !== ":") continue;
    const key = String(JSON.parse(json.slice(start, i + 1)));
    const keys = keysByDepth.at(-1);
    if (keys?.has(key)) throw new Invalid(`the header has the key ${quote(key)} twice, expected it once`);
    keys?.add(key);
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function parseMetadata(value: unknown): Map<string, string> {
  if (!isObject(value))
    throw new Invalid(`${METADATA_KEY} is ${quote(value)}, expected an object of strings`);
  const metadata = new Map<string, string>();
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string") {
      throw new Invalid(`${METADATA_KEY} has ${quote(text)} under ${quote(key)}, expected a string`);
    }
    metadata.set(key, text);
  }
  return metadata;
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((v) => Number.isSafeInteger(v) && v >= 0);
}

function parseEntry(name: string, value: unknown, dataBytes: number): TensorEntry {
  const tensor = `tensor ${quote(name)}`;
  const keys = isObject(value) ? Object.keys(value).sort().join(", ") : quote(value);
  if (!isObject(value) || keys !== "data_offsets, dtype, shape") {
    throw new Invalid(`${tensor} has ${quote(keys)}, expected dtype, shape and data_offsets`);
  }
  const dtype = typeof value.dtype === "string" ? dtypeNames.get(value.dtype) : undefined;
  if (dtype === undefined) {
    throw new Invalid(
      `${tensor} has dtype ${quote(value.dtype)}, expected one of ${[...dtypeNames.keys()].join(", ")}`,
    );
  }
  const { shape, data_offsets: offsets } = value;
  if (!isSizes(shape))
    throw new Invalid(`${tensor} has shape ${quote(shape)}, expected whole numbers from 0`);
  if (!isSizes(offsets) || offsets.length !== 2) {
    throw new Invalid(`${tensor} has data_offsets ${quote(offsets)}, expected [begin, end] in bytes`);
  }
  const [begin = 0, end = 0] = offsets;
  if (begin > end || end > dataBytes) {
    throw new Invalid(
      `${tensor} has data_offsets ${quote(offsets)}, expected begin <= end <= ${dataBytes}, the bytes after the header ` +
        "(a file cut short looks like this)",
    );
  }
  let byteLength: number;
  try {
    byteLength = elementCount(shape) * bytesPerElement(dtype);
  } catch (cause) {
    throw new Invalid(`${tensor} has shape ${quote(shape)}, expected a product below 2^53`, { cause });
  }
  if (byteLength !== end - begin) {
    throw new Invalid(
      `${tensor} has ${end - begin} bytes of data, expected ${byteLength} for ${value.dtype} ${quote(shape)}`,
    );
  }
  return { dtype, shape, byteLength, begin };
}

/** The data must be covered by the tensors without overlap, hole or rest: nothing can hide, nothing is read twice. */
function checkCoverage(tensors: ReadonlyMap<string, TensorEntry>, dataBytes: number): void {
  const sorted = [...tensors].sort(([, a], [, b]) => a.begin - b.begin || a.byteLength - b.byteLength);
  let end = 0;
  for (const [name, { begin, byteLength }] of sorted) {
    if (begin !== end) {
      const what = begin < end ? "overlaps the tensor before it" : "leaves a hole before it";
      throw new Invalid(`tensor ${quote(name)} ${what}: it begins at byte ${begin}, expected ${end}`);
    }
    end = begin + byteLength;
  }
  if (end !== dataBytes)
    throw new Invalid(`${dataBytes} bytes follow the header, expected ${end} from its tensors`);
}

function parse(bytes: Uint8Array, dataBytes: number): Header {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new Invalid("the header is no UTF-8 text, expected JSON", { cause });
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new Invalid(
      `the header is no JSON: it begins ${quote(text.slice(0, 40))}, expected {"name":{"dtype":…`,
      {
        cause,
      },
    );
  }
  checkStructure(text);
  if (!isObject(json)) throw new Invalid(`the header is ${quote(json)}, expected a JSON object`);
  let metadata = new Map<string, string>();
  const tensors = new Map<string, TensorEntry>();
  for (const [name, value] of Object.entries(json)) {
    if (name === METADATA_KEY) metadata = parseMetadata(value);
    else tensors.set(name, parseEntry(name, value, dataBytes));
  }
  checkCoverage(tensors, dataBytes);
  return { metadata, tensors };
}

/**
 * Reads a header and checks all of it: types, sizes, and that the tensors cover the data exactly.
 *
 * @param path For messages.
 * @param bytes The JSON text.
 * @param dataBytes How many bytes follow the header in the file.
 * @throws SafetensorsError
 */
export function parseHeader(path: string, bytes: Uint8Array, dataBytes: number): Header {
  try {
    return parse(bytes, dataBytes);
  } catch (error) {
    if (error instanceof Invalid) throw new SafetensorsError(path, error.message, { cause: error.cause });
    throw error;
  }
}

/**
 * The beginning of a file (length, then JSON padded with spaces to a multiple of 8) and the order in which the
 * tensors' data follow: by alignment, then by name.
 */
export function formatHeader(
  tensors: Iterable<readonly [string, Omit<TensorInfo, "byteLength">]>,
  metadata: Readonly<Record<string, string>>,
): { readonly bytes: Uint8Array; readonly order: readonly string[] } {
  const sorted = [...tensors].sort(
    ([a, { dtype: s }], [b, { dtype: t }]) =>
      fileOrder.indexOf(s) - fileOrder.indexOf(t) || Buffer.compare(Buffer.from(a), Buffer.from(b)),
  );
  const entries: [string, unknown][] = Object.keys(metadata).length > 0 ? [[METADATA_KEY, metadata]] : [];
  let end = 0;
  for (const [name, { dtype, shape }] of sorted) {
    const begin = end;
    end += elementCount(shape) * bytesPerElement(dtype);
    entries.push([name, { dtype: fileNames.get(dtype), shape, data_offsets: [begin, end] }]);
  }
  // Entry by entry, because an object would put names that look like integers first.
  const json = `{${entries.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(",")}}`;
  const length = Math.ceil(Buffer.byteLength(json) / 8) * 8;
  const bytes = Buffer.alloc(8 + length, " ");
  bytes.writeBigUInt64LE(BigInt(length), 0);
  bytes.write(json, 8);
  return { bytes, order: sorted.map(([name]) => name) };
}
