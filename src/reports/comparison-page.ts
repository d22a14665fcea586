/**
 * @file The page of a comparison: the paper's tables with our rows beside the published ones, differences to a baseline,
 * methods side by side, scores over a setting, and the record of every figure.
 */

import { resolve } from "node:path";
import { assignColors, INK } from "./charts.js";
import { type ComparedGroup, type Comparison, type Summary, shortKey } from "./comparison.js";
import {
  differenceChart,
  differenceDomain,
  differencesBetween,
  methodsChart,
  methodsLegend,
  numericSetting,
  settingChart,
} from "./comparison-charts.js";
import { SCORES } from "./events.js";
import type { FigureTable, TableFigure, TableRow } from "./figure-table.js";
import { formatCount, formatMeanStd, formatMoment, MISSING } from "./format.js";
import { type Html, html } from "./html.js";
import { renderPage, writePage } from "./page.js";
import { paperTables } from "./paper-tables.js";
import { PUBLISHED_SOURCE } from "./published.js";
import { recordSection } from "./record-section.js";
import { section } from "./report-context.js";
import { scaleStatements } from "./statements.js";
import { protocolTitle, SCORE_TITLES, terminalTable } from "./tables.js";

export interface ComparisonPageOptions {
  /**
   * The group that all differences are taken to, as `findGroup` finds it. When omitted, each `Ours(X, …)` is compared with
   * its own X, or everything with the first group where no such pair is given.
   */
  readonly baseline?: string;
}

/**
 * A group by its label, its method, or the folder or name of its only run or encoder; "random" too.
 * @throws RangeError naming the groups when there is none.
 */
export function findGroup(
  { groups, random }: Comparison,
  wanted: string | undefined,
): ComparedGroup | undefined {
  if (wanted === undefined) return groups[0];
  const all = [...groups, ...random];
  const isIt = ({ label, method, runs }: ComparedGroup) => {
    const [only] = runs;
    const named = runs.length === 1 && only !== undefined && only.folder !== "random" ? only : undefined;
    const folder = named && resolve(named.folder) === resolve(wanted);
    return label === wanted || method === wanted || folder || named?.info.name === wanted;
  };
  const found = all.find(({ label }) => label === wanted) ?? all.find(isIt);
  if (found) return found;
  throw new RangeError(
    `no group is named "${wanted}"; there are ${all.map((group) => `"${group.label}"`).join(", ")}`,
  );
}

/** What a group is compared with. */
interface Baseline {
  readonly name: string;
  is(group: ComparedGroup): boolean;
}

type BaselineOf = (group: ComparedGroup) => Baseline | undefined;

/** @throws RangeError as `findGroup` does. */
function baselines(comparison: Comparison, wanted: string | undefined): BaselineOf {
  const base = findGroup(comparison, wanted);
  const toOne: BaselineOf = (group) =>
    base && group !== base ? { name: base.label, is: (other) => other === base } : undefined;
  if (wanted !== undefined) return toOne;
  const toOwn: BaselineOf = ({ method }) => {
    const name = /^Ours\(([^,)]+)/.exec(method)?.[1];
    if (name === undefined) return undefined;
    // An imported encoder is called by its file too: "iBOT (checkpoint.pth)".
    const is = (other: ComparedGroup) => other.method === name || other.method.startsWith(`${name} (`);
    return comparison.groups.some(is) ? { name, is } : undefined;
  };
  return comparison.groups.some((group) => toOwn(group) !== undefined) ? toOwn : toOne;
}

