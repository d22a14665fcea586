/** @file Features as JSON lines: `{"name":"cat/a.jpg","label":"cat","features":[0.1,…]}`, one image a line. */

import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";
import { z } from "zod";
import { AtomicFile } from "../files.js";
import {
  FeatureFileError,
  type FeatureRows,
  type FeatureTable,
  type FeatureWriter,
  type FeatureWriterOptions,
} from "./feature-table.js";

/** As many digits as tell any two float32 numbers apart. */
const DIGITS = 9;

export class JsonLinesFeatures implements FeatureWriter {
  readonly files = {};

  private constructor(
    private readonly file: AtomicFile,
    private readonly dim: number,
  ) {}

  static async create(path: string, { dim }: FeatureWriterOptions): Promise<JsonLinesFeatures> {
    return new JsonLinesFeatures(await AtomicFile.create(path), dim);
  }

  async append({ names, labels, data }: FeatureRows): Promise<void> {
    const text = names.map((name, row) => {
      const values = data.subarray(row * this.dim, (row + 1) * this.dim);
      const features = Array.from(values, (value) => Number(value.toPrecision(DIGITS)));
      return `${JSON.stringify({ name, ...(labels ? { label: labels[row] } : {}), features })}\n`;
    });
    await this.file.write(Buffer.from(text.join(""), "utf8"));
  }

  async close(): Promise<void> {
    await this.file.commit();
  }

  async abort(): Promise<void> {
    await this.file.abort();
  }
}

const lineSchema = z.object({
  name: z.string(),
  label: z.string().optional(),
  features: z.array(z.number()).min(1),
});

export async function readJsonLinesFeatures(path: string): Promise<FeatureTable> {
  const names: string[] = [];
  const labels: string[] = [];
  const rows: Float32Array[] = [];
  let number = 0;
  for await (const line of createInterface({
    input: createReadStream(path),
    crlfDelay: Number.POSITIVE_INFINITY,
  })) {
    number++;
    if (line.trim() === "") continue;
    const found = lineSchema.safeParse(parsed(line)).data;
    const dim = rows[0]?.length ?? found?.features.length;
    if (!found || found.features.length !== dim) {
      const expected = `{"name":…,"features":[${dim === undefined ? "…" : `${dim} numbers`}]}`;
      throw new FeatureFileError(
        path,
        `line ${number} is ${JSON.stringify(line.slice(0, 60))}, expected ${expected}`,
      );
    }
    names.push(found.name);
    if (found.label !== undefined) labels.push(found.label);
    rows.push(Float32Array.from(found.features));
  }
  const dim = rows[0]?.length ?? 0;
  const data = new Float32Array(rows.length * dim);
  rows.forEach((row, i) => {
    data.set(row, i * dim);
  });
  return { names, ...(labels.length === rows.length && rows.length > 0 ? { labels } : {}), dim, data };
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
