/**
 * @file PyTorch's files (`torch.save`) without PyTorch: the zip format of torch 1.6 and later, and the stream of
 * pickles before it. Nothing in them is executed. Tensors are found when a file is opened and read when asked for.
 */

import { explainError, systemErrorCode } from "../files.js";
import {
  ByteCursor,
  ByteRange,
  type ByteSource,
  FileBytes,
  FormatError,
  finder,
  type PickleValue,
  quoted,
  readBytes,
  unpickle,
} from "../pickle/index.js";
import type { HostTensor } from "./host-tensor.js";
import type { SourceTensor, TensorSource } from "./tensor-source.js";
import { type Facts, flattenCheckpoint } from "./torch-checkpoint.js";
import { storageDtype, torchGlobals } from "./torch-globals.js";
import { readTorchTensor, TorchStorage, type TorchTensor } from "./torch-tensor.js";
import { looksLikeZip, ZipArchive } from "./zip.js";

/** A file that is none of PyTorch's, is damaged, or wants code to run: the message names the file and says what. */
export class TorchFileError extends Error {
  override readonly name = "TorchFileError";

  constructor(
    readonly path: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(`${path}: ${message}`, options);
  }
}

/** What a file holds, before its tensors have names. */
interface Contents {
  readonly format: string;
  readonly value: PickleValue;
  readonly bigEndian: boolean;
  /** The bytes of a whole storage. */
  storage(key: string): ByteSource;
}

/** An open file. Tensors nested in dictionaries and lists have dotted names: `teacher.backbone.cls_token`. */
export class TorchFile implements TensorSource {
  readonly format: string;
  readonly names: readonly string[];
  /** Numbers, texts and truth values beside the tensors, by dotted name: `epoch`, `args.arch`. */
  readonly facts: Facts;
  readonly #tensors: ReadonlyMap<string, TorchTensor>;

  /** Use `openTorchFile`. */
  constructor(
    readonly path: string,
    private readonly file: FileBytes,
    private readonly contents: Contents,
  ) {
    const { tensors, facts } = flattenCheckpoint(contents.value);
    this.#tensors = tensors;
    this.facts = facts;
    this.format = contents.format;
    this.names = [...tensors.keys()];
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  info(name: string): SourceTensor {
    const { dtype, shape } = this.#tensor(name).layout;
    return { dtype, shape };
  }

  async read(name: string): Promise<HostTensor> {
    const tensor = this.#tensor(name);
    return named(this.path, `its tensor ${quoted(name)}: `, () =>
      readTorchTensor(tensor, this.contents.storage(tensor.storage.key), this.contents.bigEndian),
    );
  }

  async close(): Promise<void> {
    this.file.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #tensor(name: string): TorchTensor {
    const tensor = this.#tensors.get(name);
    if (tensor) return tensor;
    const some = this.names.slice(0, 5).join(", ");
    throw new TorchFileError(this.path, `there is no tensor ${quoted(name)}, expected one of: ${some}`);
  }
}

/** Adds the file's name to what is wrong with it. */
function named<T>(path: string, prefix: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof FormatError) {
      throw new TorchFileError(path, prefix + error.message, { cause: error });
    }
    if (systemErrorCode(error) === undefined) throw error;
    throw new TorchFileError(path, `${prefix}it cannot be read: ${explainError(error)}`, { cause: error });
  }
}

/**
 * Opens a file and finds its tensors; none is read yet.
 * @throws TorchFileError naming the file, what is wrong with it, and what was expected.
 */
export function openTorchFile(path: string): TorchFile {
  return named(path, "", () => {
    const file = new FileBytes(path);
    try {
      return new TorchFile(path, file, readContents(file));
    } catch (error) {
      file.close();
      throw error;
    }
  });
}

function readContents(file: ByteSource): Contents {
  const start = readBytes(file, 0, Math.min(file.size, 512));
  if (looksLikeZip(start)) return readZip(file);
  if (start[0] === 0x80) return readLegacy(file);
  throw new FormatError(`${whatElse(start)}, expected a file of torch.save (a zip archive, or pickles)`);
}

function whatElse(start: Uint8Array): string {
  const text = Buffer.from(start).toString("latin1");
  if (start.length === 0) return "it is empty";
  if (text.startsWith("version https://git-lfs"))
    return "it is a pointer of Git LFS (`git lfs pull` gets the file)";
  if (/^\s*<(!doctype|html|\?xml)/i.test(text)) return "it is a web page, not the file it is named after";
  if (text.slice(257, 262) === "ustar")
    return "it is a tar archive (torch before 0.1.10 wrote some; none is read)";
  return `it begins with ${quoted(text.slice(0, 8))}`;
}

