/** @file The R² table, once as rows of text, then drawn for a terminal or as HTML. */

import Table from "cli-table3";
import pc from "picocolors";
import { type EvaluationRecord, isRandomEncoder, SCORES, type Score } from "./events.js";
import { formatMeanStd, formatPercent, MISSING } from "./format.js";
import { type Html, html } from "./html.js";
import { PUBLISHED_ROWS, PUBLISHED_SOURCE, publishedDetail } from "./published.js";

export const SCORE_TITLES: Record<Score, string> = {
  rotation: "Rotation",
  color: "Color",
  blur: "Blur",
  translation: "Translation",
  mean: "Mean",
};

/** One line of an R² table. */
export interface R2Row {
  label: string;
  /** Small print under the label: what was probed, or at which scale it was published. */
  detail: string;
  published: boolean;
  cells: Record<Score, string>;
  /** k-NN accuracy, or `MISSING`. */
  knn: string;
}

/** All rows of one protocol. */
export interface R2Table {
  protocol: EvaluationRecord["protocol"];
  title: string;
  rows: R2Row[];
}

export const PAPER_PROTOCOL = "paper-zero-fill";

/** Title of a protocol in tables and charts. */
export function protocolTitle(protocol: EvaluationRecord["protocol"]): string {
  if (protocol === PAPER_PROTOCOL) return "Paper's protocol (black corners)";
  return `Leak-free protocol (${protocol.slice("leak-free-".length).replaceAll("-", " ")})`;
}

/** Protocols in the order of a report: the paper's first. */
export function protocolsOf(evaluations: readonly EvaluationRecord[]): EvaluationRecord["protocol"][] {
  const protocols = [...new Set(evaluations.map((record) => record.protocol))];
  return protocols.sort((a, b) => Number(b === PAPER_PROTOCOL) - Number(a === PAPER_PROTOCOL));
}

/** The same evaluation can stand in several run folders (the random baseline does): the last one counts. */
export function distinctEvaluations(evaluations: readonly EvaluationRecord[]): EvaluationRecord[] {
  const records = new Map<string, EvaluationRecord>();
  for (const record of evaluations) {
    const { protocol, name, encoder, features, seed, data } = record;
    records.set(JSON.stringify([protocol, name, encoder, features, seed, data]), record);
  }
  return [...records.values()];
}

/** Evaluations in the order of every table: the random encoder first, the others as they came. */
export function orderEvaluations(evaluations: readonly EvaluationRecord[]): EvaluationRecord[] {
  return [...evaluations].sort(
    (a, b) => Number(isRandomEncoder(b.encoder)) - Number(isRandomEncoder(a.encoder)),
  );
}

function cellsOf(text: (score: Score) => string): Record<Score, string> {
  return {
    rotation: text("rotation"),
    color: text("color"),
    blur: text("blur"),
    translation: text("translation"),
    mean: text("mean"),
  };
}

function measuredRow(record: EvaluationRecord): R2Row {
  const { repeats, features, name, encoder, seed } = record;
  const probes = repeats === 1 ? "1 probe" : `${repeats} probes`;
  const named = name === encoder ? "" : `${name}, `;
  return {
    label: encoder,
    detail: `${named}${features} features, seed ${seed}, ${probes}`,
    published: false,
    cells: cellsOf((score) => formatMeanStd(record.r2[score].mean, record.r2[score].std, repeats)),
    knn: record.knn ? formatPercent(record.knn.accuracy) : MISSING,
  };
}

function publishedRows(): R2Row[] {
  return PUBLISHED_ROWS.filter(({ isHeadline }) => isHeadline).map((row) => ({
    label: row.encoder,
    detail: publishedDetail(row),
    published: true,
    // Table 3's mean is over two tasks: under the head of this table, it would be taken for one over four.
    cells: cellsOf((score) => {
      if (score === "mean") return row.table === 2 ? row.mean : MISSING;
      return row.r2[score] ?? MISSING;
    }),
    knn: MISSING,
  }));
}

