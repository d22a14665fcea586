/** @file Charts hold the data they were given: positions are read back from the SVG. */

import { parseHTML } from "linkedom";
import { describe, expect, it } from "vitest";
import { differenceChart } from "#src/reports/comparison-charts.js";
import { smooth, thin } from "#src/reports/curves.js";
import { assignColors, curveChart, r2Bars, scatterChart } from "#src/reports/index.js";
import { evaluation } from "./samples.js";

const parse = (chart: { markup: string } | null) => parseHTML(`<body>${chart?.markup ?? ""}</body>`).document;
const numbers = (text: string | null) => (text?.match(/-?\d+(\.\d+)?/g) ?? []).map(Number);

describe("curve preparation", () => {
  const ramp = Array.from({ length: 1000 }, (_, x) => ({ x, y: 2 * x + 5 }));

  it("smooths without lag: inside a straight line nothing moves", () => {
    const smoothed = smooth(ramp, 10);
    expect(smoothed).toHaveLength(1000);
    for (const { x, y } of smoothed.slice(200, 800)) expect(y).toBeCloseTo(2 * x + 5, 6);
  });

  it("averages with weights exp(-distance/window)", () => {
    const points = [4, -1, 7, 2, 0].map((y, x) => ({ x, y }));
    const window = 1.7;
    const expected = points.map((at) => {
      const weights = points.map(({ x }) => Math.exp(-Math.abs(x - at.x) / window));
      const sum = points.reduce((total, { y }, index) => total + y * (weights[index] ?? 0), 0);
      return sum / weights.reduce((total, weight) => total + weight, 0);
    });
    for (const [index, { y }] of smooth(points, window).entries()) {
      expect(y).toBeCloseTo(expected[index] ?? Number.NaN, 12);
    }
  });

  it("thins to the limit, keeping a lone spike and leaving out what is not finite", () => {
    const spiky = ramp.map(({ x }) => ({ x, y: x === 321 ? 99 : x === 600 ? Number.NaN : 0 }));
    const thinned = thin(spiky, 50);
    expect(thinned.length).toBeLessThanOrEqual(50);
    expect(thinned).toContainEqual({ x: 321, y: 99 });
    expect(thinned.every(({ y }) => Number.isFinite(y))).toBe(true);
    expect(thinned.map(({ x }) => x)).toEqual(thinned.map(({ x }) => x).toSorted((a, b) => a - b));
  });
});

describe("curveChart", () => {
  const points = [1, 2, 3, 4].map((x) => ({ x, y: x * x }));
  const options = { title: "Total <loss>", y: "Loss (nats)" };

  it("draws each series through its points, with title and axis labels", () => {
    const document = parse(
      curveChart(
        [
          { label: "a", color: "#0072b2", points },
          { label: "b", color: "#d55e00", points: points.map(({ x, y }) => ({ x, y: y + 4 })) },
        ],
        options,
      ),
    );
    const paths = [...document.querySelectorAll("path[d]")].filter((path) =>
      path.closest("[aria-label='line']"),
    );
    expect(paths).toHaveLength(2);
    const [first, second] = paths.map((path) => numbers(path.getAttribute("d")));
    // x, y pairs; equal steps in x, and heights in proportion to the squares.
    const height = (index: number) => (first?.[1] ?? 0) - (first?.[2 * index + 1] ?? 0);
    expect(height(1) / height(3)).toBeCloseTo(3 / 15, 2);
    expect(height(2) / height(3)).toBeCloseTo(8 / 15, 2);
    expect((first?.[2] ?? 0) - (first?.[0] ?? 0)).toBeCloseTo((first?.[4] ?? 0) - (first?.[2] ?? 0), 1);
    // The second starts at 5 where the first starts at 1: one unit is height(3) / 15.
    expect((first?.[1] ?? 0) - (second?.[1] ?? 0)).toBeCloseTo((height(3) / 15) * 4, 0);
    expect(document.querySelector("figcaption")?.textContent).toBe("Total <loss>");
    expect(document.querySelector("svg")?.getAttribute("aria-label")).toBe("Total <loss>");
    expect(document.querySelector("svg")?.textContent).toContain("Loss (nats)");
    expect(document.querySelector("svg")?.textContent).toContain("Optimiser step");
  });

  it("draws raw and smoothed lines, and named references", () => {
    const long = Array.from({ length: 60 }, (_, x) => ({ x, y: Math.sin(x) + 2 }));
    const document = parse(
      curveChart([{ label: "a", color: "#0072b2", points: long }], {
        ...options,
        smoothed: true,
        references: { "mean image": 2.5 },
      }),
    );
    expect(document.querySelectorAll("[aria-label='line'] path")).toHaveLength(2);
    expect(document.querySelector("svg")?.textContent).toContain("mean image 2.5");
  });

  it("is null when nothing can be drawn", () => {
    expect(
      curveChart([{ label: "a", color: "#000", points: [{ x: 1, y: Number.NaN }] }], options),
    ).toBeNull();
    expect(
      curveChart([{ label: "a", color: "#000", points: [{ x: 1, y: -1 }] }], { ...options, scale: "log" }),
    ).toBeNull();
  });
});

