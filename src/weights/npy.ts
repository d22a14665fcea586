/** @file NumPy's array files (`.npy`, format versions 1.0 and 2.0), C order (numpy/lib/format.py describes them). */

import { readFile } from "node:fs/promises";
import { AtomicFile, explainError } from "../files.js";
import {
  bytesOf,
  bytesPerElement,
  elementCount,
  type HostTensor,
  type TensorArrays,
  tensorOf,
} from "./host-tensor.js";

export type NpyDType = "float32" | "int32" | "int64";

const descriptors: Readonly<Record<NpyDType, string>> = { float32: "<f4", int32: "<i4", int64: "<i8" };
const supported = Object.values(descriptors).join(", ");
const MAGIC = Buffer.from("\x93NUMPY", "latin1");
/** The array's data begin at a multiple of this. */
const ALIGNMENT = 64;
/** NumPy leaves room for the first size to grow to this many digits without moving the data. */
const GROWTH_DIGITS = 21;

/** Thrown for a file that is no supported array and for misuse of the writer; the message names the file. */
export class NpyError extends Error {
  override readonly name = "NpyError";

  constructor(
    readonly path: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(`${path}: ${message}`, options);
  }
}

/** The bytes before the data, exactly as NumPy 2 writes them (version 1.0; it needs 2.0 only beyond 65535 bytes). */
function formatHeader(dtype: NpyDType, shape: readonly number[]): Uint8Array {
  const sizes = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(", ")})`;
  const growth = shape.length > 0 ? GROWTH_DIGITS - String(shape[0]).length : 0;
  const dictionary = `{'descr': '${descriptors[dtype]}', 'fortran_order': False, 'shape': ${sizes}, }${" ".repeat(growth)}`;
  const prefix = MAGIC.length + 4;
  const padding = ALIGNMENT - ((prefix + dictionary.length + 1) % ALIGNMENT);
  const text = `${dictionary}${" ".repeat(padding)}\n`;
  const bytes = Buffer.alloc(prefix + text.length);
  MAGIC.copy(bytes);
  bytes.writeUInt8(1, 6);
  bytes.writeUInt16LE(text.length, 8);
  bytes.write(text, prefix, "latin1");
  return bytes;
}

/** Writes one array piece by piece; the file appears at `path` when it is complete. */
export class NpyWriter<D extends NpyDType = NpyDType> {
  readonly #file: AtomicFile;
  #missing: number;

  private constructor(
    readonly dtype: D,
    readonly shape: readonly number[],
    file: AtomicFile,
  ) {
    this.#file = file;
    this.#missing = elementCount(shape);
  }

  /** @throws RangeError for a shape that is none, or the system's error when the file cannot be created. */
  static async create<D extends NpyDType>(
    path: string,
    dtype: D,
    shape: readonly number[],
  ): Promise<NpyWriter<D>> {
    elementCount(shape);
    const file = await AtomicFile.create(path);
    try {
      await file.write(formatHeader(dtype, shape));
    } catch (error) {
      await file.abort();
      throw error;
    }
    return new NpyWriter(dtype, shape, file);
  }

  /** Appends values in C order. @throws NpyError when there are more of them than the shape has room for. */
  async append(values: TensorArrays[D]): Promise<void> {
    if (values.length > this.#missing) {
      throw new NpyError(
        this.#file.path,
        `${values.length} values were appended, expected at most the ${this.#missing} missing of [${this.shape.join(", ")}]`,
      );
    }
    await this.#file.write(bytesOf(values));
    this.#missing -= values.length;
  }

  /** Finishes the file. @throws NpyError when values are missing; nothing is left at `path` then. */
  async close(): Promise<void> {
    const { path } = this.#file;
    try {
      if (this.#missing > 0) {
        const total = elementCount(this.shape);
        throw new NpyError(
          path,
          `${total - this.#missing} values were written, expected ${total} for [${this.shape.join(", ")}]`,
        );
      }
      await this.#file.commit();
    } catch (error) {
      await this.#file.abort();
      throw error;
    }
  }

  /**
   * Finishes the file with the rows that were appended: the first size becomes their number.
   * @throws NpyError when the last row is incomplete; nothing is left at `path` then.
   */
  async closeEarly(): Promise<void> {
    const { path } = this.#file;
    const [, ...row] = this.shape;
    const rows = (elementCount(this.shape) - this.#missing) / elementCount(row);
    try {
      if (!Number.isInteger(rows)) {
        throw new NpyError(path, `${rows} rows of [${row.join(", ")}] were written, expected whole ones`);
      }
      // The header keeps its length: NumPy leaves room for the first size.
      await this.#file.rewrite(formatHeader(this.dtype, [rows, ...row]), 0);
      await this.#file.commit();
    } catch (error) {
      await this.#file.abort();
      throw error;
    }
  }

  /** Gives up: what was at `path` before stays as it is. */
  async abort(): Promise<void> {
    await this.#file.abort();
  }
}

