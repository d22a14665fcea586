/** @file Features as a NumPy array, `FILE.npy`, with `FILE.names.txt` and `FILE.labels.txt` beside it, one line a row. */

import { existsSync, readFileSync, rmSync } from "node:fs";
import { writeFileAtomic } from "../files.js";
import {
  FeatureFileError,
  type FeatureRows,
  type FeatureTable,
  type FeatureWriter,
  type FeatureWriterOptions,
} from "./feature-table.js";
import { NpyWriter, readNpy } from "./npy.js";

const stemOf = (path: string): string => path.slice(0, -".npy".length);
const namesOf = (path: string): string => `${stemOf(path)}.names.txt`;
const labelsOf = (path: string): string => `${stemOf(path)}.labels.txt`;

export class NpyFeatures implements FeatureWriter {
  readonly files: Readonly<Record<string, string>>;
  readonly #names: string[] = [];
  readonly #labels: string[] = [];

  private constructor(
    private readonly path: string,
    private readonly array: NpyWriter<"float32">,
    private readonly labelled: boolean,
  ) {
    this.files = { names: namesOf(path), ...(labelled ? { labels: labelsOf(path) } : {}) };
  }

  static async create(path: string, { count, dim, labelled }: FeatureWriterOptions): Promise<NpyFeatures> {
    return new NpyFeatures(path, await NpyWriter.create(path, "float32", [count, dim]), labelled);
  }

  async append({ names, labels = [], data }: FeatureRows): Promise<void> {
    await this.array.append(data);
    this.#names.push(...names);
    this.#labels.push(...labels);
  }

  async close(): Promise<void> {
    writeFileAtomic(namesOf(this.path), lines(this.#names));
    if (this.labelled) writeFileAtomic(labelsOf(this.path), lines(this.#labels));
    // Of an earlier array of this name.
    else rmSync(labelsOf(this.path), { force: true });
    await this.array.closeEarly();
  }

  async abort(): Promise<void> {
    await this.array.abort();
  }
}

/** One name a line: a name with a line break in it must not become two. */
function lines(names: readonly string[]): string {
  return names.map((name) => `${name.replace(/[\\\r\n]/g, escapeCharacter)}\n`).join("");
}

function escapeCharacter(character: string): string {
  return character === "\n" ? "\\n" : character === "\r" ? "\\r" : "\\\\";
}

function readLines(path: string): string[] {
  const unescaped: Readonly<Record<string, string>> = { "\\n": "\n", "\\r": "\r", "\\\\": "\\" };
  return readFileSync(path, "utf8")
    .split("\n")
    .slice(0, -1)
    .map((line) => line.replace(/\\[nr\\]/g, (code) => unescaped[code] ?? code));
}

export async function readNpyFeatures(path: string): Promise<FeatureTable> {
  const { dtype, shape, data } = await readNpy(path);
  const [rows, dim] = shape;
  if (!(data instanceof Float32Array) || rows === undefined || dim === undefined || shape.length !== 2) {
    throw new FeatureFileError(
      path,
      `it holds ${dtype} [${shape.join(", ")}], expected float32 [images, features] as \`inbetween embed\` writes it`,
    );
  }
  const column = (file: string): string[] => {
    const values = readLines(file);
    if (values.length === rows) return values;
    throw new FeatureFileError(
      path,
      `it has ${rows} rows and ${file} ${values.length} lines; embed the images again`,
    );
  };
  if (!existsSync(namesOf(path))) {
    throw new FeatureFileError(path, `${namesOf(path)}, which names its rows, is missing; put it beside it`);
  }
  const labels = existsSync(labelsOf(path)) ? { labels: column(labelsOf(path)) } : {};
  return { names: column(namesOf(path)), ...labels, dim, data };
}