/**
 * One table per protocol. The random encoder comes first; the paper's rows stand, marked as published, only in
 * the table of the paper's own protocol, for under another one they would compare different questions.
 */
export function r2Tables(evaluations: readonly EvaluationRecord[]): R2Table[] {
  const distinct = distinctEvaluations(evaluations);
  return protocolsOf(distinct).map((protocol) => {
    const measured = orderEvaluations(distinct.filter((record) => record.protocol === protocol)).map(
      measuredRow,
    );
    const rows = protocol === PAPER_PROTOCOL ? [...measured, ...publishedRows()] : measured;
    return { protocol, title: protocolTitle(protocol), rows };
  });
}

/** A table for the terminal: first column left, all others right. Pass `colors: false` for logs and pipes. */
export function terminalTable(head: string[], rows: string[][], options: { colors?: boolean } = {}): string {
  const colors = options.colors ?? (pc.isColorSupported && process.stdout.isTTY === true);
  const table = new Table({
    head: head.map((title) => pc.createColors(colors).bold(title)),
    colAligns: head.map((_, column) => (column === 0 ? "left" : "right")),
    style: { head: [], border: [], compact: true },
  });
  table.push(...rows);
  return table.toString();
}

/** The R² tables for the terminal, published rows dimmed and marked with an asterisk. */
export function terminalR2Tables(
  evaluations: readonly EvaluationRecord[],
  options: { colors?: boolean } = {},
): string {
  const color = pc.createColors(options.colors ?? (pc.isColorSupported && process.stdout.isTTY === true));
  return r2Tables(evaluations)
    .map(({ title, rows }) => {
      const withKnn = rows.some((row) => row.knn !== MISSING);
      const head = ["R²", ...SCORES.map((score) => SCORE_TITLES[score]), ...(withKnn ? ["k-NN"] : [])];
      const body = rows.map((row) => {
        const label = row.published ? `* ${row.label}` : row.label;
        const cells = [label, ...SCORES.map((score) => row.cells[score]), ...(withKnn ? [row.knn] : [])];
        return row.published ? cells.map((cell) => color.dim(cell)) : cells;
      });
      const note = rows.some((row) => row.published)
        ? `\n* published (${PUBLISHED_SOURCE.citation}): ImageNet at 224 px, 100 to 800 epochs; not comparable in scale`
        : "";
      return `${color.bold(title)}\n${terminalTable(head, body, options)}${note}`;
    })
    .join("\n\n");
}

/** One R² table as HTML, scrolling sideways by itself where the page is narrow. */
export function htmlR2Table({ title, rows }: R2Table): Html {
  const withKnn = rows.some((row) => row.knn !== MISSING);
  // On a narrow page a cell breaks before its deviation, never inside it.
  const cell = (text: string) => html`<td>${text.replace("± ", "±\u00a0")}</td>`;
  return html`<div class="scroll"><table class="r2"><caption>${title}</caption>
<thead><tr><th scope="col">Encoder</th>${SCORES.map((score) => html`<th scope="col">${SCORE_TITLES[score]}</th>`)}${
    withKnn ? html`<th scope="col">k-NN</th>` : ""
  }</tr></thead>
<tbody>${rows.map(
    (row) => html`
<tr class="${row.published ? "published" : "measured"}"><th scope="row">${row.label}<small>${row.detail}</small></th>${SCORES.map(
      (score) => cell(row.cells[score]),
    )}${withKnn ? cell(row.knn) : ""}</tr>`,
  )}
</tbody></table></div>`;
}

/** A two-column table of facts; entries without a value are left out. */
export function htmlFacts(facts: [name: string, value: string | undefined][]): Html {
  return html`<dl class="facts">${facts
    .filter(([, value]) => value !== undefined && value !== "")
    .map(([name, value]) => html`<div><dt>${name}</dt><dd>${value ?? ""}</dd></div>`)}</dl>`;
}
