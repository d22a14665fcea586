/** @file The accuracy tables of a comparison: our rows as their records give them, the paper's Tables 4 and 6 as printed. */

import { type ComparedGroup, overSeeds, pretrainingKnn } from "./comparison.js";
import {
  type AccuracyMetric,
  type ClassificationRecord,
  type KnnClassificationRecord,
  knnShare,
  type LinearProbeRecord,
  NEIGHBOURS,
  type PretrainingKnnRecord,
  usualAccuracy,
} from "./events.js";
import {
  type FigureTable,
  paperTitle,
  printed,
  type TableFigure,
  type TableRow,
  titles,
} from "./figure-table.js";
import { formatCount, formatMeanStd } from "./format.js";
import {
  benchmarkOf,
  isKnn,
  isLinear,
  type Measured,
  type MeasuredRow,
  measuredRows,
  type NextId,
  testedOn,
} from "./measured.js";
import {
  BENCHMARKS,
  type Benchmark,
  PUBLISHED_ACCURACIES,
  type PublishedAccuracies,
  publishedDetail,
} from "./published.js";

/** Our rows of linear probes: one for each group and way of probing. */
export function linearRows(
  groups: readonly ComparedGroup[],
  nextId: NextId,
): MeasuredRow<LinearProbeRecord>[] {
  return measuredRows(
    groups,
    ({ classifications }) => classifications.filter(isLinear),
    (record) => ({ row: linearKey(record), column: testedOn(record) }),
    nextId,
  );
}

/** Our rows of k-NN classifications: one for each group and kind of features. */
export function knnRows(
  groups: readonly ComparedGroup[],
  nextId: NextId,
): MeasuredRow<KnnClassificationRecord>[] {
  return measuredRows(
    groups,
    ({ classifications }) => classifications.filter(isKnn),
    (record) => ({ row: `${record.features} features`, column: testedOn(record) }),
    nextId,
  );
}

function linearKey({ protocol, views, standardize }: LinearProbeRecord): string {
  const crops = views === 1 ? "" : `, ${views} crops`;
  return `protocol ${protocol}${crops}${standardize ? ", standardized" : ""}`;
}

/** Of the setting chosen on held-out images; of the best on the test images where none was chosen. */
function linearFigure(from: Measured<LinearProbeRecord>, metric: AccuracyMetric = "top1"): TableFigure {
  const notes = from.records.flatMap((record) => [
    ...(record.chosen ? [] : ["setting chosen on the test images"]),
    ...partNote(record),
  ]);
  return accuracyFigure(
    from,
    from.records.map(({ chosen, bestOnTest }) => {
      const { top1, perClass } = (chosen ?? bestOnTest).test;
      return metric === "meanPerClass" ? perClass : top1;
    }),
    notes,
  );
}

function accuracyFigure(from: Measured, shares: readonly number[], notes: readonly string[]): TableFigure {
  const { mean, std, count } = overSeeds(shares.map((share) => 100 * share));
  return {
    value: mean,
    std,
    text: formatMeanStd(mean, std, count, 2),
    ...(notes.length > 0 ? { note: [...new Set(notes)].join("; ") } : {}),
    from,
  };
}

/** Says so when not all of a data set's test images were seen. */
function partNote(record: ClassificationRecord): string[] {
  const benchmark = benchmarkOf(record);
  const expected = benchmark && BENCHMARKS[benchmark].testImages;
  const { images } = record.test;
  return expected === undefined || images === expected
    ? []
    : [`${formatCount(images)} of ${formatCount(expected)} test images`];
}

function classificationRow<R extends ClassificationRecord>(
  { group, key, on }: MeasuredRow<R>,
  figure: (from: Measured<R>, column: string) => TableFigure,
  columns?: readonly string[],
): TableRow {
  const shown = [...on].filter(([column]) => columns?.includes(column) ?? true);
  const most = Math.max(0, ...shown.map(([, { records }]) => records.length));
  const seeds = most > 1 ? `, ${most} seeds` : "";
  return {
    label: group.label,
    detail: `${key}${seeds}`,
    published: false,
    group,
    key,
    figures: Object.fromEntries(shown.map(([column, from]) => [column, figure(from, column)])),
  };
}

function publishedAccuracies(number: 4 | 6): TableRow[] {
  const row = (published: PublishedAccuracies): TableRow => ({
    label: published.encoder,
    detail: publishedDetail(published),
    published: true,
    key: "published",
    ...(published.base === undefined ? {} : { base: published.base }),
    figures: Object.fromEntries(
      Object.entries(published.accuracy).map(([name, text]) => [name, printed(text)]),
    ),
  });
  return PUBLISHED_ACCURACIES.filter(({ table }) => table === number).map(row);
}

/** What figures of a column mean: the mean over classes where any record says that its data set is measured so. */
function metricOf(rows: readonly MeasuredRow<ClassificationRecord>[], column: string): AccuracyMetric {
  const records = rows.flatMap(({ on }): readonly ClassificationRecord[] => on.get(column)?.records ?? []);
  return records.some(({ test }) => test.metric === "meanPerClass") ? "meanPerClass" : "top1";
}

