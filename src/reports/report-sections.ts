/** @file The sections of the report, each a function from plain data to HTML, or `null` when it has nothing to show. */

import { type CurveOptions, curveChart, legend, r2Bars, type Series, scatterChart } from "./charts.js";
import type { EvaluationRecord, MetricsRow } from "./events.js";
import { SCORES } from "./events.js";
import { formatCompact, formatCount, formatDuration, formatLargeCount, formatPercent, MISSING } from "./format.js";
import { type Html, html } from "./html.js";
import { PUBLISHED_SOURCE } from "./published.js";
import type { Picture, RunData } from "./read-run.js";
import { presentations, scaleStatements, statementsOf } from "./statements.js";
import { htmlFacts, htmlR2Table, orderEvaluations, protocolsOf, protocolTitle, r2Tables, SCORE_TITLES } from "./tables.js";

/** What every section gets: the runs with their distinct labels, all evaluations, one colour per label. */
export interface ReportContext {
  runs: { run: RunData; label: string; color: string }[];
  evaluations: EvaluationRecord[];
  colors: Map<string, string>;
}

function section(title: string, ...content: (Html | null)[]): Html | null {
  const shown = content.filter((part): part is Html => part !== null);
  return shown.length === 0 ? null : html`<section><h2>${title}</h2>${shown}</section>`;
}

function paragraphs(texts: readonly string[]): Html {
  return html`${texts.map((text) => html`<p>${text}</p>`)}`;
}