/** Writes a whole array. */
export async function writeNpy<D extends NpyDType>(path: string, tensor: HostTensor<D>): Promise<void> {
  const writer = await NpyWriter.create(path, tensor.dtype, tensor.shape);
  try {
    await writer.append(tensor.data);
  } catch (error) {
    await writer.abort();
    throw error;
  }
  await writer.close();
}

interface NpyHeader {
  readonly dtype: NpyDType;
  readonly shape: readonly number[];
  readonly dataStart: number;
}

function parseHeader(path: string, file: Buffer): NpyHeader {
  if (file.length < 12 || !file.subarray(0, 6).equals(MAGIC)) {
    throw new NpyError(path, "it does not begin with \\x93NUMPY, expected an array saved by numpy.save");
  }
  const version = `${file[6]}.${file[7]}`;
  if (version !== "1.0" && version !== "2.0")
    throw new NpyError(path, `its format is ${version}, expected 1.0 or 2.0`);
  const textStart = version === "1.0" ? 10 : 12;
  const dataStart = textStart + (version === "1.0" ? file.readUInt16LE(8) : file.readUInt32LE(8));
  if (dataStart > file.length) {
    throw new NpyError(
      path,
      `its header ends at byte ${dataStart}, expected at most the file's ${file.length}`,
    );
  }
  const text = file.toString("latin1", textStart, dataStart);
  // A Python literal with three keys; NumPy sorts them, other writers may not.
  const fields = /^\{\s*((?:'\w+':\s*(?:'[^']*'|True|False|\([\d, ]*\))(?:\s*,\s*)?)*)\s*\}\s*$/.exec(
    text.slice(0, 4096),
  )?.[1];
  const field = (key: string, value: string) => new RegExp(`'${key}':\\s*${value}`).exec(fields ?? "")?.[1];
  const descriptor = field("descr", "'([^']*)'");
  const order = field("fortran_order", "(True|False)");
  const sizes = field("shape", "\\(([\\d, ]*)\\)");
  if (descriptor === undefined || order === undefined || sizes === undefined) {
    const begin = JSON.stringify(text.slice(0, 60));
    throw new NpyError(
      path,
      `its header begins ${begin}, expected descr, fortran_order and shape of a plain array`,
    );
  }
  const dtype = (Object.keys(descriptors) as NpyDType[]).find((d) => descriptors[d] === descriptor);
  if (dtype === undefined)
    throw new NpyError(path, `its type is ${descriptor}, expected one of ${supported}`);
  if (order === "True") {
    throw new NpyError(path, "it is in Fortran order, expected C order: save numpy.ascontiguousarray(array)");
  }
  return { dtype, shape: (sizes.match(/\d+/g) ?? []).map(Number), dataStart };
}

/** Reads an array of float32, int32 or int64. @throws NpyError naming the file, what it has, and what was expected. */
export async function readNpy(path: string): Promise<HostTensor> {
  let file: Buffer;
  try {
    file = await readFile(path);
  } catch (error) {
    throw new NpyError(path, `it cannot be read: ${explainError(error)}`, { cause: error });
  }
  const { dtype, shape, dataStart } = parseHeader(path, file);
  let expected: number;
  try {
    expected = elementCount(shape) * bytesPerElement(dtype);
  } catch (error) {
    throw new NpyError(path, explainError(error), { cause: error });
  }
  const data = file.subarray(dataStart);
  if (data.length !== expected) {
    const wanted = `${expected} for ${descriptors[dtype]} [${shape.join(", ")}]`;
    throw new NpyError(path, `it has ${data.length} bytes of data, expected ${wanted}`);
  }
  return tensorOf(dtype, shape, new Uint8Array(data).buffer);
}
