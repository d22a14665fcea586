/** @file Safetensors files: written tensor by tensor, opened by their header, read on demand. */

import { createHash } from "node:crypto";
import { type FileHandle, open, stat } from "node:fs/promises";
import { AtomicFile, explainError } from "../files.js";
import { bytesOf, elementCount, type HostTensor, tensorOf } from "./host-tensor.js";
import {
  formatHeader,
  type Header,
  MAX_HEADER_BYTES,
  METADATA_KEY,
  parseHeader,
  SafetensorsError,
  type TensorEntry,
  type TensorInfo,
} from "./safetensors-header.js";
import type { TensorSource } from "./tensor-source.js";

/** Bytes per system call: hashing and copying a piece does not hold up the event loop for long. */
const CHUNK_BYTES = 8 << 20;

export interface WriteSafetensorsOptions {
  /** Free text by key, stored as `__metadata__`. */
  metadata?: Readonly<Record<string, string>>;
}

export interface WrittenFile {
  readonly byteLength: number;
  /** Of the whole file, in hexadecimal. */
  readonly sha256: string;
}

/**
 * Writes named tensors to `path`; the file appears there when it is complete. The tensors' arrays are written from
 * where they are, so they must not change until the promise resolves.
 *
 * @throws SafetensorsError when a name is reserved or a tensor's data do not fill its shape, before anything is written.
 * @throws the system's error (`code`) when writing fails; what was at `path` before is then untouched.
 */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, HostTensor>,
  options: WriteSafetensorsOptions = {},
): Promise<WrittenFile> {
  for (const [name, { dtype, shape, data }] of tensors) {
    if (name === METADATA_KEY)
      throw new SafetensorsError(path, `a tensor is named ${name}, expected another name`);
    if (/\p{Surrogate}/u.test(name)) {
      throw new SafetensorsError(
        path,
        `the name ${JSON.stringify(name)} has half a surrogate pair, expected Unicode`,
      );
    }
    if (data.length !== elementCount(shape)) {
      const expected = `${elementCount(shape)} for ${dtype} [${shape.join(", ")}]`;
      throw new SafetensorsError(path, `tensor ${name} has ${data.length} values, expected ${expected}`);
    }
  }
  const header = formatHeader(tensors, options.metadata ?? {});
  const hash = createHash("sha256");
  let byteLength = 0;
  const file = await AtomicFile.create(path);
  const write = async (bytes: Uint8Array) => {
    for (let start = 0; start < bytes.length; start += CHUNK_BYTES) {
      const chunk = bytes.subarray(start, start + CHUNK_BYTES);
      hash.update(chunk);
      await file.write(chunk);
    }
    byteLength += bytes.length;
  };
  try {
    await write(header.bytes);
    for (const name of header.order) {
      const tensor = tensors.get(name);
      if (tensor) await write(bytesOf(tensor.data));
    }
    await file.commit();
  } catch (error) {
    await file.abort();
    throw error;
  }
  return { byteLength, sha256: hash.digest("hex") };
}

/** Fills `bytes` from `position` on. @throws SafetensorsError when the file ends before. */
async function readFully(path: string, file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const length = Math.min(CHUNK_BYTES, bytes.length - done);
    const { bytesRead } = await file.read(bytes, done, length, position + done);
    if (bytesRead === 0) {
      throw new SafetensorsError(
        path,
        `the file ends at byte ${position + done}, expected ${bytes.length - done} more`,
      );
    }
    done += bytesRead;
  }
}

/** An open file whose header was found valid. Tensors are read when asked for. Close it after use. */
export class SafetensorsFile implements TensorSource {
  readonly format = "safetensors";
  /** Names of the tensors, in the order of the header. */
  readonly names: readonly string[];
  readonly metadata: ReadonlyMap<string, string>;
  readonly #tensors: ReadonlyMap<string, TensorEntry>;

  /** Use `openSafetensors`. */
  constructor(
    readonly path: string,
    private readonly file: FileHandle,
    private readonly dataStart: number,
    header: Header,
  ) {
    this.names = [...header.tensors.keys()];
    this.metadata = header.metadata;
    this.#tensors = header.tensors;
  }

  #entry(name: string): TensorEntry {
    const entry = this.#tensors.get(name);
    if (entry) return entry;
    const some = this.names.slice(0, 5).join(", ");
    const more = this.names.length > 5 ? `, … (${this.names.length} in all)` : "";
    throw new SafetensorsError(
      this.path,
      `there is no tensor ${JSON.stringify(name)}, expected one of: ${some}${more}`,
    );
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  /** Type and shape. @throws SafetensorsError when there is no such tensor. */
  info(name: string): TensorInfo {
    const { dtype, shape, byteLength } = this.#entry(name);
    return { dtype, shape, byteLength };
  }

  /** Type, shape and values. @throws SafetensorsError when there is no such tensor or it cannot be read. */
  async read(name: string): Promise<HostTensor> {
    const { dtype, shape, byteLength, begin } = this.#entry(name);
    const bytes = new Uint8Array(byteLength);
    await readFully(this.path, this.file, bytes, this.dataStart + begin);
    const wrong = dtype === "bool" ? bytes.findIndex((byte) => byte > 1) : -1;
    if (wrong >= 0) {
      throw new SafetensorsError(
        this.path,
        `tensor ${JSON.stringify(name)} has the byte ${bytes[wrong]} at ${wrong}, expected 0 or 1 for BOOL`,
      );
    }
    return tensorOf(dtype, shape, bytes.buffer);
  }

  /** All tensors at once. */
  async readAll(): Promise<Map<string, HostTensor>> {
    const tensors = new Map<string, HostTensor>();
    for (const name of this.names) tensors.set(name, await this.read(name));
    return tensors;
  }

  async close(): Promise<void> {
    await this.file.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

async function readHeader(path: string, file: FileHandle, size: number): Promise<SafetensorsFile> {
  if (size < 8) throw new SafetensorsError(path, `the file has ${size} bytes, expected at least 8`);
  const prefix = Buffer.alloc(8);
  await readFully(path, file, prefix, 0);
  const length = prefix.readBigUInt64LE();
  const limit = Math.min(MAX_HEADER_BYTES, size - 8);
  if (length > limit) {
    throw new SafetensorsError(
      path,
      `it says that its header has ${length} bytes, expected at most ${limit} (the file has ${size}); ` +
        "it is cut short, or no safetensors file",
    );
  }
  const bytes = new Uint8Array(Number(length));
  await readFully(path, file, bytes, 8);
  const dataStart = 8 + bytes.length;
  return new SafetensorsFile(path, file, dataStart, parseHeader(path, bytes, size - dataStart));
}

/**
 * Opens a file and checks its header completely; no tensor is read yet.
 *
 * @throws SafetensorsError naming the file, what is wrong with it, and what was expected.
 */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  let file: FileHandle | undefined;
  try {
    // Before opening: opening a named pipe would wait for its writer.
    if (!(await stat(path)).isFile()) throw new SafetensorsError(path, "it is no regular file, expected one");
    file = await open(path, "r");
    return await readHeader(path, file, (await file.stat()).size);
  } catch (error) {
    await file?.close();
    if (error instanceof SafetensorsError) throw error;
    throw new SafetensorsError(path, `it cannot be read: ${explainError(error)}`, { cause: error });
  }
}
