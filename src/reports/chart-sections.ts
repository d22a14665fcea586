/** @file The drawn sections of the report: bars, scatter plots, training curves, health. */

import {
  type CurveOptions,
  curveChart,
  legend,
  r2Bars,
  type Series,
  scatterChart,
  scatterDomain,
} from "./charts.js";
import { type EvaluationRecord, type MetricsRow, SCORES } from "./events.js";
import { formatCompact, formatCount } from "./format.js";
import { type Html, html } from "./html.js";
import { type ReportContext, section } from "./report-context.js";
import { orderEvaluations, protocolsOf, protocolTitle, SCORE_TITLES } from "./tables.js";

export function barsSection({ evaluations, colors }: ReportContext): Html | null {
  const groups = protocolsOf(evaluations).map((protocol) => {
    const records = evaluations.filter((record) => record.protocol === protocol);
    const bars = SCORES.map((score) => r2Bars(records, score, colors)).filter(
      (chart): chart is Html => chart !== null,
    );
    return html`<h3>${protocolTitle(protocol)}</h3><div class="charts">${bars}</div>`;
  });
  return groups.length === 0 ? null : section("R² bars", html`${groups}`);
}

function scatterGrid(
  records: readonly EvaluationRecord[],
  colors: Map<string, string>,
  wanted: "first" | "rest",
): Html | null {
  const rows = SCORES.flatMap((task) => {
    const parameters = [
      ...new Set(
        records.flatMap(({ scatter }) =>
          (scatter ?? []).filter((series) => series.task === task).map(({ parameter }) => parameter),
        ),
      ),
    ];
    return (wanted === "first" ? parameters.slice(0, 1) : parameters.slice(1)).map((parameter) => {
      const shown = orderEvaluations(records).flatMap(({ encoder, scatter }) =>
        (scatter ?? [])
          .filter((series) => series.task === task && series.parameter === parameter)
          .map((series) => ({ encoder, series })),
      );
      const domain = scatterDomain(shown.map(({ series }) => series));
      const charts = shown.map(({ encoder, series }) =>
        scatterChart(encoder, series, colors.get(encoder) ?? "#1c1f24", domain),
      );
      return html`<h3>${SCORE_TITLES[task]}: ${parameter}</h3><div class="charts small">${charts}</div>`;
    });
  });
  return rows.length === 0 ? null : html`${rows}`;
}

export function scatterSection({ evaluations, colors }: ReportContext): Html | null {
  const parts = protocolsOf(evaluations).map((protocol, index) => {
    const records = evaluations.filter((record) => record.protocol === protocol);
    const first = scatterGrid(records, colors, "first");
    if (!first) return null;
    const rest = scatterGrid(records, colors, "rest");
    const more = rest ? html`<details><summary>Other parameters</summary>${rest}</details>` : "";
    // Only the first protocol is unfolded: the second repeats the same pictures.
    return index === 0
      ? html`<h3>${protocolTitle(protocol)}</h3>${first}${more}`
      : html`<details><summary>${protocolTitle(protocol)}</summary>${first}${more}</details>`;
  });
  return section(
    "Predicted against true parameters",
    ...(parts.some((part) => part !== null)
      ? [
          html`<p>Each dot is one test pair. On the dashed line the prediction is perfect; a flat cloud means the features do not tell.</p>`,
        ]
      : []),
    ...parts,
  );
}

/** The curve of one number over all runs. */
function curve(
  context: ReportContext,
  pick: (row: MetricsRow) => number | undefined,
  options: CurveOptions,
): Html | null {
  const series: Series[] = context.runs.map(({ run, label, color }) => ({
    label,
    color,
    points: run.metrics.flatMap((row) => {
      const y = pick(row);
      return y === undefined ? [] : [{ x: row.step, y }];
    }),
  }));
  return curveChart(series, options);
}

/** Log scale where the first steps would otherwise press the rest of the curve to the floor. */
function lossScale(context: ReportContext, part: string): "linear" | "log" {
  const values = context.runs
    .flatMap(({ run }) => run.metrics.map((row) => row.loss[part]))
    .filter((value): value is number => value !== undefined && Number.isFinite(value))
    .sort((a, b) => a - b);
  const median = values[Math.floor(values.length / 2)] ?? 0;
  return (values[0] ?? 0) > 0 && (values.at(-1) ?? 0) > 20 * median ? "log" : "linear";
}

function chartGrid(charts: (Html | null)[]): Html | null {
  const drawn = charts.filter((chart): chart is Html => chart !== null);
  return drawn.length === 0 ? null : html`<div class="charts">${drawn}</div>`;
}

