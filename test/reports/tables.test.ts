/** @file Numbers as printed, and the R² table in terminal form. */

import { describe, expect, it } from "vitest";
import {
  formatCompact,
  formatDuration,
  formatMeanStd,
  formatMoment,
  formatNumber,
  r2Tables,
  terminalR2Tables,
} from "#src/reports/index.js";
import { evaluation } from "./samples.js";

it("prints mean ± standard deviation, without one where there was a single probe", () => {
  expect(formatMeanStd(0.2271, 0.0239, 3)).toBe("0.227 ± 0.024");
  expect(formatMeanStd(0.2271, 0, 1)).toBe("0.227");
  expect(formatMeanStd(-0.0404, 0.012, 3)).toBe("−0.040 ± 0.012");
  expect(formatMeanStd(Number.NaN, 0.1, 3)).toBe("–");
  expect(formatNumber(-0.0001)).toBe("0.000");
});

it.each([
  [0.4, "0 s"],
  [59.6, "1 min 00 s"],
  [312, "5 min 12 s"],
  [3599.7, "1 h 00 min"],
  [11_220, "3 h 07 min"],
  [86_399, "1 d 0 h"],
  [187_000, "2 d 4 h"],
  [Number.NaN, "–"],
])("writes %s seconds as %s", (seconds, text) => expect(formatDuration(seconds)).toBe(text));

it.each([
  [9.3125, "9.31"],
  [0.00082512, "0.000825"],
  [0, "0"],
  [3.2e-7, "3.2e-7"],
  [12_400, "12,400"],
  [Number.NaN, "NaN"],
])("writes %s as %s", (value, text) => expect(formatCompact(value)).toBe(text));

it("writes moments in UTC and leaves other text alone", () => {
  expect(formatMoment("2026-11-23T21:30:00+01:00")).toBe("2026-11-23 20:30 UTC");
  expect(formatMoment("yesterday")).toBe("yesterday");
});

describe("r2Tables", () => {
  const leakFree = { protocol: "leak-free-inscribed-disc" } as const;
  const evaluations = [
    evaluation("VICReg", 0.1, leakFree),
    evaluation("VICReg", 0.1),
    evaluation("Random", 0),
    evaluation("Random", 0),
    evaluation("Random", 0, leakFree),
    evaluation("Ours(VICReg, all, se2)", 0.2, { knn: { accuracy: 0.345, k: 20, classes: 10 } }),
  ];
  const tables = r2Tables(evaluations);
  const labels = (index: number, published: boolean) =>
    tables[index]?.rows.filter((row) => row.published === published).map((row) => row.label);

  it("puts the paper's protocol first and the random encoder, once, on top of each table", () => {
    expect(tables.map(({ protocol }) => protocol)).toEqual(["paper-zero-fill", "leak-free-inscribed-disc"]);
    expect(labels(0, false)).toEqual(["Random", "VICReg", "Ours(VICReg, all, se2)"]);
    expect(labels(1, false)).toEqual(["Random", "VICReg"]);
  });

  it("shows published rows beside the paper's protocol only, with the paper's digits", () => {
    expect(labels(1, true)).toEqual([]);
    const published = tables[0]?.rows.find((row) => row.published && row.label === "Ours(VICReg, all, rot)");
    expect(published?.cells).toEqual({
      rotation: "0.9983",
      color: "0.9231",
      blur: "0.9689",
      translation: "0.9801",
      mean: "0.968",
    });
    expect(published?.detail).toMatch(/^published: ViT-S\/16, ImageNet, 800 epochs$/);
  });

  it("puts the numbers of an evaluation into its row", () => {
    const row = tables[0]?.rows.find((each) => !each.published && each.label.startsWith("Ours"));
    expect(row?.cells).toMatchObject({
      rotation: "0.300 ± 0.010",
      translation: "0.600 ± 0.010",
      mean: "0.450 ± 0.010",
    });
    expect(row?.knn).toBe("34.5 %");
  });

  it("draws for the terminal", () => {
    const lines = terminalR2Tables(evaluations, { colors: false }).split("\n");
    const cells = (start: string) =>
      lines
        .find((line) => line.startsWith(`│ ${start}`))
        ?.split("│")
        .slice(1, -1)
        .map((cell) => cell.trim());
    expect(cells("R²")).toEqual(["R²", "Rotation", "Color", "Blur", "Translation", "Mean", "k-NN"]);
    expect(cells("VICReg")).toEqual([
      "VICReg",
      "0.200 ± 0.010",
      "0.300 ± 0.010",
      "0.400 ± 0.010",
      "0.500 ± 0.010",
      "0.350 ± 0.010",
      "–",
    ]);
    expect(cells("* DINOv2")).toEqual(["* DINOv2", "0.774", "0.910", "–", "–", "–", "–"]);
    expect(lines.some((line) => line.startsWith("* published (arXiv 2503.18753"))).toBe(true);
  });
});