function given<T>(value: T | undefined, format: (value: T) => string): string | undefined {
  return value === undefined ? undefined : format(value);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** What ran: command, data, model, scale, speed, machine. */
export function runFacts(run: RunData): Html {
  const { info, metrics } = run;
  const last = metrics.at(-1);
  const seen = presentations(run);
  const hardware = info.hardware;
  const machine = [
    hardware?.cpu,
    given(hardware?.cores, (cores) => `${cores} ${cores === 1 ? "core" : "cores"}`),
    given(hardware?.memoryGB, (memory) => `${memory} GB`),
    hardware?.os,
  ].filter(Boolean);
  const steps = last?.step ?? info.steps;
  const planned = info.steps !== undefined && steps !== undefined && steps < info.steps ? ` of ${formatCount(info.steps)}` : "";
  return htmlFacts([
    ["Method", info.method],
    ["Model", given(info.model, ({ name, parameters }) => `${name}${given(parameters, (count) => `, ${formatCount(count)} parameters`) ?? ""}`)],
    ["Data", given(info.data, (data) => `${data}${given(info.images, (count) => `, ${formatCount(count)} images`) ?? ""}`)],
    ["Input", given(info.imageSize, (size) => `${size} × ${size} px`)],
    [
      "Training",
      given(steps, (count) =>
        [
          `${formatCount(count)}${planned} steps`,
          given(info.batchSize, (batch) => `batch ${formatCount(batch)}`),
          seen === null ? undefined : `${formatLargeCount(seen)} images seen`,
          given(last?.epoch, (epoch) => `${formatCompact(epoch)} epochs`),
        ]
          .filter(Boolean)
          .join(", "),
      ),
    ],
    ["Time", given(info.seconds ?? last?.seconds, formatDuration)],
    [
      "Speed",
      metrics.length === 0
        ? undefined
        : `${formatCompact(mean(metrics.map((row) => row.imagesPerSecond)))} images/s, ` +
          `${formatPercent(mean(metrics.map((row) => row.dataWaitFraction)))} of the time waiting for data`,
    ],
    ["Peak memory", given(last?.peakMemoryMB, (memory) => `${formatCount(memory)} MB`)],
    ["Seed", given(info.seed, String)],
    ["Machine", machine.join(", ")],
    ["Device", hardware?.device],
    ["Software", given(info.software, (software) => Object.entries(software).map(([name, version]) => `${name} ${version}`).join(", "))],
    ["Started", info.startedAt],
    ["Command", info.command],
  ]);
}

export function headlineSection({ runs, evaluations }: ReportContext): Html | null {
  if (evaluations.length === 0) return null;
  const tables = r2Tables(evaluations);
  const conditions = [
    ...new Set(
      evaluations.map(
        ({ data, split }) =>
          `Probe on ${data}: ${formatCount(split.train)} pairs to fit, ${formatCount(split.validation)} to stop early, ` +
          `${formatCount(split.test)} to report.`,
      ),
    ),
  ];
  const intro =
    "How well a small network predicts the parameters of a transformation from the frozen features of an image and its " +
    "transformed twin. R² = 1 is perfect, 0 is no better than always guessing the mean, below 0 is worse than that. " +
    "“±” is one standard deviation over probes trained on the same checkpoint.";
  return section(
    "What the features know: R² of predicted transformation parameters",
    paragraphs([intro, ...conditions]),
    html`${tables.map(htmlR2Table)}`,
    html`<p>Published rows: <a href="${PUBLISHED_SOURCE.url}">${PUBLISHED_SOURCE.citation}</a>, a selection; ${MISSING} marks what is not
available.</p>`,
    html`<h3>Difference in scale</h3>`,
    paragraphs(scaleStatements(runs.map(({ run }) => run))),
  );
}

export function claimsSection({ runs, evaluations }: ReportContext): Html | null {
  const { can, cannot } = statementsOf(runs.map(({ run }) => run), evaluations);
  const items = (title: string, texts: string[]) =>
    texts.length === 0 ? "" : html`<div><h3>${title}</h3><ul>${texts.map((text) => html`<li>${text}</li>`)}</ul></div>`;
  const several = runs.length > 1;
  return section(
    several ? "What these runs can and cannot show" : "What this run can and cannot show",
    html`<div class="claims">${items("Shown", can)}${items("Not shown", cannot)}</div>`,
  );
}

export function barsSection({ evaluations, colors }: ReportContext): Html | null {
  const groups = protocolsOf(evaluations).map((protocol) => {
    const records = evaluations.filter((record) => record.protocol === protocol);
    const bars = SCORES.map((score) => r2Bars(records, score, colors)).filter((chart): chart is Html => chart !== null);
    return html`<h3>${protocolTitle(protocol)}</h3><div class="charts">${bars}</div>`;
  });
  return groups.length === 0 ? null : section("R² bars", html`${groups}`);
}

function scatterGrid(records: readonly EvaluationRecord[], colors: Map<string, string>, wanted: "first" | "rest"): Html | null {
  const rows = SCORES.flatMap((task) => {
    const parameters = [
      ...new Set(records.flatMap(({ scatter }) => (scatter ?? []).filter((series) => series.task === task).map(({ parameter }) => parameter))),
    ];
    return (wanted === "first" ? parameters.slice(0, 1) : parameters.slice(1)).map((parameter) => {
      const charts = orderEvaluations(records).flatMap((record) =>
        (record.scatter ?? [])
          .filter((series) => series.task === task && series.parameter === parameter)
          .map((series) => scatterChart(record.encoder, series, colors.get(record.encoder) ?? "#1c1f24")),
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
      ? [html`<p>Each dot is one test pair. On the dashed line the prediction is perfect; a flat cloud means the features do not tell.</p>`]
      : []),
    ...parts,
  );
}

/** The curve of one number over all runs. */
function curve(context: ReportContext, pick: (row: MetricsRow) => number | undefined, options: CurveOptions): Html | null {
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
  const parts = [...new Set(context.runs.flatMap(({ run }) => run.metrics.flatMap((row) => Object.keys(row.loss))))];
  parts.sort((a, b) => Number(b === "total") - Number(a === "total"));
  const losses = parts.map((part) => {
    const scale = lossScale(context, part);
    const references = Object.assign(
      {},
      ...context.runs.map(({ run }) => run.metrics.findLast((row) => row.baselines?.[part])?.baselines?.[part] ?? {}),
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

const KIND_TITLES: Record<string, { title: string; text: string }> = {
  inbetween: {
    title: "In-between images: targets beside reconstructions",
    text: "The decoders see the features of both views only, and draw the images on the way from one to the other.",
  },
  patchPca: {
    title: "Patch features",
    text: "The first three principal components of the patch features, shown as red, green and blue: alike colours mean alike features.",
  },
};

function pictureFigure(picture: Picture, label: string): Html {
  const caption = `${label}, step ${formatCount(picture.step)}`;
  if (picture.bytes === null) return html`<figure><figcaption>${caption}</figcaption><p>The picture ${picture.png} is missing.</p></figure>`;
  const columns = picture.columns ? html`<div class="columns">${picture.columns.map((name) => html`<span>${name}</span>`)}</div>` : "";
  const source = `data:image/png;base64,${Buffer.from(picture.bytes).toString("base64")}`;
  return html`<figure><figcaption>${caption}</figcaption><div class="frame">${columns}<img alt="${picture.title}, ${caption}" src="${source}"></div></figure>`;
}

/** One section for each kind of picture, the known kinds first. */
export function pictureSections({ runs }: ReportContext): Html[] {
  const present = runs.flatMap(({ run }) => run.pictures.map((picture) => picture.kind));
  const kinds = [...new Set([...Object.keys(KIND_TITLES).filter((kind) => present.includes(kind)), ...present])];
  return kinds.flatMap((kind) => {
    const known = KIND_TITLES[kind];
    const groups = runs.flatMap(({ run, label }) => {
      const pictures = run.pictures.filter((picture) => picture.kind === kind);
      const titles = [...new Set(pictures.map(({ title }) => title))];
      return titles.map((title) => {
        const figures = pictures.filter((picture) => picture.title === title).sort((a, b) => a.step - b.step);
        return html`<h3>${title}</h3><div class="pictures">${figures.map((picture) => pictureFigure(picture, label))}</div>`;
      });
    });
    const made = section(known?.title ?? kind, known ? html`<p>${known.text}</p>` : null, html`${groups}`);
    return made ? [made] : [];
  });
}

export function healthSection(context: ReportContext): Html | null {
  const notes = context.runs.flatMap(({ run, label }) => {
    const rows = run.metrics.filter((row) => row.health);
    const [first, last] = [rows[0]?.health, rows.at(-1)?.health];
    const broken = run.metrics.filter((row) => Object.values(row.loss).some((value) => !Number.isFinite(value)));
    const warnings = rows.flatMap((row) => (row.health?.warnings ?? []).map((text) => `Step ${formatCount(row.step)}: ${text}`));
    const lines: Html[] = [];
    if (first && last) {
      const change = `feature std ${formatCompact(first.featureStd)} → ${formatCompact(last.featureStd)}, effective rank ` +
        `${formatCompact(first.effectiveRank)} → ${formatCompact(last.effectiveRank)}`;
      const verdict = warnings.length === 0 ? " The collapse watch named nothing." : "";
      lines.push(html`<li>${label}: ${change}.${verdict}</li>`);
    }
    if (broken.length > 0) {
      lines.push(html`<li class="warning">${label}: the loss was not finite in ${broken.length} logged steps, first at step ${formatCount(broken[0]?.step ?? 0)}.</li>`);
    }
    for (const text of [...new Set(warnings)].slice(0, 10)) lines.push(html`<li class="warning">${label}: ${text}</li>`);
    return lines;
  });
  const charts = chartGrid([
    curve(context, (row) => row.health?.featureStd, { title: "Feature standard deviation", y: "Standard deviation", include: 0 }),
    curve(context, (row) => row.health?.effectiveRank, { title: "Effective rank of the features", y: "Rank", include: 0 }),
    curve(context, (row) => row.health?.teacherEntropy, { title: "Teacher entropy", y: "Entropy (nats)", include: 0 }),
    curve(context, (row) => row.gradientNorm, { title: "Gradient norm before clipping", y: "L2 norm", smoothed: true, include: 0 }),
    curve(context, (row) => row.imagesPerSecond, { title: "Speed", y: "Images/s", smoothed: true, include: 0 }),
    curve(context, (row) => row.dataWaitFraction, { title: "Share of time waiting for data", y: "Share", smoothed: true, include: 0, percent: true }),
  ]);
  return section("Health and speed", notes.length > 0 ? html`<ul class="notes">${notes}</ul>` : null, charts ? runLegend(context) : null, charts);
}

export function configSection({ runs }: ReportContext): Html | null {
  const blocks = runs
    .filter(({ run }) => run.config !== null && run.config !== undefined)
    .map(({ run, label }) => html`<details><summary>${label}</summary><pre>${JSON.stringify(run.config, null, 2)}</pre></details>`);
  return blocks.length === 0 ? null : section("Full configuration", html`${blocks}`);
}

