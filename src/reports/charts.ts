/** @file Charts as SVG strings: curves over steps, R² bars, and predictions against the truth. */

import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import { type Point, smooth, thin } from "./curves.js";
import type { EvaluationRecord, ScatterSeries, Score } from "./events.js";
import { isRandomEncoder } from "./events.js";
import { formatCompact, formatMeanStd } from "./format.js";
import { Html, html } from "./html.js";
import { orderEvaluations, SCORE_TITLES } from "./tables.js";

/** Okabe and Ito's colour-blind-safe palette, without the two too light to draw thin lines on white. */
export const PALETTE = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#9a6a00", "#4b4b9d"] as const;
/** The random baseline is not a competitor: it is always this grey. */
export const RANDOM_COLOR = "#767676";
const INK = "#1c1f24";
const FAINT = "#d8dce2";

const FONT = "font-family: system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; font-size: 13px;";
/** Native width: charts shrink to narrower screens, so it stays near a phone's for the letters to remain legible. */
const WIDTH = 420;
const HEIGHT = 250;
const RAW_POINTS = 400;
const SMOOTH_POINTS = 200;

/** One named line. */
export interface Series {
  label: string;
  color: string;
  points: Point[];
}

/** Colours by label: grey for a random encoder, then the palette in order of appearance. */
export function assignColors(labels: readonly string[]): Map<string, string> {
  const colors = new Map<string, string>();
  let next = 0;
  for (const label of labels) {
    if (colors.has(label)) continue;
    colors.set(label, isRandomEncoder(label) ? RANDOM_COLOR : (PALETTE[next++ % PALETTE.length] ?? INK));
  }
  return colors;
}

/** The legend of a group of charts, as HTML so that it wraps on narrow screens. */
export function legend(entries: Iterable<readonly [label: string, color: string]>): Html {
  const items = [...entries].map(
    ([label, color]) => html`<li><span class="swatch" style="background:${color}"></span>${label}</li>`,
  );
  return html`<ul class="legend">${items}</ul>`;
}

/** Draws with a document of its own, so that nothing global is needed, and names the picture for screen readers. */
function draw(title: string, options: Plot.PlotOptions): Html {
  const { document } = parseHTML("<!doctype html><html><body></body></html>");
  const figure = Plot.plot({
    document,
    width: WIDTH,
    height: HEIGHT,
    marginTop: 24,
    marginRight: 16,
    marginBottom: 42,
    marginLeft: 56,
    style: `${FONT} color: ${INK}; background: #ffffff; overflow: visible;`,
    ...options,
  }) as unknown as { outerHTML: string; setAttribute(name: string, value: string): void };
  figure.setAttribute("role", "img");
  figure.setAttribute("aria-label", title);
  return html`<figure class="chart"><figcaption>${title}</figcaption>${new Html(figure.outerHTML)}</figure>`;
}

export interface CurveOptions {
  title: string;
  /** Label of the vertical axis, with its unit. */
  y: string;
  /** Draw the points faintly and their moving average over them. Default false: the points as they are. */
  smoothed?: boolean;
  /** Mark each point: for series of few measurements. */
  marked?: boolean;
  scale?: "linear" | "log";
  /** Show this value at least, for example 0. */
  include?: number;
  percent?: boolean;
  /** Dashed horizontal references by name. */
  references?: Record<string, number>;
}

/** Lines over optimiser steps. Series without a finite point are left out; with none left, `null`. */
export function curveChart(series: readonly Series[], options: CurveOptions): Html | null {
  const scale = options.scale ?? "linear";
  const drawable = (points: Point[]) => points.filter(({ y }) => scale !== "log" || y > 0);
  const lines = series
    .map((line) => ({ ...line, points: drawable(thin(line.points, RAW_POINTS)) }))
    .filter((line) => line.points.length > 0);
  if (lines.length === 0) return null;

  const marks: Plot.Markish[] = [Plot.gridX({ stroke: FAINT }), Plot.gridY({ stroke: FAINT })];
  for (const { points, color, label } of lines) {
    const raw = { x: "x", y: "y", stroke: color, ariaLabel: label } as const;
    if (options.smoothed && points.length > 10) {
      const all = series.find((line) => line.label === label)?.points ?? points;
      const average = drawable(thin(smooth(all, all.length / 30), SMOOTH_POINTS));
      marks.push(Plot.line(points, { ...raw, strokeOpacity: 0.25, strokeWidth: 1 }));
      marks.push(Plot.line(average, { ...raw, strokeWidth: 2 }));
    } else {
      marks.push(Plot.line(points, { ...raw, strokeWidth: 2, marker: options.marked || points.length === 1 ? "dot" : "none" }));
    }
  }
  const references = Object.entries(options.references ?? {}).filter(([, value]) => Number.isFinite(value));
  if (references.length > 0) {
    const labelled = references.map(([name, value]) => ({ name: `${name} ${formatCompact(value)}`, value }));
    marks.push(Plot.ruleY(labelled, { y: "value", stroke: INK, strokeDasharray: "4 3" }));
    marks.push(
      Plot.text(labelled, { y: "value", text: "name", frameAnchor: "right", textAnchor: "end", dy: -8, fill: INK, stroke: "#ffffff", strokeWidth: 3 }),
    );
  }
  if (options.include !== undefined) marks.push(Plot.ruleY([options.include], { strokeOpacity: 0 }));
  return draw(options.title, {
    x: { label: "Optimiser step →", labelAnchor: "right", labelArrow: "none", ticks: 5, tickFormat: formatStep },
    y: {
      label: `↑ ${options.y}`,
      labelArrow: "none",
      type: scale,
      ticks: 5,
      ...(scale === "log" ? {} : { nice: true }),
      tickFormat: options.percent ? (value: number) => `${Number((value * 100).toFixed(1))} %` : formatCompact,
    },
    marks,
  });
}

