/** @file The records behind a table's figures: of one group, of one kind, one for each of its runs. */

import type { ComparedGroup } from "./comparison.js";
import type {
  ClassificationRecord,
  EvaluationRecord,
  KnnClassificationRecord,
  LinearProbeRecord,
  PretrainingKnnRecord,
} from "./events.js";
import { isRandomEncoder } from "./events.js";
import { BENCHMARKS, type Benchmark } from "./published.js";
import type { RunData } from "./read-run.js";

export type AnyRecord = EvaluationRecord | ClassificationRecord | PretrainingKnnRecord;

/** What one figure, or one row of figures, was computed from. */
export interface Measured<R extends AnyRecord = AnyRecord> {
  /** Of its place in the page. */
  readonly id: string;
  readonly group: ComparedGroup;
  /** At least one; one for each run that has it. */
  readonly records: readonly [R, ...R[]];
}

/** A row: figures of one group that were measured in the same way. */
export interface MeasuredRow<R extends AnyRecord = AnyRecord> {
  readonly group: ComparedGroup;
  /** What rows of other groups must have in common with it to be compared. */
  readonly key: string;
  /** By what they were measured on. */
  readonly on: ReadonlyMap<string, Measured<R>>;
}

/** Numbers the places of records in a page. */
export type NextId = () => string;

/**
 * The rows of all groups. Of a run's records that agree in row and column, the last one counts: it was evaluated again.
 * @param place Row and column of a record; undefined when it belongs to another table.
 */
export function measuredRows<R extends AnyRecord>(
  groups: readonly ComparedGroup[],
  recordsOf: (run: RunData) => readonly R[],
  place: (record: R) => { readonly row: string; readonly column: string } | undefined,
  nextId: NextId,
): MeasuredRow<R>[] {
  return groups.flatMap((group) => {
    const isRandom = isRandomEncoder(group.label);
    const rows = new Map<string, Map<string, R[]>>();
    for (const run of group.runs) {
      const last = new Map<string, { row: string; column: string; record: R }>();
      for (const record of recordsOf(run)) {
        const found = place(record);
        if (!found || isRandomEncoder(record.encoder) !== isRandom) continue;
        last.set(JSON.stringify([found.row, found.column]), { ...found, record });
      }
      for (const { row, column, record } of last.values()) {
        const columns = rows.get(row) ?? new Map<string, R[]>();
        rows.set(row, columns.set(column, [...(columns.get(column) ?? []), record]));
      }
    }
    return [...rows].map(([key, columns]) => ({
      group,
      key,
      on: new Map(
        [...columns].map(([column, records]) => [
          column,
          { id: nextId(), group, records: records as [R, ...R[]] },
        ]),
      ),
    }));
  });
}

/** The paper's data set that a record was tested on, whole or in part; undefined for any other. */
export function benchmarkOf({ test }: ClassificationRecord): Benchmark | undefined {
  return (Object.keys(BENCHMARKS) as Benchmark[]).find(
    (name) => test.name === `${name}/${BENCHMARKS[name].split}`,
  );
}

/** What a classification was tested on: the paper's name of the data set, or the data's own. */
export function testedOn(record: ClassificationRecord): string {
  return benchmarkOf(record) ?? JSON.stringify([record.test.name, record.test.fingerprint]);
}

export function isLinear(record: ClassificationRecord): record is LinearProbeRecord {
  return record.kind === "linear";
}

export function isKnn(record: ClassificationRecord): record is KnnClassificationRecord {
  return record.kind === "knn";
}
