/**
 * @file The files of a data set, wherever they lie: in a folder, or in a tar archive that stays packed. What reads a
 * layout asks a tree and need not know which it is.
 */

import {
  closeSync,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  realpathSync,
  statSync,
} from "node:fs";
import { basename, join } from "node:path";
import { explainError, systemErrorCode } from "../files.js";
import { DataError, reasonOf } from "./data-error.js";
import type { SampleSource } from "./sample-source.js";
import type { SkipLog } from "./skip-log.js";
import type { TarMember } from "./tar.js";

/** Where a file's bytes lie on the disk. */
export interface Extent {
  readonly path: string;
  readonly offset: number;
  readonly size: number;
}

/** Paths are relative to the tree, with `/`; "" is the tree itself. Hidden files and clutter are not in it. */
export interface FileTree {
  /** The folder or archive, for messages. */
  readonly path: string;
  readonly name: string;
  /** Names in a folder, in code-unit order; none where there is no such folder. */
  list(folder: string): { readonly files: readonly string[]; readonly folders: readonly string[] };
  /** Where a file lies. Undefined where there is no such file. @throws the system's error when it is unreadable. */
  extent(file: string): Extent | undefined;
  /**
   * Reads the beginning of a file, as much as fits. Undefined where there is no such file.
   * @returns The file's bytes in all, and how many were read.
   * @throws the system's error when it is unreadable.
   */
  head(file: string, into: Uint8Array): { readonly bytes: number; readonly read: number } | undefined;
  /** How a loader reads an image file. */
  source(file: string): SampleSource;
  /** Paths of all files below a folder, in code-unit order. What cannot be reached goes to `skips`. */
  walk(folder: string, skips: SkipLog): { readonly files: string[]; readonly unreachable: number };
}

/** Files that operating systems leave behind; nobody means them as images. */
const CLUTTER = new Set(["thumbs.db", "desktop.ini", "__macosx"]);

const isClutter = (name: string) => name.startsWith(".") || CLUTTER.has(name.toLowerCase());

/** Code-unit order: the same on every machine, and Python's for ASCII. */
export const compareNames = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);

/** Joins parts of a path in a tree. */
export const under = (folder: string, name: string) => (folder === "" ? name : `${folder}/${name}`);

class FolderTree implements FileTree {
  readonly path: string;
  readonly name: string;
  readonly #listed = new Map<string, { files: string[]; folders: string[] }>();

  constructor(path: string) {
    this.path = path;
    this.name = basename(path) || path;
  }

  list(folder: string) {
    const known = this.#listed.get(folder);
    if (known) return known;
    const files: string[] = [];
    const folders: string[] = [];
    const absolute = join(this.path, folder);
    let entries: ReturnType<typeof readEntries> = [];
    try {
      entries = readEntries(absolute);
    } catch (error) {
      const code = systemErrorCode(error);
      if (code !== "ENOENT" && code !== "ENOTDIR") {
        throw new DataError(`The folder ${absolute} cannot be read: ${explainError(error)}.`);
      }
    }
    for (const entry of entries) {
      if (isClutter(entry.name)) continue;
      const kind = entry.isSymbolicLink()
        ? statSync(join(absolute, entry.name), { throwIfNoEntry: false })
        : entry;
      if (kind?.isDirectory()) folders.push(entry.name);
      else if (kind?.isFile()) files.push(entry.name);
    }
    const listed = { files: files.sort(compareNames), folders: folders.sort(compareNames) };
    this.#listed.set(folder, listed);
    return listed;
  }

  extent(file: string): Extent | undefined {
    const path = join(this.path, file);
    const found = statSync(path, { throwIfNoEntry: false });
    return found?.isFile() ? { path, offset: 0, size: found.size } : undefined;
  }

  head(file: string, into: Uint8Array) {
    let descriptor: number | undefined;
    try {
      descriptor = openSync(join(this.path, file), "r");
      return { bytes: fstatSync(descriptor).size, read: readSync(descriptor, into, 0, into.length, 0) };
    } catch (error) {
      if (systemErrorCode(error) === "ENOENT" || systemErrorCode(error) === "ENOTDIR") return undefined;
      throw error;
    } finally {
      if (descriptor !== undefined) closeSync(descriptor);
    }
  }

  source(file: string): SampleSource {
    return { kind: "file", path: join(this.path, file) };
  }

  walk(folder: string, skips: SkipLog) {
    const files: string[] = [];
    let unreachable = 0;
    const visit = (relative: string, ancestors: ReadonlySet<string>) => {
      const absolute = join(this.path, relative);
      const real = realpathSync(absolute);
      // A link to a folder above would never end.
      if (ancestors.has(real)) return;
      for (const entry of readEntries(absolute)) {
        if (isClutter(entry.name)) continue;
        const path = under(relative, entry.name);
        try {
          const kind = entry.isSymbolicLink() ? statSync(join(this.path, path)) : entry;
          if (kind.isDirectory()) visit(path, new Set([...ancestors, real]));
          else if (kind.isFile()) files.push(path);
        } catch (error) {
          skips.add(path, systemErrorCode(error) === "ENOENT" ? "broken link" : reasonOf(error));
          unreachable++;
        }
      }
    };
    visit(folder, new Set());
    return { files: files.sort(compareNames), unreachable };
  }
}

const readEntries = (path: string) => readdirSync(path, { withFileTypes: true });