/** Says so in the titles of the columns whose figures of ours are means over classes. */
function marked(
  columns: readonly (readonly [string, string])[],
  rows: readonly MeasuredRow<ClassificationRecord>[],
): Map<string, string> {
  return new Map(
    columns.map(([column, title]) => [
      column,
      metricOf(rows, column) === "meanPerClass" ? `${title}, mean per class` : title,
    ]),
  );
}

/** The paper's Table 4: its data sets, then whatever else was tested on. */
export function accuracies(rows: readonly MeasuredRow<LinearProbeRecord>[]): FigureTable {
  const figure = (from: Measured<LinearProbeRecord>, column: string) =>
    linearFigure(from, metricOf(rows, column));
  return {
    id: "table-4",
    title: paperTitle(4, "linear probing, accuracy in % (top-1 where nothing else is said)"),
    unit: "%",
    columns: marked([...benchmarkTitles(), ...otherData(rows)], rows),
    rows: [...rows.map((row) => classificationRow(row, figure)), ...publishedAccuracies(4)],
  };
}

/** The paper's Table 6. */
export function fewAccuracies(rows: readonly MeasuredRow<LinearProbeRecord>[]): FigureTable {
  const columns: readonly Benchmark[] = ["cifar-100", "inaturalist-2018", "imagenet-1k"];
  const own = rows.map((row) => classificationRow(row, (from) => linearFigure(from), columns));
  return {
    id: "table-6",
    title: paperTitle(6, "linear probing beside methods with few augmentations, top-1 accuracy in %"),
    unit: "%",
    columns: titles(columns, (name) => BENCHMARKS[name].title),
    rows: [...own.filter(({ figures }) => Object.keys(figures).length > 0), ...publishedAccuracies(6)],
  };
}

function benchmarkTitles(): [string, string][] {
  return Object.entries(BENCHMARKS).map(([name, { title }]) => [name, title]);
}

/** Data sets that are none of the paper's, told apart by their fingerprint where they have the same name. */
function otherData(rows: readonly MeasuredRow<ClassificationRecord>[]): [string, string][] {
  const tests = new Map<string, ClassificationRecord["test"]>();
  for (const { on } of rows) {
    for (const [column, { records }] of on) {
      if (!Object.hasOwn(BENCHMARKS, column)) tests.set(column, records[0].test);
    }
  }
  const names = [...tests.values()].map(({ name }) => name);
  const isShared = (name: string) => names.filter((other) => other === name).length > 1;
  return [...tests].map(([column, { name, fingerprint }]) => [
    column,
    isShared(name) ? `${name} (${fingerprint.slice(0, 8)})` : name,
  ]);
}

/** k-NN, of which the paper has no table. */
export function neighbours(rows: readonly MeasuredRow<KnnClassificationRecord>[]): FigureTable {
  const used = new Set(rows.flatMap(({ on }) => [...on.keys()]));
  const figure = (from: Measured<KnnClassificationRecord>, column: string) => {
    const chosen = from.records.map(usualAccuracy);
    const metric = metricOf(rows, column);
    const isOld = metric === "meanPerClass" && chosen.some(({ perClass }) => perClass === undefined);
    const others = chosen.filter(({ k }) => k !== NEIGHBOURS).map(({ k }) => `k = ${k}`);
    return accuracyFigure(
      from,
      chosen.map((each) => knnShare(each, metric)),
      [...others, ...(isOld ? ["top-1"] : []), ...from.records.flatMap(partNote)],
    );
  };
  return {
    id: "knn",
    title: `k-NN, k = ${NEIGHBOURS}, accuracy in % (top-1 where nothing else is said): nothing published`,
    unit: "%",
    columns: marked([...benchmarkTitles().filter(([name]) => used.has(name)), ...otherData(rows)], rows),
    rows: rows.map((row) => classificationRow(row, figure)),
  };
}

const ONLINE = "online";

/** Our rows of the k-NN probe at the end of pretraining, on images held out from those trained on: runs alone have it. */
export function onlineRows(
  groups: readonly ComparedGroup[],
  nextId: NextId,
): MeasuredRow<PretrainingKnnRecord>[] {
  return measuredRows(groups, pretrainingKnn, () => ({ row: ONLINE, column: ONLINE }), nextId);
}

export function onlineKnn(rows: readonly MeasuredRow<PretrainingKnnRecord>[]): FigureTable {
  return {
    id: "online-knn",
    title: "k-NN at the end of pretraining (the last in metrics.jsonl), top-1 accuracy in %",
    unit: "%",
    columns: new Map([[ONLINE, "End of pretraining"]]),
    rows: rows.map(({ group, key, on }): TableRow => {
      const from = on.get(ONLINE) as Measured<PretrainingKnnRecord>;
      const { length } = from.records;
      const shares = from.records.map(({ knn }) => knn.accuracy);
      return {
        label: group.label,
        detail: length > 1 ? `${length} seeds` : "1 run",
        published: false,
        group,
        key,
        figures: { [ONLINE]: accuracyFigure(from, shares, []) },
      };
    }),
  };
}