/** `ROOT/data.pkl`, and the bytes of each storage in `ROOT/data/KEY`. */
function readZip(file: ByteSource): Contents {
  const archive = ZipArchive.open(file);
  const pickles = [...archive.entries.keys()].filter((name) => /^[^/]+\/data\.pkl$/.test(name));
  const [pickle] = pickles;
  if (pickle === undefined || pickles.length > 1) {
    throw new FormatError(
      `it is a zip archive with ${pickles.length} entries */data.pkl, expected one: not of torch.save`,
    );
  }
  const root = pickle.slice(0, -"data.pkl".length);
  const entry = (name: string) => {
    const found = archive.entries.get(root + name);
    if (!found) throw new FormatError(`its entry ${quoted(root + name)} is missing: it is damaged`);
    return found;
  };
  const text = (name: string) => {
    if (!archive.entries.has(root + name)) return undefined;
    return Buffer.from(readAll(archive.bytes(entry(name)), 64)).toString("latin1");
  };
  if (archive.entries.has(`${root}constants.pkl`)) {
    throw new FormatError(
      "it is a TorchScript program, expected tensors: save them with torch.save(model.state_dict(), file)",
    );
  }
  const order = text("byteorder") ?? "little";
  if (order !== "little" && order !== "big") {
    throw new FormatError(`its byte order is ${quoted(order)}, expected little or big`);
  }
  const bytes = archive.bytes(entry("data.pkl"));
  const value = unpickle(new ByteCursor(bytes), {
    find: finder(torchGlobals),
    load: (reference) => {
      const storage = storageReference(reference);
      const found = entry(`data/${storage.key}`);
      if (found.size !== storage.byteLength) {
        throw new FormatError(
          `its entry ${quoted(found.name)} has ${found.size} bytes, expected ${storage.byteLength} for its storage`,
        );
      }
      return storage;
    },
  });
  const storage = (key: string) => archive.bytes(entry(`data/${key}`));
  return { format: "PyTorch (zip)", value, bigEndian: order === "big", storage };
}

function readAll(source: ByteSource, most: number): Uint8Array {
  return readBytes(source, 0, Math.min(source.size, most));
}

/** ("storage", class, key, location, size[, view]) */
function storageReference(reference: PickleValue): TorchStorage {
  const [kind, type, key, , size, view] = Array.isArray(reference) ? reference : [];
  if (kind !== "storage" || typeof key !== "string" || !Number.isSafeInteger(size) || (size as number) < 0) {
    throw new FormatError("its pickle refers to something outside of it that is no storage");
  }
  const dtype = storageDtype(type);
  if (view === undefined || view === null) return new TorchStorage(key, dtype, size as number);
  const [, offset, viewSize] = Array.isArray(view) ? view : [];
  const [from, length] = [Number(offset), Number(viewSize)];
  if (!(from >= 0 && length >= 0 && from + length <= (size as number))) {
    throw new FormatError(`its pickle has a view of storage ${quoted(key)} that reaches out of it`);
  }
  return new TorchStorage(key, dtype, length, from);
}

const LEGACY_MAGIC = 0x1950a86a20f9469cfc6cn;
const LEGACY_PROTOCOL = 1001;

/** Pickles of magic number, protocol, system, the object, and the storages' keys; then each storage's size and bytes. */
function readLegacy(file: ByteSource): Contents {
  const cursor = new ByteCursor(file);
  const sizes = new Map<string, { readonly dtype: string | undefined; readonly size: number }>();
  const next = () =>
    unpickle(cursor, {
      find: finder(torchGlobals),
      load: (reference) => {
        const storage = storageReference(reference);
        const [, , , , size] = reference as PickleValue[];
        const known = sizes.get(storage.key);
        if (known && (known.size !== size || known.dtype !== storage.dtype)) {
          throw new FormatError(`its pickle gives storage ${quoted(storage.key)} two sizes or types`);
        }
        sizes.set(storage.key, { dtype: storage.dtype, size: Number(size) });
        return storage;
      },
    });
  if (next() !== LEGACY_MAGIC) {
    throw new FormatError("it is a pickle, and none of torch.save: its magic number is missing");
  }
  const protocol = next();
  if (protocol !== LEGACY_PROTOCOL) {
    throw new FormatError(`its protocol is ${quoted(String(protocol))}, expected ${LEGACY_PROTOCOL}`);
  }
  next(); // The system it was written on. Storages are little-endian on all of them.
  const value = next();
  const keys = next();
  if (!Array.isArray(keys)) throw new FormatError("the list of its storages is missing");
  const storages = new Map<string, ByteSource>();
  let position = cursor.position;
  for (const key of keys) {
    const known = typeof key === "string" ? sizes.get(key) : undefined;
    if (typeof key !== "string" || !known || storages.has(key)) {
      throw new FormatError(
        `its list of storages has ${quoted(String(key))}, which no tensor uses, or has it twice`,
      );
    }
    const count = Number(new DataView(readBytes(file, position, 8).buffer).getBigInt64(0, true));
    if (count !== known.size) {
      throw new FormatError(`its storage ${quoted(key)} has ${count} elements, expected ${known.size}`);
    }
    const { byteLength } = new TorchStorage(key, known.dtype, count);
    storages.set(key, new ByteRange(file, position + 8, byteLength));
    position += 8 + byteLength;
  }
  const storage = (key: string) => {
    const found = storages.get(key);
    if (!found) throw new FormatError(`the bytes of its storage ${quoted(key)} are missing`);
    return found;
  };
  return { format: "PyTorch (before 1.6)", value, bigEndian: false, storage };
}
