/** @file What a run writes while it works: metrics, pictures and evaluations as JSON lines in the run folder. */

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { ClassificationRecord, EvaluationRecord, MetricsRow, PictureEvent } from "./events.js";
import { JsonLinesWriter, readJsonLines, reviveNumbers } from "./json-lines.js";

export const METRICS_FILE = "metrics.jsonl";
export const PICTURES_FILE = "pictures.jsonl";
export const EVALUATIONS_FILE = "evaluations.jsonl";
export const CLASSIFICATIONS_FILE = "classifications.jsonl";

export interface RunLogOptions {
  /** Step of the checkpoint being resumed: rows written after it are dropped, for they will be written again. */
  resumedStep?: number;
}

function rowStep(row: unknown): number {
  const step = (row as { step?: unknown } | null)?.step;
  return typeof step === "number" ? step : 0;
}

/**
 * Writer of `metrics.jsonl` and `pictures.jsonl`. A row is in the system's hands when the call returns (killing
 * the process loses none); `sync()` beside each checkpoint makes it outlive a power cut.
 */
export class RunLog {
  private readonly metrics: JsonLinesWriter;
  private readonly pictures: JsonLinesWriter;

  constructor(
    readonly folder: string,
    options: RunLogOptions = {},
  ) {
    mkdirSync(folder, { recursive: true });
    const { resumedStep } = options;
    const keep = resumedStep === undefined ? undefined : (row: unknown) => rowStep(row) <= resumedStep;
    this.metrics = new JsonLinesWriter(join(folder, METRICS_FILE), keep);
    this.pictures = new JsonLinesWriter(join(folder, PICTURES_FILE), keep);
  }

  append(row: MetricsRow): void {
    this.metrics.append(row);
  }

  picture(event: PictureEvent): void {
    this.pictures.append(event);
  }

  sync(): void {
    this.metrics.sync();
    this.pictures.sync();
  }

  close(): void {
    this.metrics.close();
    this.pictures.close();
  }
}

/** Adds one evaluation to a folder (a run's, or the one an encoder was evaluated from). */
export function appendEvaluation(folder: string, record: EvaluationRecord): void {
  appendRecord(folder, EVALUATIONS_FILE, record);
}

/** Adds one linear probe or k-NN classification to a folder, as `appendEvaluation` does. */
export function appendClassification(folder: string, record: ClassificationRecord): void {
  appendRecord(folder, CLASSIFICATIONS_FILE, record);
}

function appendRecord(folder: string, file: string, record: object): void {
  mkdirSync(folder, { recursive: true });
  const writer = new JsonLinesWriter(join(folder, file));
  try {
    writer.append(record);
    writer.sync();
  } finally {
    writer.close();
  }
}

/** Rows in the order written; an unfinished last line is left out, a missing file is empty. */
export function readMetrics(folder: string): MetricsRow[] {
  return readJsonLines(join(folder, METRICS_FILE)).map((row) => reviveNumbers(row as MetricsRow));
}

export function readPictures(folder: string): PictureEvent[] {
  return readJsonLines(join(folder, PICTURES_FILE)) as PictureEvent[];
}

export function readEvaluations(folder: string): EvaluationRecord[] {
  const rows = readJsonLines(join(folder, EVALUATIONS_FILE)) as EvaluationRecord[];
  return rows.map((row) => ({ ...row, r2: reviveNumbers(row.r2) }));
}

export function readClassifications(folder: string): ClassificationRecord[] {
  return readJsonLines(join(folder, CLASSIFICATIONS_FILE)) as ClassificationRecord[];
}