it("draws R² bars in proportion, random first, below zero to the left", () => {
  const records = [evaluation("VICReg", 0.4), evaluation("random", -0.2), evaluation("Ours", 0.1)];
  const colors = assignColors(records.map(({ encoder }) => encoder));
  const document = parse(r2Bars(records, "color", colors));
  const bars = [...document.querySelectorAll("[aria-label='bar'] rect")];
  expect(bars.map((bar) => bar.getAttribute("fill"))).toEqual([
    "#767676",
    colors.get("VICReg"),
    colors.get("Ours"),
  ]);
  const widths = bars.map((bar) => Number(bar.getAttribute("width")));
  // Color is 0.2 plus the offset: 0.6 and 0.3.
  expect((widths[1] ?? 0) / (widths[2] ?? 1)).toBeCloseTo(2, 2);
  const text = document.querySelector("svg")?.textContent ?? "";
  for (const part of ["random", "0.600 ± 0.010", "0.300 ± 0.010", "R² (1 is perfect"])
    expect(text).toContain(part);

  const rotation = [
    ...parse(r2Bars(records, "rotation", colors)).querySelectorAll("[aria-label='bar'] rect"),
  ];
  const [random, vicreg] = rotation.map((bar) => ({
    x: Number(bar.getAttribute("x")),
    width: Number(bar.getAttribute("width")),
  }));
  expect((random?.x ?? 0) + (random?.width ?? 0)).toBeCloseTo(vicreg?.x ?? Number.NaN, 1);
});

describe("scatterChart", () => {
  const series = {
    task: "rotation",
    parameter: "angle",
    unit: "°",
    truth: [-40, 0, 40],
    predicted: [-20, 0, 20],
  } as const;

  it("places each pair relative to the line of perfect prediction", () => {
    const document = parse(
      scatterChart(
        "VICReg",
        { ...series, truth: [...series.truth], predicted: [...series.predicted] },
        "#0072b2",
      ),
    );
    const dots = [...document.querySelectorAll("circle")].map((dot) => [
      Number(dot.getAttribute("cx")),
      Number(dot.getAttribute("cy")),
    ]);
    expect(dots).toHaveLength(3);
    const [low, zero, high] = dots;
    expect((zero?.[0] ?? 0) - (low?.[0] ?? 0)).toBeCloseTo((high?.[0] ?? 0) - (zero?.[0] ?? 0), 1);
    expect((low?.[1] ?? 0) - (zero?.[1] ?? 0)).toBeCloseTo((zero?.[1] ?? 0) - (high?.[1] ?? 0), 1);
    const link = numbers(document.querySelector("[aria-label='link'] path")?.getAttribute("d") ?? null);
    // A prediction of 0 for 0 lies on the line.
    const along = ((zero?.[0] ?? 0) - (link[0] ?? 0)) / ((link[2] ?? 1) - (link[0] ?? 0));
    expect((link[1] ?? 0) + along * ((link[3] ?? 0) - (link[1] ?? 0))).toBeCloseTo(
      zero?.[1] ?? Number.NaN,
      0,
    );
    expect(document.querySelector("svg")?.textContent).toContain("True angle (°)");
  });

  it("refuses pairs that do not match", () => {
    expect(() => scatterChart("x", { ...series, truth: [1], predicted: [] }, "#000")).toThrow(
      "Scatter of rotation/angle: expected as many predictions as true values, got 0 and 1.",
    );
  });
});

it("breaks and cuts the names of tasks beside bars of differences, which keep their room", () => {
  const names = ["CIFAR10", "Flowers, mean per class", "a-long-name-of-clothing-photographs"];
  const rows = names.map((task) => ({ task, value: 1, low: 1, high: 1, text: "+1.00" }));
  const options = {
    title: "x",
    label: "points",
    color: "#000000",
    published: false,
    domain: [0, 2],
  } as const;
  const document = parse(differenceChart(rows, options));
  const ticks = [...document.querySelectorAll('g[aria-label="y-axis tick label"] text')];
  expect(
    ticks.map((tick) =>
      (tick.children.length > 0 ? [...tick.children] : [tick]).map((line) => line.textContent),
    ),
  ).toEqual([["CIFAR10"], ["Flowers,", "mean per class"], ["a-long-name-of-clot…"]]);
  const bar = document.querySelector('g[aria-label="bar"] rect');
  // Half of the axis, of 360 pixels less names and margins.
  expect(Number(bar?.getAttribute("width"))).toBeGreaterThan(80);
});