function formatStep(step: number): string {
  return step >= 10_000 && step % 1000 === 0 ? `${step / 1000}k` : String(step);
}

/** Longest encoder name drawn beside a bar; longer ones are cut in the chart and stand whole in the table. */
const BAR_LABEL_LENGTH = 26;

function barLabels(records: readonly EvaluationRecord[]): string[] {
  const seen = new Map<string, number>();
  return records.map(({ encoder }) => {
    const short = encoder.length > BAR_LABEL_LENGTH ? `${encoder.slice(0, BAR_LABEL_LENGTH - 1)}…` : encoder;
    const count = (seen.get(short) ?? 0) + 1;
    seen.set(short, count);
    return count === 1 ? short : `${short} #${count}`;
  });
}

/**
 * R² of one task (or the mean) as one bar per encoder, random first, with one standard deviation over the probe
 * repeats as a whisker.
 */
export function r2Bars(evaluations: readonly EvaluationRecord[], score: Score, colors: Map<string, string>): Html | null {
  const records = orderEvaluations(evaluations).filter((record) => Number.isFinite(record.r2[score].mean));
  if (records.length === 0) return null;
  const labels = barLabels(records);
  const bars = records.map((record, index) => {
    const { mean, std } = record.r2[score];
    const spread = record.repeats > 1 && Number.isFinite(std) ? std : 0;
    return {
      encoder: labels[index] ?? record.encoder,
      color: colors.get(record.encoder) ?? INK,
      mean,
      low: mean - spread,
      high: mean + spread,
      text: formatMeanStd(mean, std, record.repeats),
    };
  });
  const lowest = Math.min(0, ...bars.map((bar) => bar.low));
  const longest = Math.max(...labels.map((label) => label.length));
  return draw(`${SCORE_TITLES[score]}: R² per encoder`, {
    height: 66 + bars.length * 34,
    marginLeft: Math.min(190, 18 + longest * 7.2),
    // Room for the value beside a bar that reaches 1.
    marginRight: 104,
    x: { label: "R² (1 is perfect, 0 is guessing the mean) →", labelAnchor: "right", labelArrow: "none", domain: [lowest, 1], ticks: 4 },
    y: { label: null, domain: labels, padding: 0.25 },
    marks: [
      Plot.gridX({ stroke: FAINT }),
      Plot.barX(bars, { x1: 0, x2: "mean", y: "encoder", fill: "color" }),
      Plot.ruleY(bars.filter((bar) => bar.high > bar.low), { x1: "low", x2: "high", y: "encoder", stroke: INK, strokeWidth: 1.5 }),
      Plot.text(bars, { x: (bar: { high: number }) => Math.max(0, bar.high), y: "encoder", text: "text", textAnchor: "start", dx: 6, fill: INK }),
      Plot.ruleX([0], { stroke: INK }),
    ],
  });
}

/** Points of one scatter plot; more of them only hide each other. */
const SCATTER_POINTS = 500;

/**
 * Predicted against true values of one parameter with the line of perfect prediction.
 *
 * @throws Error when `truth` and `predicted` differ in length.
 */
export function scatterChart(title: string, series: ScatterSeries, color: string): Html {
  const { truth, predicted, parameter, unit } = series;
  if (truth.length !== predicted.length) {
    throw new Error(
      `Scatter of ${series.task}/${parameter}: expected as many predictions as true values, ` +
        `got ${predicted.length} and ${truth.length}. Record one prediction per test pair.`,
    );
  }
  const stride = Math.max(1, Math.ceil(truth.length / SCATTER_POINTS));
  const points = truth
    .map((x, index) => ({ x, y: predicted[index] ?? Number.NaN }))
    .filter(({ x, y }, index) => index % stride === 0 && Number.isFinite(x) && Number.isFinite(y));
  const values = points.flatMap(({ x, y }) => [x, y]);
  const low = Math.min(...values, 0);
  const high = Math.max(...values, low + 1e-9);
  const suffix = unit ? ` (${unit})` : "";
  const axis = { domain: [low, high], nice: true, ticks: 5, labelArrow: "none" } as const;
  return draw(title, {
    width: 300,
    height: 300,
    marginLeft: 52,
    x: { ...axis, label: `True ${parameter}${suffix} →`, labelAnchor: "right" },
    y: { ...axis, label: `↑ Predicted ${parameter}${suffix}` },
    marks: [
      Plot.gridX({ stroke: FAINT }),
      Plot.gridY({ stroke: FAINT }),
      Plot.link([0], { x1: low, y1: low, x2: high, y2: high, stroke: INK, strokeDasharray: "4 3" }),
      Plot.dot(points, { x: "x", y: "y", r: 2, fill: color, fillOpacity: 0.45 }),
    ],
  });
}
