/** @file Charts of a comparison: the difference to a baseline (paper, Figures 3, 4, 7, 8), scores over a setting (6, 9). */

import * as Plot from "@observablehq/plot";
import { assignColors, drawChart, GRID, HALO, INK } from "./charts.js";
import { type ComparedGroup, shortKey } from "./comparison.js";
import { SCORES, type Score } from "./events.js";
import { formatNumber } from "./format.js";
import type { Html } from "./html.js";
import { SCORE_TITLES } from "./tables.js";

/** R² of each task less the baseline's, one bar a task. `null` when one of them has no scores under the protocol. */
export function differenceChart(
  group: ComparedGroup,
  baseline: ComparedGroup,
  protocol: string,
  color: string,
  domain: readonly [number, number],
): Html | null {
  const rows = differences(group, baseline, protocol);
  if (rows.length === 0) return null;
  return drawChart(group.label, {
    height: 46 + 34 * rows.length,
    marginLeft: 92,
    marginTop: 4,
    x: {
      label: `R² less that of ${baseline.label} →`,
      labelAnchor: "right",
      labelArrow: "none",
      domain: [...domain],
      ticks: 5,
    },
    y: { label: null, domain: rows.map(({ task }) => task), tickSize: 0 },
    marks: [
      Plot.gridX({ ...GRID, ticks: 5 }),
      Plot.barX(rows, { x: "value", y: "task", fill: color, insetTop: 6, insetBottom: 6 }),
      Plot.link(rows, { x1: "low", x2: "high", y: "task", stroke: INK, strokeWidth: 1.5 }),
      Plot.ruleX([0], { stroke: INK }),
      Plot.text(rows, { y: "task", frameAnchor: "right", textAnchor: "end", text: "text", dx: 12, ...HALO }),
    ],
  });
}

interface Difference {
  readonly task: string;
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly text: string;
}

/** The deviation of a difference is that of independent figures. */
function differences(group: ComparedGroup, baseline: ComparedGroup, protocol: string): Difference[] {
  const [own, base] = [group.scores[protocol], baseline.scores[protocol]];
  if (!own || !base) return [];
  return SCORES.map((score) => {
    const value = own[score].mean - base[score].mean;
    const std = Math.hypot(own[score].std, base[score].std);
    const sign = value > 0 ? "+" : "";
    return {
      task: SCORE_TITLES[score],
      value,
      low: value - std,
      high: value + std,
      text: `${sign}${formatNumber(value)}`,
    };
  }).filter(({ value }) => Number.isFinite(value));
}

/** The axis that holds all differences to the baseline. */
export function differenceDomain(
  groups: readonly ComparedGroup[],
  baseline: ComparedGroup,
  protocol: string,
): [number, number] {
  const all = groups.flatMap((group) => differences(group, baseline, protocol));
  const low = Math.min(0, ...all.map((row) => row.low));
  const high = Math.max(0, ...all.map((row) => row.high));
  const margin = Math.max(0.02, 0.15 * (high - low));
  return [low - margin, high + 1.5 * margin];
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