/** The comparison as HTML text. */
export function renderComparison(comparison: Comparison, { baseline }: ComparisonPageOptions = {}): string {
  const { groups, protocols } = comparison;
  const baselineOf = baselines(comparison, baseline);
  const { tables, measured } = paperTables(comparison);
  const colors = assignColors(groups.map(({ label }) => label));
  const draw = (ids: (id: string) => boolean) =>
    tables.filter(({ id }) => ids(id)).map((table) => tableWithDifferences(table, baselineOf, colors));
  const runs = groups.flatMap((group) => group.runs);
  const encoders = runs.filter(({ isEncoder }) => isEncoder);
  const counted = [counts(runs.length - encoders.length, "run"), counts(encoders.length, "encoder")].filter(
    (text) => text !== "",
  );
  const settings = protocols.flatMap((protocol) => {
    const drawn = curves(groups, protocol, baselineOf);
    return drawn.length === 0 ? [] : [html`<h3>${protocolTitle(protocol)}</h3>${drawn}`];
  });
  const title = groups.map(({ label }) => label).join(" · ");
  return renderPage(
    title,
    [
      html`<header><h1>Comparison of ${counts(groups.length, "setting")}</h1>
<p class="lead">${counted.join(" and ")}, written ${formatMoment(new Date().toISOString())}. Each figure of ours leads to its record.
“±” is over runs that differ by their seed where there are several, else over the probes on the one run or encoder, which says nothing of other seeds.</p>
<h2>Difference in scale</h2>${scaleOf(comparison).map((text) => html`<p>${text}</p>`)}
<p>Published rows are set in grey italics and say “published”: <a href="${PUBLISHED_SOURCE.url}">arXiv 2503.18753</a> and its AAAI-26 version,
digits as printed there. An empty cell is a figure that was not published, or not measured.</p></header>`,
      section(
        "What the features know of a transformation",
        html`<p>How well a small network predicts the parameters of a transformation from the frozen features of an image and its
transformed twin. R² = 1 is perfect, 0 is no better than always guessing the mean. Rotating with black fill leaves black corners that give the
angle away even to a random encoder: read the paper's protocol beside the leak-free one.</p>`,
        html`${draw((id) => id === "table-2" || id === "table-3")}`,
        figureFive(tables),
        html`${draw((id) => id.startsWith("leak-free-"))}`,
      ),
      section(
        "Linear probing",
        html`<p>Accuracy of a linear classifier on frozen features: top-1, or the mean over classes in columns of ours that say so. Ours is of the setting that was best on held-out training images,
which no test image has a say in; the record has the one that is best on the test images beside it. How the published settings were chosen is not said.</p>`,
        html`${draw((id) => id === "table-4" || id === "table-6")}`,
      ),
      section("k-NN", ...draw((id) => id === "knn" || id === "online-knn")),
      section("Scores over a setting", ...settings),
      recordSection(measured),
    ].filter((part): part is Html => part !== null),
  );
}

/** Writes the page as a whole; returns its absolute path. */
export function writeComparison(
  comparison: Comparison,
  file: string,
  options: ComparisonPageOptions = {},
): string {
  return writePage(file, renderComparison(comparison, options));
}

/** "1 run", "2 runs"; nothing of nothing. */
function counts(count: number, what: string): string {
  if (count === 0) return "";
  return `${formatCount(count)} ${what}${count === 1 ? "" : "s"}`;
}

function scaleOf({ groups }: Comparison): string[] {
  const runs = groups.flatMap((group) => group.runs);
  const encoders = runs.filter(({ isEncoder }) => isEncoder);
  const named = encoders.map(({ folder, info }) => {
    const steps = info.steps === undefined ? "" : `, ${counts(info.steps, "step")}`;
    return `${info.method ?? info.name} (${folder}${steps})`;
  });
  const [paper = "", ...own] = scaleStatements(runs.filter(({ isEncoder }) => !isEncoder));
  return [
    paper,
    "The published iBOT and DINOv2 rows are ViT-L/16 (303 million parameters) trained on ImageNet-1k for 250 and 100 epochs on 64 A100 GPUs.",
    ...(named.length > 0
      ? [`Of how these encoders were trained their folders tell no more than this: ${named.join("; ")}.`]
      : []),
    ...own,
  ];
}

/** What fills a table that has no row of ours. */
const COMMANDS: Readonly<Record<string, string>> = {
  "table-2": "inbetween evaluate transformations",
  "table-3": "inbetween evaluate transformations",
  "table-4": "inbetween evaluate linear",
  "table-6": "inbetween evaluate linear",
};

