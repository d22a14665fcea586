/**
 * @file Charts of a comparison: the difference to a baseline (paper, Figures 3, 4, 7, 8), methods side by side (5),
 * scores over a setting (6, 9).
 */

import * as Plot from "@observablehq/plot";
import { assignColors, drawChart, GRID, HALO, INK, legend, PALETTE } from "./charts.js";
import { type ComparedGroup, shortKey } from "./comparison.js";
import type { Score } from "./events.js";
import type { FigureTable, TableRow } from "./figure-table.js";
import { formatNumber } from "./format.js";
import type { Html } from "./html.js";
import { SCORE_TITLES } from "./tables.js";

/** How far a figure of one row is from that of another in the same column. */
export interface Difference {
  readonly task: string;
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly text: string;
}

/** Of every column that both rows have. The deviation of a difference is that of independent figures. */
export function differencesBetween(
  { columns, unit }: FigureTable,
  { figures }: TableRow,
  base: TableRow,
): Difference[] {
  return [...columns].flatMap(([column, task]) => {
    const [own, other] = [figures[column], base.figures[column]];
    if (!own || !other || !Number.isFinite(own.value - other.value)) return [];
    const value = own.value - other.value;
    const std = Math.hypot(own.std, other.std);
    const spread = Number.isFinite(std) ? std : 0;
    const text = `${value > 0 ? "+" : ""}${formatNumber(value, unit === "%" ? 2 : 3)}`;
    return [{ task, value, low: value - spread, high: value + spread, text }];
  });
}

/** The axis that holds all differences. */
export function differenceDomain(all: readonly Difference[]): [number, number] {
  const low = Math.min(0, ...all.map((row) => row.low));
  const high = Math.max(0, ...all.map((row) => row.high));
  const margin = Math.max(1e-3, 0.15 * (high - low));
  // The figures stand at the right.
  return [low - margin, high + 2.2 * margin];
}

export interface DifferenceChartOptions {
  readonly title: string;
  /** Of the axis. */
  readonly label: string;
  readonly color: string;
  readonly published: boolean;
  readonly domain: readonly [number, number];
}

/** Longest line of a task's name beside its bar: longer ones stand whole in the table. */
const TASK_LENGTH = 20;

/** "Flowers," above "mean per class": beside a bar there is little room. */
function taskLines(task: string): string[] {
  const lines = task.split(/(?<=,) /);
  return lines.map((line) => (line.length > TASK_LENGTH ? `${line.slice(0, TASK_LENGTH - 1)}…` : line));
}

/** One bar a task; bars of published figures are hollow. */
export function differenceChart(
  rows: readonly Difference[],
  { title, label, color, published, domain }: DifferenceChartOptions,
): Html {
  const longest = Math.max(...rows.flatMap(({ task }) => taskLines(task).map(({ length }) => length)));
  const marginLeft = Math.max(92, 14 + 7.5 * longest);
  const ticks = marginLeft > 110 ? 3 : 5;
  return drawChart(title, {
    height: 46 + 34 * rows.length,
    marginLeft,
    marginTop: 4,
    x: { label: `${label} →`, labelAnchor: "right", labelArrow: "none", domain: [...domain], ticks },
    y: {
      label: null,
      domain: rows.map(({ task }) => task),
      tickFormat: (task: string) => taskLines(task).join("\n"),
      tickSize: 0,
    },
    marks: [
      Plot.gridX({ ...GRID, ticks }),
      Plot.barX(rows, {
        x: "value",
        y: "task",
        ...(published ? { fill: "#ffffff", stroke: INK, strokeDasharray: "3 2" } : { fill: color }),
        insetTop: 6,
        insetBottom: 6,
      }),
      Plot.link(rows, { x1: "low", x2: "high", y: "task", stroke: INK, strokeWidth: 1.5 }),
      Plot.ruleX([0], { stroke: INK }),
      Plot.text(rows, { y: "task", frameAnchor: "right", textAnchor: "end", text: "text", dx: 12, ...HALO }),
    ],
  });
}

const TASK_COLORS = { rotation: PALETTE[0], color: PALETTE[1] } as const;
/** Longest name beside a row of points. */
const NAME_LENGTH = 34;

