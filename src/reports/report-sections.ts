/** @file The sections of the report made of text, tables and pictures. */

import {
  formatCompact,
  formatCount,
  formatDuration,
  formatLargeCount,
  formatMoment,
  formatPercent,
  MISSING,
} from "./format.js";
import { type Html, html } from "./html.js";
import { PUBLISHED_SOURCE } from "./published.js";
import type { Picture, RunData } from "./read-run.js";
import { type ReportContext, section } from "./report-context.js";
import { presentations, scaleStatements, statementsOf } from "./statements.js";
import { htmlFacts, htmlR2Table, r2Tables } from "./tables.js";

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
export function runFacts(run: RunData, heading: string): Html {
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
  const planned =
    info.steps !== undefined && steps !== undefined && steps < info.steps
      ? ` of ${formatCount(info.steps)}`
      : "";
  return htmlFacts([
    ["Method", info.method === heading ? undefined : info.method],
    ["Run", info.name === heading ? undefined : info.name],
    [
      "Model",
      given(
        info.model,
        ({ name, parameters }) =>
          `${name}${given(parameters, (count) => `, ${formatCount(count)} parameters`) ?? ""}`,
      ),
    ],
    [
      "Data",
      given(
        info.data,
        (data) => `${data}${given(info.images, (count) => `, ${formatCount(count)} images`) ?? ""}`,
      ),
    ],
    ["Input", given(info.imageSize, (size) => `${size} × ${size} px`)],
    [
      "Training",
      given(steps, (count) =>
        [
          `${formatCount(count)}${planned} ${count === 1 ? "step" : "steps"}`,
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
    [
      "Software",
      given(info.software, (software) =>
        Object.entries(software)
          .map(([name, version]) => `${name} ${version}`)
          .join(", "),
      ),
    ],
    ["Started", given(info.startedAt, formatMoment)],
    ["Command", info.command],
    ["Resumed", given(info.resumed, (times) => times.map(({ step }) => `at step ${step}`).join(", "))],
  ]);
}

export function headlineSection({ runs, evaluations }: ReportContext): Html | null {
  if (evaluations.length === 0) return null;
  const tables = r2Tables(evaluations);
  const published = tables.some(({ rows }) => rows.some((row) => row.published));
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
    published
      ? html`<p>Published rows: <a href="${PUBLISHED_SOURCE.url}">${PUBLISHED_SOURCE.citation}</a>, a selection; ${MISSING} marks
what is not available.</p><h3>Difference in scale</h3>${paragraphs(scaleStatements(runs.map(({ run }) => run)))}`
      : null,
  );
}

export function claimsSection({ runs, evaluations }: ReportContext): Html | null {
  const { can, cannot } = statementsOf(
    runs.map(({ run }) => run),
    evaluations,
  );
  const items = (title: string, texts: string[]) =>
    texts.length === 0
      ? ""
      : html`<div><h3>${title}</h3><ul>${texts.map((text) => html`<li>${text}</li>`)}</ul></div>`;
  const several = runs.length > 1;
  return section(
    several ? "What these runs can and cannot show" : "What this run can and cannot show",
    html`<div class="claims">${items("Shown", can)}${items("Not shown", cannot)}</div>`,
  );
}

const KIND_TITLES: Record<string, { title: string; text: string }> = {
  inbetween: {
    title: "In-between images: targets beside reconstructions",
    text: "The decoders see the features of both views only, and draw the images on the way from one to the other.",
  },
  reconstruction: {
    title: "What the method reconstructs",
    text: "The images it is given, what it should draw, and what it draws.",
  },
  patchPca: {
    title: "Patch features",
    text: "The first three principal components of the patch features, shown as red, green and blue: alike colours mean alike features.",
  },
};

function pictureFigure(picture: Picture, label: string): Html {
  const caption = `${label}, step ${formatCount(picture.step)}`;
  if (picture.bytes === null)
    return html`<figure><figcaption>${caption}</figcaption><p>The picture ${picture.png} is missing.</p></figure>`;
  const columns = picture.columns
    ? html`<div class="columns">${picture.columns.map((name) => html`<span>${name}</span>`)}</div>`
    : "";
  const source = `data:image/png;base64,${Buffer.from(picture.bytes).toString("base64")}`;
  return html`<figure><figcaption>${caption}</figcaption><div class="frame">${columns}<img alt="${picture.title}, ${caption}" src="${source}"></div></figure>`;
}

/** One section for each kind of picture, the known kinds first. */
export function pictureSections({ runs }: ReportContext): Html[] {
  const present = runs.flatMap(({ run }) => run.pictures.map((picture) => picture.kind));
  const kinds = [
    ...new Set([...Object.keys(KIND_TITLES).filter((kind) => present.includes(kind)), ...present]),
  ];
  return kinds.flatMap((kind) => {
    const known = KIND_TITLES[kind];
    const titles = [
      ...new Set(
        runs.flatMap(({ run }) =>
          run.pictures.filter((picture) => picture.kind === kind).map(({ title }) => title),
        ),
      ),
    ];
    const groups = titles.map((title) => {
      const figures = runs.flatMap(({ run, label }) =>
        run.pictures
          .filter((picture) => picture.kind === kind && picture.title === title)
          .sort((a, b) => a.step - b.step)
          .map((picture) => pictureFigure(picture, label)),
      );
      return html`<h3>${title}</h3><div class="pictures">${figures}</div>`;
    });
    const made = section(known?.title ?? kind, known ? html`<p>${known.text}</p>` : null, html`${groups}`);
    return made ? [made] : [];
  });
}

export function configSection({ runs }: ReportContext): Html | null {
  const blocks = runs
    .filter(({ run }) => run.config !== null && run.config !== undefined)
    .map(
      ({ run, label }) =>
        html`<details><summary>${label}</summary><pre>${JSON.stringify(run.config, null, 2)}</pre></details>`,
    );
  return blocks.length === 0 ? null : section("Full configuration", html`${blocks}`);
}