function tableWithDifferences(
  table: FigureTable,
  baselineOf: BaselineOf,
  colors: ReadonlyMap<string, string>,
): Html {
  const command = COMMANDS[table.id];
  const isEmpty = table.rows.every(({ published }) => published);
  return html`${htmlTable(table)}${
    isEmpty && command !== undefined
      ? html`<p>Nothing of ours belongs into this table yet: <code>${command}</code> measures it${table.unit === "%" ? " on the data sets of its columns" : ""}.</p>`
      : ""
  }${differences(table, baselineOf, colors)}`;
}

function htmlTable({ id, title, columns, rows }: FigureTable): Html {
  const keys = [...columns.keys()];
  return html`<div class="scroll" id="${id}"><table class="r2"><caption>${title}</caption>
<thead><tr><th scope="col">Method</th>${[...columns.values()].map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
<tbody>${rows.map(
    ({ label, detail, published, figures }) => html`
<tr class="${published ? "published" : "measured"}"><th scope="row">${label}<small>${detail}</small></th>${keys.map(
      (key) => html`<td>${figureHtml(figures[key])}</td>`,
    )}</tr>`,
  )}
</tbody></table></div>`;
}

function figureHtml(figure: TableFigure | undefined): Html | string {
  if (!figure) return "";
  // On a narrow page a cell breaks before its deviation, never inside it.
  const text = figure.text.replace("± ", "±\u00a0");
  const shown = figure.from ? html`<a href="#${figure.from.id}">${text}</a>` : text;
  return figure.note === undefined ? html`${shown}` : html`${shown}<small>${figure.note}</small>`;
}

/**
 * Our rows less those of their baseline that were measured in the same way, and published rows less those that they build
 * upon, one part for each baseline.
 */
function differences(
  table: FigureTable,
  baselineOf: BaselineOf,
  colors: ReadonlyMap<string, string>,
): Html[] {
  // Table 3's rows of ours are those of Table 2, and Table 6's those of Table 4.
  const isRepeated = table.id === "table-3" || table.id === "table-6";
  const pairOf = (row: TableRow): { name: string; other: TableRow | undefined } | undefined => {
    if (row.published) {
      const other = table.rows.find(({ published, label }) => published && label === row.base);
      return { name: row.base ?? "", other };
    }
    const baseline = row.group && baselineOf(row.group);
    if (isRepeated || !baseline || row.group?.method === "random") return undefined;
    const isOther = ({ group, key }: TableRow) => group && baseline.is(group) && key === row.key;
    return { name: baseline.name, other: table.rows.find(isOther) };
  };
  const bars = table.rows.flatMap((row) => {
    const { name = "", other } = pairOf(row) ?? {};
    const rows = other ? differencesBetween(table, row, other) : [];
    return other && rows.length > 0 ? [{ name, row, other, rows }] : [];
  });
  const domain = differenceDomain(bars.flatMap(({ rows }) => rows));
  return [...new Set(bars.map(({ name }) => name))].map((wanted) => {
    const own = bars.filter(({ name }) => name === wanted);
    const charts = own.map(({ row, other, rows }) =>
      differenceChart(rows, {
        title: row.published ? `Published: ${row.label}` : titleOf(row, table),
        label: `${table.unit === "%" ? "points" : "R²"} less ${other.label}`,
        color: colors.get(row.label) ?? INK,
        published: row.published,
        domain,
      }),
    );
    const source = own.every(({ row }) => row.published) ? ", published" : "";
    return html`<h3>Difference to ${wanted}${source}</h3><div class="charts">${charts}</div>`;
  });
}

/** Where a group has several rows, how this one was measured. */
function titleOf({ label, group, key }: TableRow, { rows }: FigureTable): string {
  return rows.filter((row) => row.group === group).length > 1 ? `${label}, ${key}` : label;
}

