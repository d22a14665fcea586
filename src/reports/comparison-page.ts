/** @file The page of a comparison: a table of all groups, bars against the baseline, scores over a setting. */

import { mkdirSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { writeFileAtomic } from "../files.js";
import { assignColors } from "./charts.js";
import { type ComparedGroup, type Comparison, type Summary, shortKey } from "./comparison.js";
import { differenceChart, differenceDomain, numericSetting, settingChart } from "./comparison-charts.js";
import { SCORES } from "./events.js";
import { formatMeanStd, formatMoment, MISSING } from "./format.js";
import { Html, html } from "./html.js";
import { REPORT_STYLE } from "./report-style.js";
import { protocolTitle, SCORE_TITLES, terminalTable } from "./tables.js";

export interface ComparisonPageOptions {
  /** Label of the group that differences are taken to; the first group when omitted. */
  readonly baseline?: string;
}

/** @throws RangeError naming the groups when none has that label. */
export function findGroup({ groups }: Comparison, label: string | undefined): ComparedGroup | undefined {
  if (label === undefined) return groups[0];
  const found = groups.find((group) => group.label === label || group.method === label);
  if (found) return found;
  throw new RangeError(
    `no group is named "${label}"; there are ${groups.map((group) => `"${group.label}"`).join(", ")}`,
  );
}

/** The comparison as HTML text. */
export function renderComparison(comparison: Comparison, { baseline }: ComparisonPageOptions = {}): string {
  const base = findGroup(comparison, baseline);
  const title = comparison.groups.map(({ label }) => label).join(" · ");
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="only light">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>${title}</title>
<style>${new Html(REPORT_STYLE)}</style>
</head>
<body><main>
<header><h1>Comparison of ${comparison.groups.length} settings</h1>
<p class="lead">${comparison.groups.reduce((sum, { runs }) => sum + runs.length, 0)} runs, written ${formatMoment(new Date().toISOString())}.
Figures are means ± standard deviations: over runs that differ by their seed where there are several, else over the probes on the one run, which says nothing of other seeds.</p>
</header>
${comparison.protocols.map((protocol) => protocolSection(comparison, protocol, base))}
<footer><p>Written by inbetween. This file is complete in itself: it loads nothing.</p></footer>
</main></body>
</html>
`.markup;
}

/** Writes the page as a whole; returns its absolute path. */
export function writeComparison(
  comparison: Comparison,
  file: string,
  options: ComparisonPageOptions = {},
): string {
  const path = resolve(file);
  const text = renderComparison(comparison, options);
  mkdirSync(dirname(path), { recursive: true });
  writeFileAtomic(path, text);
  return path;
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

function cellsOf(group: ComparedGroup, protocol: string): string[] {
  const scores = group.scores[protocol];
  return [...SCORES.map((score) => summaryText(scores?.[score])), summaryText(group.knn, 100, 1)];
}

const HEAD = [...SCORES.map((score) => SCORE_TITLES[score]), "k-NN %"];

function protocolSection(comparison: Comparison, protocol: string, base: ComparedGroup | undefined): Html {
  const { groups } = comparison;
  const colors = assignColors(groups.map(({ label }) => label));
  const others = groups.filter((group) => group !== base);
  const domain = base ? differenceDomain(others, base, protocol) : ([0, 0] as const);
  const bars = others.flatMap((group) => {
    const chart =
      base && differenceChart(group, base, protocol, colors.get(group.label) ?? "#1c1f24", domain);
    return chart ? [chart] : [];
  });
  return html`<section><h2>${protocolTitle(protocol as never)}</h2>
<div class="scroll"><table class="r2"><caption>R², and k-NN accuracy at the end of pretraining</caption>
<thead><tr><th scope="col">Setting</th>${HEAD.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
<tbody>${groups.map(
    (group) => html`
<tr class="measured"><th scope="row">${group.label}<small>${countText(group, protocol)}</small></th>${cellsOf(
      group,
      protocol,
    ).map((text) => html`<td>${text.replace("± ", "±\u00a0")}</td>`)}</tr>`,
  )}
</tbody></table></div>
${bars.length > 0 && base ? html`<h3>Difference to ${base.label}</h3><div class="charts">${bars}</div>` : ""}
${curves(groups, protocol, base)}
</section>`;
}

/** For each method with a numeric setting, every score over it. */
function curves(groups: readonly ComparedGroup[], protocol: string, base: ComparedGroup | undefined): Html[] {
  const methods = [...new Set(groups.map(({ method }) => method))];
  return methods.flatMap((method) => {
    const own = groups.filter((group) => group.method === method);
    const key = numericSetting(own);
    if (key === undefined) return [];
    const references = base && base.method !== method ? [base] : [];
    const charts = SCORES.map((score) => settingChart(own, key, score, protocol, references)).filter(
      (chart) => chart !== null,
    );
    return [html`<h3>${method} over ${shortKey(key)}</h3><div class="charts">${charts}</div>`];
  });
}

/** The tables for the terminal, one per protocol. */
export function terminalComparison({ groups, protocols }: Comparison): string {
  return protocols
    .map((protocol) => {
      const rows = groups.map((group) => [
        group.label,
        countText(group, protocol),
        ...cellsOf(group, protocol),
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
        line([group.label, countText(group, protocol), ...cellsOf(group, protocol)]),
      );
      return [`${protocolTitle(protocol)}:`, "", line(head), line(head.map(() => "---")), ...rows].join("\n");
    })
    .join("\n\n");
}
