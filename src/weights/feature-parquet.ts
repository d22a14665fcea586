/** @file Features as Parquet: columns `name`, `label` (where images have classes) and `features`, a list of floats. */

import { asyncBufferFromFile, parquetReadObjects, type SchemaElement } from "hyparquet";
import { ByteWriter, ParquetWriter } from "hyparquet-writer";
import { AtomicFile } from "../files.js";
import {
  FeatureFileError,
  type FeatureRows,
  type FeatureTable,
  type FeatureWriter,
  type FeatureWriterOptions,
} from "./feature-table.js";

/** Rows that are written at once: a reader takes a group as a whole. */
const GROUP_ROWS = 4096;

function schemaOf(labelled: boolean): SchemaElement[] {
  const text = (name: string): SchemaElement => ({
    name,
    type: "BYTE_ARRAY",
    converted_type: "UTF8",
    repetition_type: "REQUIRED",
  });
  return [
    { name: "root", num_children: labelled ? 3 : 2 },
    text("name"),
    ...(labelled ? [text("label")] : []),
    { name: "features", converted_type: "LIST", repetition_type: "REQUIRED", num_children: 1 },
    { name: "list", repetition_type: "REPEATED", num_children: 1 },
    { name: "element", type: "FLOAT", repetition_type: "REQUIRED" },
  ];
}

export class ParquetFeatures implements FeatureWriter {
  readonly files = {};
  readonly #bytes = new ByteWriter();
  readonly #parquet: ParquetWriter;
  #names: string[] = [];
  #labels: string[] = [];
  #rows: number[][] = [];

  private constructor(
    private readonly file: AtomicFile,
    private readonly dim: number,
    private readonly labelled: boolean,
  ) {
    this.#parquet = new ParquetWriter({
      writer: this.#bytes,
      schema: schemaOf(labelled),
      // Features hardly compress.
      codec: "UNCOMPRESSED",
      createdBy: "inbetween",
    });
  }

  static async create(path: string, { dim, labelled }: FeatureWriterOptions): Promise<ParquetFeatures> {
    return new ParquetFeatures(await AtomicFile.create(path), dim, labelled);
  }

  async append({ names, labels = [], data }: FeatureRows): Promise<void> {
    this.#names.push(...names);
    this.#labels.push(...labels);
    for (let row = 0; row < names.length; row++) {
      this.#rows.push(Array.from(data.subarray(row * this.dim, (row + 1) * this.dim)));
    }
    if (this.#rows.length >= GROUP_ROWS) await this.#writeGroup();
  }

  async close(): Promise<void> {
    await this.#writeGroup();
    await this.#parquet.finish();
    await this.#flush();
    await this.file.commit();
  }

  async abort(): Promise<void> {
    await this.file.abort();
  }

  async #writeGroup(): Promise<void> {
    const label = this.labelled ? [{ name: "label", data: this.#labels }] : [];
    const columnData = [
      { name: "name", data: this.#names },
      ...label,
      { name: "features", data: this.#rows, encoding: "PLAIN" as const, statistics: false },
    ];
    await this.#parquet.write({ columnData, rowGroupSize: GROUP_ROWS });
    [this.#names, this.#labels, this.#rows] = [[], [], []];
    await this.#flush();
  }

  /** Moves what was written into the file. */
  async #flush(): Promise<void> {
    await this.file.write(this.#bytes.getBytes());
    this.#bytes.index = 0;
  }
}

export async function readParquetFeatures(path: string): Promise<FeatureTable> {
  const rows = await parquetReadObjects({ file: await asyncBufferFromFile(path) });
  const names: string[] = [];
  const labels: string[] = [];
  const dim = listOf(rows[0]?.features)?.length ?? 0;
  const data = new Float32Array(rows.length * dim);
  rows.forEach(({ name, label, features }, i) => {
    const values = listOf(features);
    if (typeof name !== "string" || values?.length !== dim) {
      throw new FeatureFileError(
        path,
        `row ${i} lacks a "name", or a list "features" of ${dim} numbers; expected what \`inbetween embed\` writes`,
      );
    }
    names.push(name);
    if (typeof label === "string") labels.push(label);
    data.set(values, i * dim);
  });
  return { names, ...(labels.length === names.length && names.length > 0 ? { labels } : {}), dim, data };
}

function listOf(value: unknown): readonly number[] | undefined {
  return Array.isArray(value) && value.every((each) => typeof each === "number") ? value : undefined;
}
