/** @file Charts as SVG strings: curves over steps, R² bars, and predictions against the truth. */

import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import { type Point, smooth, thin } from "./curves.js";
import {
  type EvaluationRecord,
  isRandomEncoder,
  SCORES,
  type ScatterSeries,
  type Score,
  type TaskScore,
} from "./events.js";
import { formatCompact, formatMeanStd } from "./format.js";
import { Html, html } from "./html.js";
import { orderEvaluations, SCORE_TITLES } from "./tables.js";

/** Okabe and Ito's colour-blind-safe palette, without the two too light to draw thin lines on white. */
export const PALETTE = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#9a6a00", "#4b4b9d"] as const;
/** The random baseline is not a competitor: it is always this grey. */
export const RANDOM_COLOR = "#767676";
export const INK = "#1c1f24";
const FAINT = "#d8dce2";

const STYLE =
  "font-family: system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; font-size: 13px; " +
  `color: ${INK}; background: #ffffff; overflow: visible;`;
/** Native width: charts shrink to narrower screens, so it stays near a phone's for the letters to remain legible. */
const WIDTH = 360;
const HEIGHT = 230;
export const GRID = { stroke: FAINT, strokeOpacity: 1 } as const;
/** Text over lines stands on a white halo. */
export const HALO = { fill: INK, stroke: "#ffffff", strokeWidth: 4 } as const;
/** A step count is wide: few labels, that do not touch. */
const X_TICKS = 3;
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
export function drawChart(title: string, options: Plot.PlotOptions): Html {
  const { document } = parseHTML("<!doctype html><html><body></body></html>");
  const figure = Plot.plot({
    document,
    width: WIDTH,
    height: HEIGHT,
    marginTop: 30,
    marginRight: 16,
    marginBottom: 42,
    marginLeft: 56,
    ...options,
  }) as unknown as { outerHTML: string; setAttribute(name: string, value: string): void };
  // As an attribute: linkedom's `style` cannot be assigned, which is how Plot would do it.
  figure.setAttribute("style", STYLE);
  figure.setAttribute("role", "img");
  figure.setAttribute("aria-label", title);
  return html`<figure class="chart"><figcaption>${title}</figcaption>${new Html(roundCoordinates(figure.outerHTML))}</figure>`;
}

/** Two decimals place a dot to a fiftieth of a pixel; the other fourteen digits only make the file large. */
function roundCoordinates(svg: string): string {
  const attribute = / (?:d|c?[xy]|[xy][12]|r|width|height|transform)="[^"]*"/g;
  return svg.replace(attribute, (text) => text.replace(/(\d\.\d\d)\d+/g, "$1"));
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

  const yTicks = scale === "log" ? logTicks(lines.flatMap(({ points }) => points.map(({ y }) => y))) : 5;
  const marks: Plot.Markish[] = [
    Plot.gridX({ ...GRID, ticks: X_TICKS }),
    Plot.gridY({ ...GRID, ticks: yTicks }),
  ];
  for (const [index, { points, color, label }] of lines.entries()) {
    // Lines under others are wider: where curves coincide, each still shows.
    const strokeWidth = 2 + 1.5 * Math.min(2, lines.length - 1 - index);
    const raw = { x: "x", y: "y", stroke: color, ariaDescription: label } as const;
    if (options.smoothed && points.length > 10) {
      const all = series.find((line) => line.label === label)?.points ?? points;
      const average = drawable(thin(smooth(all, all.length / 60), SMOOTH_POINTS));
      marks.push(Plot.line(points, { ...raw, strokeOpacity: 0.25, strokeWidth: 1 }));
      marks.push(Plot.line(average, { ...raw, strokeWidth }));
    } else {
      marks.push(
        Plot.line(points, {
          ...raw,
          strokeWidth,
          marker: options.marked || points.length === 1 ? "dot" : "none",
        }),
      );
    }
  }
  const format = options.percent ? (value: number) => `${Number((value * 100).toFixed(1))} %` : formatCompact;
  const references = Object.entries(options.references ?? {}).filter(([, value]) => Number.isFinite(value));
  if (references.length > 0) {
    const labelled = references.map(([name, value]) => ({ name: `${name} ${format(value)}`, value }));
    marks.push(Plot.ruleY(labelled, { y: "value", stroke: INK, strokeDasharray: "4 3" }));
    marks.push(
      Plot.text(labelled, {
        y: "value",
        text: "name",
        frameAnchor: "right",
        textAnchor: "end",
        dy: -8,
        ...HALO,
      }),
    );
  }
  if (options.include !== undefined) marks.push(Plot.ruleY([options.include], { strokeOpacity: 0 }));
  return drawChart(options.title, {
    x: {
      label: "Optimiser step →",
      labelAnchor: "right",
      labelArrow: "none",
      ticks: X_TICKS,
      tickFormat: formatStep,
    },
    y: {
      label: `↑ ${options.y}`,
      labelArrow: "none",
      type: scale,
      ticks: yTicks,
      ...(scale === "log" ? {} : { nice: true }),
      tickFormat: format,
    },
    marks,
  });
}