class TarTree implements FileTree {
  readonly path: string;
  readonly name: string;
  readonly #members: ReadonlyMap<string, TarMember>;
  readonly #folders = new Map<string, { files: string[]; folders: string[] }>();

  constructor(path: string, members: readonly TarMember[]) {
    this.path = path;
    this.name = basename(path).replace(/\.tar$/i, "");
    this.#members = new Map(
      members.filter(({ name }) => !name.split("/").some(isClutter)).map((member) => [member.name, member]),
    );
    this.#folder("");
    for (const name of this.#members.keys()) {
      const slash = name.lastIndexOf("/");
      this.#folder(name.slice(0, Math.max(0, slash))).files.push(name.slice(slash + 1));
    }
    for (const { files, folders } of this.#folders.values()) {
      files.sort(compareNames);
      folders.sort(compareNames);
    }
  }

  /** The folder's record, made with those above it. */
  #folder(path: string): { files: string[]; folders: string[] } {
    const known = this.#folders.get(path);
    if (known) return known;
    const made = { files: [], folders: [] };
    this.#folders.set(path, made);
    if (path !== "") {
      const slash = path.lastIndexOf("/");
      this.#folder(path.slice(0, Math.max(0, slash))).folders.push(path.slice(slash + 1));
    }
    return made;
  }

  list(folder: string) {
    return this.#folders.get(folder) ?? { files: [], folders: [] };
  }

  extent(file: string): Extent | undefined {
    const member = this.#members.get(file);
    return member && { path: this.path, offset: member.offset, size: member.size };
  }

  head(file: string, into: Uint8Array) {
    const member = this.#members.get(file);
    if (!member) return undefined;
    const descriptor = openSync(this.path, "r");
    try {
      const length = Math.min(into.length, member.size);
      return { bytes: member.size, read: readSync(descriptor, into, 0, length, member.offset) };
    } finally {
      closeSync(descriptor);
    }
  }

  source(file: string): SampleSource {
    const member = this.#members.get(file);
    if (!member) throw new Error(`${file} is not in ${this.path}`);
    return { kind: "slice", path: this.path, offset: member.offset, size: member.size };
  }

  walk(folder: string) {
    const prefix = folder === "" ? "" : `${folder}/`;
    const files = [...this.#members.keys()].filter((name) => name.startsWith(prefix)).sort(compareNames);
    return { files, unreachable: 0 };
  }
}

/** A folder within a tree, as a tree. */
class SubTree implements FileTree {
  readonly path: string;
  readonly name: string;
  readonly #parent: FileTree;
  readonly #folder: string;

  constructor(parent: FileTree, folder: string) {
    this.path = join(parent.path, folder);
    this.name = folder;
    this.#parent = parent;
    this.#folder = folder;
  }

  list(folder: string) {
    return this.#parent.list(folder === "" ? this.#folder : under(this.#folder, folder));
  }

  extent(file: string) {
    return this.#parent.extent(under(this.#folder, file));
  }

  head(file: string, into: Uint8Array) {
    return this.#parent.head(under(this.#folder, file), into);
  }

  source(file: string) {
    return this.#parent.source(under(this.#folder, file));
  }

  walk(folder: string, skips: SkipLog) {
    const { files, unreachable } = this.#parent.walk(
      folder === "" ? this.#folder : under(this.#folder, folder),
      skips,
    );
    return { files: files.map((file) => file.slice(this.#folder.length + 1)), unreachable };
  }
}

export function folderTree(path: string): FileTree {
  return new FolderTree(path);
}

/** @param members What `indexTar` found in the archive. */
export function tarTree(path: string, members: readonly TarMember[]): FileTree {
  return new TarTree(path, members);
}

/** A folder of a tree, as a tree. */
export function subTree(parent: FileTree, folder: string): FileTree {
  return new SubTree(parent, folder);
}

/** The content of a file of the tree. @throws DataError when it is not there or cannot be read. */
export function readTreeFile(tree: FileTree, file: string): Uint8Array {
  let extent: Extent | undefined;
  try {
    extent = tree.extent(file);
    if (extent) return readExtent(extent);
  } catch (error) {
    throw new DataError(`${join(tree.path, file)} cannot be read: ${explainError(error)}.`);
  }
  throw new DataError(`${join(tree.path, file)} is missing: unpack the data set again.`);
}

/** The lines of a text file of the tree, without white space around them and without empty ones. */
export function readTreeLines(tree: FileTree, file: string): string[] {
  const text = new TextDecoder().decode(readTreeFile(tree, file));
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
}

/** The content of a JSON file of the tree. @throws DataError when it is not there or no JSON. */
export function readTreeJson(tree: FileTree, file: string): unknown {
  const bytes = readTreeFile(tree, file);
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw new DataError(
      `${join(tree.path, file)} is no JSON (${reasonOf(error)}): unpack the data set again.`,
    );
  }
}

/** Reads bytes of a file. @throws Error when it ends before. */
export function readExtent({ path, offset, size }: Extent): Uint8Array {
  if (offset === 0 && size === statSync(path).size) return readFileSync(path);
  const bytes = new Uint8Array(size);
  const descriptor = openSync(path, "r");
  try {
    for (let done = 0; done < size; ) {
      const got = readSync(descriptor, bytes, done, size - done, offset + done);
      if (got === 0) throw new Error(`the file ends at byte ${fstatSync(descriptor).size}`);
      done += got;
    }
  } finally {
    closeSync(descriptor);
  }
  return bytes;
}
