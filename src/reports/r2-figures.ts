/** @file The R² tables of a comparison: our rows as their records give them, the paper's Tables 2 and 3 as printed. */

import { type ComparedGroup, overSeeds } from "./comparison.js";
import { type EvaluationRecord, SCORES, type Score, type Task } from "./events.js";
import {
  type FigureTable,
  paperTitle,
  printed,
  type TableFigure,
  type TableRow,
  titles,
} from "./figure-table.js";
import { formatMeanStd } from "./format.js";
import { type Measured, type MeasuredRow, measuredRows, type NextId } from "./measured.js";
import { PUBLISHED_ROWS, type PublishedRow, publishedDetail } from "./published.js";
import { protocolTitle, SCORE_TITLES } from "./tables.js";

const R2 = "r2";

/** Our rows under a protocol: one for each group, kind of features, and data. */
export function r2Rows(
  groups: readonly ComparedGroup[],
  protocol: EvaluationRecord["protocol"],
  nextId: NextId,
): MeasuredRow<EvaluationRecord>[] {
  return measuredRows(
    groups,
    ({ evaluations }) => evaluations,
    (record) =>
      record.protocol === protocol
        ? { row: `${record.features} features on ${record.data}`, column: R2 }
        : undefined,
    nextId,
  );
}

/** "2 seeds", or what there is of a single run: "seed 0, 3 probes". */
function overText(records: readonly { seed?: number; repeats?: number }[]): string {
  const [first] = records;
  if (records.length > 1 || !first) return `${records.length} seeds`;
  const { seed, repeats } = first;
  return [
    ...(seed === undefined ? [] : [`seed ${seed}`]),
    ...(repeats === undefined ? [] : [repeats === 1 ? "1 probe" : `${repeats} probes`]),
  ].join(", ");
}

function r2TableRow(
  { group, key, on }: MeasuredRow<EvaluationRecord>,
  scores: Readonly<Record<string, (record: EvaluationRecord) => { mean: number; std: number }>>,
): TableRow {
  const from = on.get(R2) as Measured<EvaluationRecord>;
  const figures = Object.entries(scores).map(([column, score]) => [column, r2Figure(from, score)] as const);
  return {
    label: group.label,
    detail: `${key}, ${overText(from.records)}`,
    published: false,
    group,
    key,
    figures: Object.fromEntries(figures),
  };
}

function r2Figure(
  from: Measured<EvaluationRecord>,
  score: (record: EvaluationRecord) => { mean: number; std: number },
): TableFigure {
  const { mean, std, count } = summary(
    from.records.map((record) => ({ ...score(record), count: record.repeats })),
  );
  return { value: mean, std, text: formatMeanStd(mean, std, count), from };
}

/** Over several runs their mean and deviation; of one run its own. */
function summary(values: readonly { mean: number; std: number; count: number }[]) {
  const [only] = values;
  return values.length === 1 && only ? only : overSeeds(values.map(({ mean }) => mean));
}

const taskScores = Object.fromEntries(
  SCORES.map((score) => [score, (record: EvaluationRecord) => record.r2[score]]),
);

function publishedR2(number: 2 | 3): TableRow[] {
  const row = (published: PublishedRow): TableRow => {
    const { encoder, r2, std, mean, base } = published;
    const figures = Object.entries(r2).map(([task, text]): [string, TableFigure] => {
      const deviation = std?.[task as Task];
      return [task, printed(text, deviation)];
    });
    return {
      label: encoder,
      detail: publishedDetail(published),
      published: true,
      key: "published",
      ...(base === undefined ? {} : { base }),
      figures: Object.fromEntries([...figures, ["mean", printed(mean)]]),
    };
  };
  return PUBLISHED_ROWS.filter(({ table }) => table === number).map(row);
}

/** The paper's Table 2. */
export function fourTasks(rows: readonly MeasuredRow<EvaluationRecord>[]): FigureTable {
  return {
    id: "table-2",
    title: paperTitle(2, "R² of predicted transformation parameters, ViT-S/16"),
    unit: "R²",
    columns: titles(SCORES, (score) => SCORE_TITLES[score]),
    rows: [...rows.map((row) => r2TableRow(row, taskScores)), ...publishedR2(2)],
  };
}

/** The paper's Table 3. */
export function twoTasks(rows: readonly MeasuredRow<EvaluationRecord>[]): FigureTable {
  const columns = ["rotation", "color", "mean"] as const satisfies readonly Score[];
  const scores = {
    rotation: ({ r2 }: EvaluationRecord) => r2.rotation,
    color: ({ r2 }: EvaluationRecord) => r2.color,
    // Its deviation is not kept: that of a mean of two tasks does not follow from the two.
    mean: ({ r2 }: EvaluationRecord) => ({
      mean: (r2.rotation.mean + r2.color.mean) / 2,
      std: Number.NaN,
    }),
  };
  return {
    id: "table-3",
    title: paperTitle(3, "R² of rotation and colour, methods that compare augmented views"),
    unit: "R²",
    columns: titles(columns, (score) => (score === "mean" ? "Mean of the two" : SCORE_TITLES[score])),
    rows: [...rows.map((row) => r2TableRow(row, scores)), ...publishedR2(3)],
  };
}

/** Another protocol, under which nothing is published. */
export function ownR2(
  rows: readonly MeasuredRow<EvaluationRecord>[],
  protocol: EvaluationRecord["protocol"],
): FigureTable {
  return {
    id: protocol,
    title: `${protocolTitle(protocol)}: R² of predicted transformation parameters, nothing published`,
    unit: "R²",
    columns: titles(SCORES, (score) => SCORE_TITLES[score]),
    rows: rows.map((row) => r2TableRow(row, taskScores)),
  };
}
