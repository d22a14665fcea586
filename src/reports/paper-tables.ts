/** @file All tables of a comparison, and the records behind their figures. */

import {
  accuracies,
  fewAccuracies,
  knnRows,
  linearRows,
  neighbours,
  onlineKnn,
  onlineRows,
} from "./accuracy-figures.js";
import type { Comparison } from "./comparison.js";
import type { FigureTable } from "./figure-table.js";
import type { Measured, MeasuredRow } from "./measured.js";
import { fourTasks, ownR2, r2Rows, twoTasks } from "./r2-figures.js";
import { PAPER_PROTOCOL } from "./tables.js";

/** Everything that the page of a comparison shows in tables, and the records behind it in the order of their ids. */
export interface PaperTables {
  readonly tables: readonly FigureTable[];
  readonly measured: readonly Measured[];
}

/** The tables of a comparison; each of the paper's is there even when we have no figure for it. */
export function paperTables({ groups, random, protocols }: Comparison): PaperTables {
  let count = 0;
  const nextId = () => `record-${++count}`;
  const all = [...random, ...groups];
  const published = r2Rows(all, PAPER_PROTOCOL, nextId);
  const others = protocols
    .filter((protocol) => protocol !== PAPER_PROTOCOL)
    .map((protocol) => ({ protocol, rows: r2Rows(all, protocol, nextId) }));
  const [linear, knn, online] = [linearRows(all, nextId), knnRows(all, nextId), onlineRows(groups, nextId)];
  const tables = [
    fourTasks(published),
    twoTasks(published),
    ...others.map(({ protocol, rows }) => ownR2(rows, protocol)),
    accuracies(linear),
    fewAccuracies(linear),
    neighbours(knn),
    onlineKnn(online),
  ];
  const rows: readonly MeasuredRow[] = [
    ...published,
    ...others.flatMap((each) => each.rows),
    ...linear,
    ...knn,
    ...online,
  ];
  return {
    tables: tables.filter((table) => table.rows.length > 0),
    measured: rows.flatMap((row) => [...row.on.values()]),
  };
}
