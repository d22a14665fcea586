/** @file A comparison of runs: which are one setting, their mean and deviation, and what the page and tables show. */

import { parseHTML } from "linkedom";
import { describe, expect, it } from "vitest";
import {
  compareRuns,
  findGroup,
  markdownComparison,
  type RunData,
  renderComparison,
  terminalComparison,
} from "#src/reports/index.js";
import { evaluation, knnClassification, metricsRow, runData } from "./samples.js";

const OURS = "Ours(VICReg, all, se2)";

/** A run of one seed; its scores are the sample's plus `offset`. */
function run(method: string, settings: object, seed: number, offset: number, accuracy = 0.5): RunData {
  return runData(method, {
    // As it stands in a run folder: the hash differs with the seed.
    config: { recipe: { name: "x", hash: `${seed}` }, config: { name: "x", seed, method: settings } },
    metrics: [metricsRow(1), metricsRow(2, { knn: { accuracy, k: 20, classes: 10 } })],
    evaluations: [
      evaluation("random"),
      evaluation(method, offset - 0.5),
      // Evaluated again: the last one counts.
      evaluation(method, offset),
    ],
  });
}

const runs = [
  run("VICReg", { name: "vicreg" }, 0, 0, 0.3),
  run("VICReg", { name: "vicreg" }, 1, 0.1, 0.4),
  run(OURS, { name: "inbetween", lambda: 1, count: 2 }, 0, 0.2),
  run(OURS, { name: "inbetween", lambda: 10, count: 2 }, 0, 0.3),
  run(OURS, { name: "inbetween", lambda: 1, count: 2 }, 1, 0.3),
];
const comparison = compareRuns(runs);

describe("k-NN", () => {
  const classified = runs.map((each, i) => ({
    ...each,
    classifications: [
      knnClassification("random", { 20: 0.1 }),
      knnClassification(each.info.method ?? "", { 10: 0.2, 20: (60 + i) / 100 }),
    ],
  }));
  const rowsOf = (text: string) => text.split("\n").filter((line) => line.startsWith("| VICReg"));

  it("is that of `evaluate knn` where every run has it", () => {
    const [row] = rowsOf(markdownComparison(compareRuns(classified)));
    // 60 % and 61 %.
    expect(row).toContain("| 60.5 ± 0.7 |");
  });

  it("is that of pretraining where one has not", () => {
    const [row] = rowsOf(markdownComparison(compareRuns([...classified.slice(1), ...runs.slice(0, 1)])));
    // 30 % and 40 %.
    expect(row).toContain("| 35.0 ± 7.1 |");
  });
});

describe("runs that differ by the seed alone", () => {
  it("are one setting, named by what tells it from others of its method", () => {
    expect(comparison.groups.map(({ label, runs: own }) => [label, own.length])).toEqual([
      ["VICReg", 2],
      [`${OURS}, lambda=1`, 2],
      [`${OURS}, lambda=10`, 1],
    ]);
    expect(comparison.groups[1]?.settings).toEqual({ "method.lambda": 1 });
  });

  it("give a mean and the sample deviation over seeds, a single one that over its probes", () => {
    const [vicreg, , ten] = comparison.groups;
    // Rotation is 0.1 plus the offset: 0.1 and 0.2.
    const rotation = vicreg?.scores["paper-zero-fill"]?.rotation;
    expect(rotation).toMatchObject({ count: 2, over: "seeds" });
    expect(rotation?.mean).toBeCloseTo(0.15, 12);
    expect(rotation?.std).toBeCloseTo(0.1 / Math.SQRT2, 12);
    expect(vicreg?.knn?.mean).toBeCloseTo(0.35, 12);
    expect(vicreg?.classified).toBeUndefined();
    expect(ten?.scores["paper-zero-fill"]?.rotation).toEqual({
      mean: 0.4,
      std: 0.01,
      count: 3,
      over: "probes",
    });
  });
});

describe("runs that were measured on several features", () => {
  it("are compared on the ones that most of them have", () => {
    const [first, second, ...others] = runs as [RunData, RunData, ...RunData[]];
    const patches = { ...evaluation("VICReg", 0.9), features: "patches" };
    const more = { ...first, evaluations: [...first.evaluations, patches] };
    const scores = (all: readonly RunData[]) => compareRuns(all).groups[0]?.scores;
    expect(scores([more, second, ...others])).toEqual(comparison.groups[0]?.scores);
    expect(scores([{ ...first, evaluations: [patches, ...first.evaluations] }, second])).toEqual(
      scores([first, second]),
    );
    const both = { ...second, evaluations: [patches] };
    expect(scores([more, both])?.["paper-zero-fill"]?.mean.mean).toBeCloseTo(patches.r2.mean.mean, 12);
  });
});

