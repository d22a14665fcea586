/** @file Tables of figures, ours and published ones, before they are drawn. */

import type { ComparedGroup } from "./comparison.js";
import type { Measured } from "./measured.js";
import { PAPER_TABLES } from "./published.js";

/** One figure of a table. */
export interface TableFigure {
  /** R², or percent. */
  readonly value: number;
  readonly std: number;
  readonly text: string;
  /** What keeps it from being what its column says. */
  readonly note?: string;
  /** What it was computed from; published figures have nothing of the kind. */
  readonly from?: Measured;
}

export interface TableRow {
  readonly label: string;
  readonly detail: string;
  readonly published: boolean;
  /** Of our rows. */
  readonly group?: ComparedGroup;
  /** Rows with the same key were measured in the same way. */
  readonly key: string;
  /** The published row that this one is the method on top of. */
  readonly base?: string;
  /** By column; a figure that there is none of is left out. */
  readonly figures: Readonly<Record<string, TableFigure>>;
}

export interface FigureTable {
  readonly id: string;
  readonly title: string;
  readonly unit: "R²" | "%";
  /** Titles by key, in order. */
  readonly columns: ReadonlyMap<string, string>;
  readonly rows: readonly TableRow[];
}

/** The title of one of the paper's tables, with its number in both versions. */
export function paperTitle(number: keyof typeof PAPER_TABLES, what: string): string {
  return `Table ${number} (${PAPER_TABLES[number]} in the AAAI-26 version): ${what}`;
}

/** Titles of columns. */
export function titles<K extends string>(keys: readonly K[], title: (key: K) => string): Map<string, string> {
  return new Map(keys.map((key) => [key, title(key)]));
}

/** A figure as the paper prints it. */
export function printed(text: string, std?: string): TableFigure {
  return {
    value: Number(text),
    std: Number(std ?? 0),
    text: std === undefined ? text : `${text} ± ${std}`,
  };
}
