/** @file The report: one self-contained HTML file (no script, no network) for one run or several compared. */

import { barsSection, curvesSection, healthSection, scatterSection } from "./chart-sections.js";
import { assignColors } from "./charts.js";
import type { EvaluationRecord } from "./events.js";
import { formatMoment } from "./format.js";
import { type Html, html } from "./html.js";
import { renderPage, writePage } from "./page.js";
import { type RunData, readRun } from "./read-run.js";
import type { ReportContext } from "./report-context.js";
import {
  claimsSection,
  configSection,
  headlineSection,
  pictureSections,
  runFacts,
} from "./report-sections.js";
import { runLabels } from "./statements.js";
import { distinctEvaluations, orderEvaluations } from "./tables.js";

export interface ReportInput {
  title?: string;
  runs: RunData[];
  /** Evaluations that belong to no run, such as the random encoder's. */
  evaluations?: EvaluationRecord[];
  /** Moment of writing, ISO 8601; default now. */
  generatedAt?: string;
}

/** The report as HTML text. */
export function renderReport(input: ReportInput): string {
  const evaluations = distinctEvaluations([
    ...(input.evaluations ?? []),
    ...input.runs.flatMap((run) => run.evaluations),
  ]);
  const labels = runLabels(input.runs);
  const colors = assignColors([...orderEvaluations(evaluations).map(({ encoder }) => encoder), ...labels]);
  const runs = input.runs.map((run, index) => {
    const label = labels[index] ?? run.info.name;
    return { run, label, color: colors.get(label) ?? "#1c1f24" };
  });
  const context: ReportContext = { runs, evaluations, colors };
  const title = input.title ?? (labels.length > 0 ? labels.join(" · ") : "Evaluation of encoders");
  return renderPage(
    title,
    html`<header><h1>${title}</h1>
<p class="lead">${runs.length > 1 ? `${runs.length} pretraining runs compared` : "Pretraining run"}, report written ${formatMoment(input.generatedAt ?? new Date().toISOString())}</p>
<div class="runs">${runs.map(({ run, label }) => html`<div><h3>${label}</h3>${runFacts(run, label)}</div>`)}</div>
</header>
${[
  headlineSection(context),
  claimsSection(context),
  barsSection(context),
  ...pictureSections(context),
  curvesSection(context),
  scatterSection(context),
  healthSection(context),
  configSection(context),
].filter((part): part is Html => part !== null)}`,
  );
}

/**
 * Writes the report of one run folder, of several compared, or of data already in memory, as a whole (`writePage`).
 *
 * @returns the absolute path of the report.
 * @throws Error when a folder is no run or holds a damaged file, or when the output cannot be written.
 */
export function writeReport(source: string | readonly string[] | ReportInput, outFile: string): string {
  const input: ReportInput =
    typeof source === "string"
      ? { runs: [readRun(source)] }
      : "runs" in source
        ? source
        : { runs: source.map((folder) => readRun(folder)) };
  return writePage(outFile, renderReport(input));
}