/** 1, 2 and 5 of each power of ten in the range of the values, or the powers alone where those are many. */
function logTicks(values: readonly number[]): number[] {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const powers: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) powers.push(10 ** power);
  const steps = powers.length > 3 ? [1] : [1, 2, 5];
  return powers
    .flatMap((power) => steps.map((step) => step * power))
    .filter((tick) => tick >= low && tick <= high);
}

function formatStep(step: number): string {
  return step >= 10_000 && step % 1000 === 0 ? `${step / 1000}k` : String(step);
}

/** One standard deviation below the mean; 0 where there is no number. */
function lowEnd({ mean, std }: TaskScore): number {
  return Number.isFinite(mean - std) ? mean - std : 0;
}

/** Longest encoder name drawn over a bar; longer ones are cut in the chart and stand whole in the table. */
const BAR_LABEL_LENGTH = 44;
const BAR_HEIGHT = 46;

/**
 * R² of one task (or the mean) as one bar per encoder, random first, with one standard deviation over the probe
 * repeats as a whisker. Name and value stand over the bar, so that the bar has the whole width.
 */
export function r2Bars(
  evaluations: readonly EvaluationRecord[],
  score: Score,
  colors: Map<string, string>,
): Html | null {
  const records = orderEvaluations(evaluations).filter((record) => Number.isFinite(record.r2[score].mean));
  if (records.length === 0) return null;
  const bars = records.map(({ encoder, r2, repeats }, index) => {
    const { mean, std } = r2[score];
    const spread = repeats > 1 && Number.isFinite(std) ? std : 0;
    const name = encoder.length > BAR_LABEL_LENGTH ? `${encoder.slice(0, BAR_LABEL_LENGTH - 1)}…` : encoder;
    return {
      row: String(index),
      name,
      value: formatMeanStd(mean, std, repeats),
      color: colors.get(encoder) ?? INK,
      mean,
      low: mean - spread,
      high: mean + spread,
    };
  });
  // One axis for all scores of these encoders, so that their charts can be compared.
  const lowest = Math.min(0, ...records.flatMap(({ r2 }) => SCORES.map((each) => lowEnd(r2[each]))));
  const overBar = { y: "row", dy: -BAR_HEIGHT / 4 - 1, ...HALO } as const;
  return drawChart(SCORE_TITLES[score], {
    height: 48 + bars.length * BAR_HEIGHT,
    marginTop: 4,
    marginLeft: 16,
    x: {
      label: "R² (1 is perfect, 0 is guessing the mean) →",
      labelAnchor: "right",
      labelArrow: "none",
      domain: [lowest, 1],
      ticks: 5,
    },
    y: { axis: null, domain: bars.map((bar) => bar.row), padding: 0 },
    marks: [
      Plot.gridX({ ...GRID, ticks: 5 }),
      Plot.barX(bars, {
        x1: 0,
        x2: "mean",
        y: "row",
        fill: "color",
        insetTop: BAR_HEIGHT / 2,
        insetBottom: 3,
      }),
      Plot.link(
        bars.filter((bar) => bar.high > bar.low),
        { x1: "low", x2: "high", y: "row", stroke: INK, strokeWidth: 2, dy: BAR_HEIGHT / 4 - 1 },
      ),
      Plot.ruleX([0], { stroke: INK }),
      Plot.text(bars, { ...overBar, frameAnchor: "left", text: "name", textAnchor: "start", dx: 2 }),
      Plot.text(bars, {
        ...overBar,
        frameAnchor: "right",
        text: "value",
        textAnchor: "end",
        fontWeight: 600,
      }),
    ],
  });
}

/** Points of one scatter plot; more of them only hide each other. */
const SCATTER_POINTS = 500;

/** The range that holds every true and predicted value of several series: one axis makes them comparable. */
export function scatterDomain(series: readonly ScatterSeries[]): [number, number] {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of series.flatMap(({ truth, predicted }) => [...truth, ...predicted])) {
    if (!Number.isFinite(value)) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const margin = high > low ? (high - low) * 0.04 : 1;
  return low <= high ? [low - margin, high + margin] : [-1, 1];
}

/**
 * Predicted against true values of one parameter with the line of perfect prediction.
 *
 * @throws Error when `truth` and `predicted` differ in length.
 */
export function scatterChart(
  title: string,
  series: ScatterSeries,
  color: string,
  domain: readonly [number, number] = scatterDomain([series]),
): Html {
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
  const [low, high] = domain;
  const suffix = unit ? ` (${unit})` : "";
  const axis = { domain: [low, high], ticks: 5, labelArrow: "none" } as const;
  return drawChart(title, {
    width: 270,
    height: 280,
    marginLeft: 50,
    x: { ...axis, label: `True ${parameter}${suffix} →`, labelAnchor: "right" },
    y: { ...axis, label: `↑ Predicted ${parameter}${suffix}` },
    marks: [
      Plot.gridX({ ...GRID, ticks: 5 }),
      Plot.gridY({ ...GRID, ticks: 5 }),
      Plot.link([0], { x1: low, y1: low, x2: high, y2: high, stroke: INK, strokeDasharray: "4 3" }),
      Plot.dot(points, { x: "x", y: "y", r: 2, fill: color, fillOpacity: 0.45 }),
    ],
  });
}