describe("the page", () => {
  const document = parseHTML(renderComparison(comparison)).document;
  const text = document.body.textContent ?? "";

  it("has one table row per setting, after the random encoder's, and says what each is over", () => {
    const rows = [...document.querySelectorAll("#table-2 tr.measured")];
    expect(rows.map((row) => row.querySelector("small")?.textContent)).toEqual([
      "mean features on synthetic, seed 0, 3 probes",
      "mean features on synthetic, 2 seeds",
      "mean features on synthetic, 2 seeds",
      "mean features on synthetic, seed 0, 3 probes",
    ]);
    expect(rows[1]?.querySelector("td")?.textContent).toBe("0.150 ±\u00a00.071");
    const online = [...document.querySelectorAll("#online-knn tr.measured")];
    expect(online[0]?.querySelector("td")?.textContent).toBe("35.00 ±\u00a07.07");
  });

  it("leads from the k-NN at the end of pretraining to the last row of each run's metrics", () => {
    const links = [...document.querySelectorAll("#online-knn tr.measured td a")];
    expect(links).toHaveLength(3);
    const record = document.querySelector(links[0]?.getAttribute("href") ?? "");
    expect(record?.querySelector("h3")?.textContent).toBe(
      "VICReg: k-NN at the end of pretraining, 2 records",
    );
    const facts = [...(record?.querySelectorAll("dl") ?? [])].map(({ textContent }) => textContent);
    expect(facts).toHaveLength(2);
    expect(facts[1]).toMatch(/Seed0.*Step2 \(0\.2 epochs\).*Top-1k = 20: 40\.00 %.*Time1 s of pretraining/);
  });

  it("draws differences to the baseline and scores over the numeric setting", () => {
    const captions = [...document.querySelectorAll("figcaption")].map(({ textContent }) => textContent);
    expect(captions.filter((caption) => !caption?.startsWith("Published"))).toEqual([
      `${OURS}, lambda=1`,
      `${OURS}, lambda=10`,
      "R² of rotation and colour",
      // k-NN at the end of pretraining.
      `${OURS}, lambda=1`,
      `${OURS}, lambda=10`,
      "Rotation",
      "Color",
      "Blur",
      "Translation",
      "Mean",
    ]);
    expect(text).toContain("Difference to VICReg");
    expect(text).toContain(`${OURS} over lambda`);
    // Ours with lambda 1 has offsets 0.2 and 0.3 against 0 and 0.1.
    expect(text).toContain("+0.200");
  });

  it("takes another baseline by its label or method, and names the choices when there is none", () => {
    const other = parseHTML(renderComparison(comparison, { baseline: `${OURS}, lambda=10` })).document;
    expect(other.body.textContent).toContain(`Difference to ${OURS}, lambda=10`);
    expect(() => findGroup(comparison, "MoCo")).toThrow(/no group is named "MoCo"; there are "VICReg", /);
  });
});

it("runs on other images, or evaluated on others, are other settings", () => {
  const [one, two] = [run("VICReg", {}, 0, 0), run("VICReg", {}, 1, 0)] as const;
  const onPhotos = { ...two, info: { ...two.info, data: "photos" } };
  expect(
    compareRuns([{ ...one, info: { ...one.info, data: "cifar" } }, onPhotos]).groups.map(
      ({ label }) => label,
    ),
  ).toEqual(["VICReg, data=cifar", "VICReg, data=photos"]);
  const evaluatedElsewhere = {
    ...two,
    evaluations: two.evaluations.map((record) => ({ ...record, data: "photos" })),
  };
  expect(compareRuns([one, evaluatedElsewhere]).groups).toHaveLength(2);
});

it("tables for terminals and notes hold the same figures", () => {
  expect(terminalComparison(comparison)).toMatch(/VICReg.*2 runs.*0\.150 ± 0\.071/);
  expect(markdownComparison(comparison)).toContain(
    "| VICReg | 2 runs | 0.150 ± 0.071 | 0.250 ± 0.071 | 0.350 ± 0.071 | 0.450 ± 0.071 | 0.300 ± 0.071 | 35.0 ± 7.1 |",
  );
});