/** R² of rotation and of colour, a line for each row of the tables (paper, Figure 5); published ones are hollow. */
export function methodsChart(rows: readonly TableRow[]): Html {
  const shown = rows.map((row, index) => ({ ...row, place: String(index) }));
  const nameOf = new Map(
    shown.map(({ label, place, published }) => {
      const name = label.length > NAME_LENGTH ? `${label.slice(0, NAME_LENGTH - 1)}…` : label;
      return [place, published ? `${name} *` : name];
    }),
  );
  const points = shown.flatMap(({ place, published, figures }) =>
    (["rotation", "color"] as const).flatMap((task) => {
      const value = figures[task]?.value;
      return value === undefined || !Number.isFinite(value)
        ? []
        : [{ place, published, value, color: TASK_COLORS[task] }];
    }),
  );
  const lowest = Math.min(0, ...points.map(({ value }) => value));
  const dots = { x: "value", y: "place", r: 5, strokeWidth: 2 } as const;
  return drawChart("R² of rotation and colour", {
    width: 680,
    height: 50 + 22 * shown.length,
    marginLeft: 236,
    marginTop: 4,
    x: {
      label: "R² (1 is perfect, 0 is guessing the mean) →",
      labelAnchor: "right",
      labelArrow: "none",
      domain: [lowest, 1],
      inset: 8,
      ticks: 5,
    },
    y: {
      label: null,
      domain: shown.map(({ place }) => place),
      tickFormat: (place: string) => nameOf.get(place) ?? place,
      tickSize: 0,
      padding: 0.5,
    },
    marks: [
      Plot.gridX({ ...GRID, ticks: 5 }),
      Plot.gridY({ ...GRID }),
      Plot.dot(
        points.filter(({ published }) => published),
        { ...dots, stroke: "color", fill: "#ffffff" },
      ),
      Plot.dot(
        points.filter(({ published }) => !published),
        { ...dots, stroke: "color", fill: "color" },
      ),
    ],
  });
}

/** The colours of `methodsChart`. */
export function methodsLegend(): Html {
  return legend([
    ["rotation", TASK_COLORS.rotation],
    ["colour", TASK_COLORS.color],
  ]);
}

/** A numeric setting of a method with at least two values: what curves can be drawn over. */
export function numericSetting(groups: readonly ComparedGroup[]): string | undefined {
  const keys = new Set(groups.flatMap(({ settings }) => Object.keys(settings)));
  const counted = [...keys].map((key) => {
    const values = groups.map(({ settings }) => settings[key]);
    return { key, count: values.every((value) => typeof value === "number") ? new Set(values).size : 0 };
  });
  const [most] = counted.filter(({ count }) => count > 1).sort((a, b) => b.count - a.count);
  return most?.key;
}

/** One score over a numeric setting, a line for each combination of the other settings; baselines are dashed. */
export function settingChart(
  groups: readonly ComparedGroup[],
  key: string,
  score: Score,
  protocol: string,
  baselines: readonly ComparedGroup[],
): Html | null {
  const points = groups.flatMap(({ settings, scores }) => {
    const summary = scores[protocol]?.[score];
    if (!summary) return [];
    const { [key]: x, ...others } = settings;
    const line = Object.entries(others)
      .map(([name, value]) => `${shortKey(name)}=${JSON.stringify(value)}`)
      .join(", ");
    return [
      {
        x: Number(x),
        y: summary.mean,
        low: summary.mean - summary.std,
        high: summary.mean + summary.std,
        line,
      },
    ];
  });
  if (points.length === 0) return null;
  const references = baselines.flatMap(({ label, scores }) => {
    const summary = scores[protocol]?.[score];
    return summary ? [{ label, value: summary.mean }] : [];
  });
  const colors = assignColors(points.map(({ line }) => line));
  const lines = [...colors.keys()];
  const values = [...new Set(points.map(({ x }) => x))].sort((a, b) => a - b);
  const isWide =
    (values.at(-1) ?? 1) / Math.max(values[0] ?? 1, Number.MIN_VALUE) >= 10 && (values[0] ?? 0) > 0;
  const color = ({ line }: { readonly line: string }) => colors.get(line) ?? INK;
  return drawChart(SCORE_TITLES[score], {
    x: {
      label: `${shortKey(key)} →`,
      labelAnchor: "right",
      labelArrow: "none",
      type: isWide ? "log" : "linear",
      ticks: values,
      tickFormat: (value: number) => `${value}`,
      inset: 12,
    },
    y: { label: "↑ R²", labelArrow: "none", nice: true, ticks: 5 },
    marks: [
      Plot.gridY({ ...GRID, ticks: 5 }),
      Plot.ruleY(references, { y: "value", stroke: INK, strokeDasharray: "4 3" }),
      Plot.text(references, {
        y: "value",
        text: "label",
        frameAnchor: "right",
        textAnchor: "end",
        dy: -8,
        ...HALO,
      }),
      Plot.link(points, { x1: "x", x2: "x", y1: "low", y2: "high", stroke: color, strokeOpacity: 0.6 }),
      Plot.line(points, { x: "x", y: "y", z: "line", stroke: color, strokeWidth: 2, sort: "x" }),
      Plot.dot(points, { x: "x", y: "y", fill: color, r: 3.5 }),
      ...(lines.length > 1
        ? [
            Plot.text(
              lines.flatMap((line) =>
                points
                  .filter((point) => point.line === line)
                  .sort((a, b) => a.x - b.x)
                  .slice(-1),
              ),
              { x: "x", y: "y", text: "line", textAnchor: "end", dy: -10, ...HALO },
            ),
          ]
        : []),
    ],
  });
}
