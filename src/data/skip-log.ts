/** @file Which files were left out and why: counted, named once each in `skipped.txt`, and limited to a tenth. */

import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { DataError } from "./data-error.js";

export interface Skipped {
  /** Path relative to the data set's folder. */
  readonly name: string;
  readonly reason: string;
}

/** More than this share of unusable files means that the folder is not what its owner thinks it is. */
const MAX_SKIPPED_SHARE = 0.1;

/** A name with a line break or a tab must not break the line format of `skipped.txt`. */
function printable(name: string): string {
  return name.replace(/[\t\r\n\\]/g, (c) =>
    c === "\t" ? "\\t" : c === "\n" ? "\\n" : c === "\r" ? "\\r" : "\\\\",
  );
}

export class SkipLog {
  /** Files looked at, usable or not: what the share of skipped ones refers to. Whoever lists the files sets it. */
  total = 0;
  readonly #folder: string;
  #file: string | undefined;
  readonly #skipped = new Map<string, Skipped>();
  readonly #written = new Set<string>();

  /**
   * @param folder The data set's folder, for messages.
   * @param file Path of `skipped.txt`, one `name<TAB>reason` per line; a resumed run adds only new names to it.
   */
  constructor(folder: string, file?: string) {
    this.#folder = folder;
    if (file !== undefined) this.nameIn(file);
  }

  /** Names the files in `file`, those skipped so far and those to come: for a folder made after the data were opened. */
  nameIn(file: string): void {
    this.#file = file;
    this.#written.clear();
    if (existsSync(file)) {
      for (const line of readFileSync(file, "utf8").split("\n")) {
        const name = line.split("\t", 1)[0];
        if (name) this.#written.add(name);
      }
    }
    for (const skipped of this.entries) this.#write(skipped);
  }

  get count(): number {
    return this.#skipped.size;
  }

  get entries(): readonly Skipped[] {
    return [...this.#skipped.values()];
  }

  /** Records one file. A name that was recorded before changes nothing. */
  add(name: string, reason: string): void {
    if (this.#skipped.has(name)) return;
    const skipped = { name, reason };
    this.#skipped.set(name, skipped);
    this.#write(skipped);
  }

  #write({ name, reason }: Skipped): void {
    const key = printable(name);
    if (this.#file === undefined || this.#written.has(key)) return;
    this.#written.add(key);
    appendFileSync(this.#file, `${key}\t${reason}\n`);
  }

  /** @throws DataError when no image is left, or when more than 10 % of the files are unusable. */
  check(): void {
    if (this.count === 0) return;
    const { total } = this;
    const examples = this.entries.slice(0, 3).map((s) => `${s.name} (${s.reason})`);
    const more = this.count > 3 ? ", …" : "";
    const where = this.#file === undefined ? "" : ` All are named in ${this.#file}.`;
    const listed = `${examples.join(", ")}${more}.${where}`;
    if (this.count >= total) {
      throw new DataError(
        `No image is left in ${this.#folder}: all ${total} files are unusable: ${listed} ` +
          "Give a folder with JPEG, PNG, WebP, TIFF, AVIF or GIF images.",
      );
    }
    if (this.count > total * MAX_SKIPPED_SHARE) {
      const percent = ((100 * this.count) / total).toFixed(1);
      throw new DataError(
        `${this.count} of ${total} files in ${this.#folder} are unusable (${percent} %, at most 10 % are skipped): ` +
          `${listed} Repair these files or move them out of the folder.`,
      );
    }
  }
}