function runLegend({ runs }: ReportContext): Html {
  return legend(runs.map(({ label, color }) => [label, color] as const));
}

export function curvesSection(context: ReportContext): Html | null {
  const parts = [
    ...new Set(context.runs.flatMap(({ run }) => run.metrics.flatMap((row) => Object.keys(row.loss)))),
  ];
  parts.sort((a, b) => Number(b === "total") - Number(a === "total"));
  const losses = parts.map((part) => {
    const scale = lossScale(context, part);
    const references = Object.assign(
      {},
      ...context.runs.map(
        ({ run }) => run.metrics.findLast((row) => row.baselines?.[part])?.baselines?.[part] ?? {},
      ),
    ) as Record<string, number>;
    return curve(context, (row) => row.loss[part], {
      title: part === "total" ? "Total loss" : `Loss part: ${part}`,
      y: scale === "log" ? "Loss (log scale)" : "Loss",
      smoothed: true,
      scale,
      references,
    });
  });
  const charts = chartGrid([
    ...losses,
    curve(context, (row) => row.learningRate, { title: "Learning rate", y: "Learning rate", include: 0 }),
    curve(context, (row) => row.knn?.accuracy, {
      title: knnTitle(context),
      y: "Accuracy",
      marked: true,
      percent: true,
      references: knnReference(context),
    }),
  ]);
  if (charts === null) return null;
  return section(
    "Training curves",
    html`<p>Faint: each logged step; strong: moving average.</p>`,
    runLegend(context),
    charts,
  );
}

function knnTitle({ runs }: ReportContext): string {
  const knn = runs.flatMap(({ run }) => run.metrics).find((row) => row.knn)?.knn;
  return knn ? `k-NN accuracy (k = ${knn.k}, ${knn.classes} classes)` : "k-NN accuracy";
}

function knnReference({ runs }: ReportContext): Record<string, number> {
  const classes = new Set(runs.flatMap(({ run }) => run.metrics.flatMap((row) => row.knn?.classes ?? [])));
  const [only] = classes;
  return classes.size === 1 && only ? { chance: 1 / only } : {};
}

export function healthSection(context: ReportContext): Html | null {
  const notes = context.runs.flatMap(({ run, label }) => {
    const rows = run.metrics.filter((row) => row.health);
    const [first, last] = [rows[0]?.health, rows.at(-1)?.health];
    const broken = run.metrics.filter((row) =>
      Object.values(row.loss).some((value) => !Number.isFinite(value)),
    );
    const warnings = rows.flatMap((row) =>
      (row.health?.warnings ?? []).map((text) => `Step ${formatCount(row.step)}: ${text}`),
    );
    const lines: Html[] = [];
    if (first && last) {
      const change =
        `feature std ${formatCompact(first.featureStd)} → ${formatCompact(last.featureStd)}, effective rank ` +
        `${formatCompact(first.effectiveRank)} → ${formatCompact(last.effectiveRank)}`;
      const verdict = warnings.length === 0 ? " The collapse watch named nothing." : "";
      lines.push(html`<li>${label}: ${change}.${verdict}</li>`);
    }
    if (broken.length > 0) {
      lines.push(
        html`<li class="warning">${label}: the loss was not finite in ${broken.length} logged steps, first at step ${formatCount(broken[0]?.step ?? 0)}.</li>`,
      );
    }
    for (const text of [...new Set(warnings)].slice(0, 10))
      lines.push(html`<li class="warning">${label}: ${text}</li>`);
    return lines;
  });
  const charts = chartGrid([
    curve(context, (row) => row.health?.featureStd, {
      title: "Feature standard deviation",
      y: "Standard deviation",
      include: 0,
    }),
    curve(context, (row) => row.health?.effectiveRank, {
      title: "Effective rank of the features",
      y: "Rank",
      include: 0,
    }),
    curve(context, (row) => row.health?.teacherEntropy, {
      title: "Teacher entropy",
      y: "Entropy (nats)",
      include: 0,
    }),
    curve(context, (row) => row.gradientNorm, {
      title: "Gradient norm before clipping",
      y: "L2 norm",
      smoothed: true,
      include: 0,
    }),
    curve(context, (row) => row.imagesPerSecond, {
      title: "Speed",
      y: "Images/s",
      smoothed: true,
      include: 0,
    }),
    curve(context, (row) => row.dataWaitFraction, {
      title: "Share of time waiting for data",
      y: "Share",
      smoothed: true,
      include: 0,
      percent: true,
    }),
  ]);
  return section(
    "Health and speed",
    notes.length > 0 ? html`<ul class="notes">${notes}</ul>` : null,
    charts ? runLegend(context) : null,
    charts,
  );
}