/** Rotation and colour of all methods. */
function figureFive(tables: readonly FigureTable[]): Html | null {
  const rows = ["table-3", "table-2"].flatMap((id) => tables.find((table) => table.id === id)?.rows ?? []);
  const own = rows.filter(({ published }) => !published);
  const shown = [...new Map(own.map((row) => [row.label + row.key, row])).values()];
  return html`<h3>Rotation and colour across methods</h3>
<p>As in the paper's Figure 5. Filled: ours. Hollow and marked *: published, at the paper's scale. The paper's points of DINO, MoCo, MAE and I-JEPA
stand in its figure alone, without numbers, and are not here.</p>
${methodsLegend()}<div class="wide">${methodsChart([...shown, ...rows.filter(({ published }) => published)])}</div>`;
}

function summaryText(summary: Summary | undefined, scale = 1, digits = 3): string {
  if (!summary || Number.isNaN(summary.mean)) return MISSING;
  return formatMeanStd(summary.mean * scale, summary.std * scale, summary.count, digits);
}

function countText({ runs, scores }: ComparedGroup, protocol: string): string {
  const summary = scores[protocol]?.mean;
  if (!summary) return "not evaluated";
  if (summary.over === "probes")
    return summary.count === 1 ? "1 run, 1 probe" : `1 run, ${summary.count} probes`;
  return `${runs.length} runs`;
}

/** @param classified Whether all groups were given to `evaluate knn`, whose figure then stands for that of pretraining. */
function cellsOf(group: ComparedGroup, protocol: string, classified: boolean): string[] {
  const scores = group.scores[protocol];
  const knn = classified ? group.classified : group.knn;
  return [...SCORES.map((score) => summaryText(scores?.[score])), summaryText(knn, 100, 1)];
}

const isClassified = (groups: readonly ComparedGroup[]): boolean =>
  groups.every(({ classified }) => classified !== undefined);

const HEAD = [...SCORES.map((score) => SCORE_TITLES[score]), "k-NN %"];

/** For each method with a numeric setting, every score over it. */
function curves(groups: readonly ComparedGroup[], protocol: string, baselineOf: BaselineOf): Html[] {
  const runs = groups.filter((group) => !group.runs.some(({ isEncoder }) => isEncoder));
  const methods = [...new Set(runs.map(({ method }) => method))];
  return methods.flatMap((method) => {
    const own = runs.filter((group) => group.method === method);
    const key = numericSetting(own);
    if (key === undefined) return [];
    const base = groups.find((group) => own[0] && baselineOf(own[0])?.is(group));
    const references = base && base.method !== method ? [base] : [];
    const charts = SCORES.map((score) => settingChart(own, key, score, protocol, references)).filter(
      (chart) => chart !== null,
    );
    return [html`<h3>${method} over ${shortKey(key)}</h3><div class="charts">${charts}</div>`];
  });
}

/** The R² tables for the terminal, one per protocol. */
export function terminalComparison({ groups, protocols }: Comparison): string {
  if (protocols.length === 0) {
    return `${groups.map(({ label }) => label).join("\n")}\n\nno R²: \`inbetween evaluate transformations\` measures it`;
  }
  return protocols
    .map((protocol) => {
      const rows = groups.map((group) => [
        group.label,
        countText(group, protocol),
        ...cellsOf(group, protocol, isClassified(groups)),
      ]);
      return `${protocolTitle(protocol)}\n${terminalTable(["R²", "Over", ...HEAD], rows)}`;
    })
    .join("\n\n");
}

/** The comparison as Markdown tables, for notes beside a result. */
export function markdownComparison({ groups, protocols }: Comparison): string {
  return protocols
    .map((protocol) => {
      const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
      const head = ["setting", "over", ...HEAD.map((name) => name.toLowerCase())];
      const rows = groups.map((group) =>
        line([group.label, countText(group, protocol), ...cellsOf(group, protocol, isClassified(groups))]),
      );
      return [`${protocolTitle(protocol)}:`, "", line(head), line(head.map(() => "---")), ...rows].join("\n");
    })
    .join("\n\n");
}
