/** @file The paper's tables: published figures as printed, and ours from the records. */

import { parseHTML } from "linkedom";
import { describe, expect, it } from "vitest";
import { compareRuns, findGroup, paperTables, type RunData, renderComparison } from "#src/reports/index.js";
import { evaluation, knnClassification, linearProbe, runData } from "./samples.js";

const OURS = "Ours(VICReg, all, se2)";

/** A run with its evaluations, or an encoder without one. */
function measured(method: string, changes: Partial<RunData>): RunData {
  return runData(method, { metrics: [], ...changes });
}

const page = (...runs: readonly RunData[]) => parseHTML(renderComparison(compareRuns(runs))).document;

/** Rows of a table as text: label, small print, cells. */
function rowsOf(document: Document, id: string, kind: "published" | "measured"): string[][] {
  return [...document.querySelectorAll(`[id="${id}"] tr.${kind}`)].map((row) => {
    const head = row.querySelector("th");
    return [
      head?.firstChild?.textContent ?? "",
      head?.querySelector("small")?.textContent ?? "",
      ...[...row.querySelectorAll("td")].map((cell) => (cell.textContent ?? "").replaceAll("\u00a0", " ")),
    ];
  });
}

describe("published rows, as the AAAI-26 version (article 39849) prints them", () => {
  const document = page(measured("VICReg", { evaluations: [evaluation("VICReg")] }));
  const published = (id: string) =>
    rowsOf(document, id, "published").map(([name, , ...cells]) => [name, ...cells]);

  it("stand in Table 2 (there Table 1)", () => {
    expect(published("table-2")).toEqual([
      ["SIE(rot)", "0.990", "0.867", "0.042", "0.540", "0.610"],
      ["SIE(color)", "0.078", "0.890", "0.097", "0.355", "0.355"],
      ["SIE(blur)", "0.153", "0.883", "0.941", "0.189", "0.542"],
      ["SIE(trans)", "0.213", "0.885", "0.023", "0.978", "0.525"],
      ["SIE(all)", "0.331 ± 0.007", "0.899 ± 0.003", "0.211 ± 0.005", "0.925 ± 0.002", "0.592"],
      [
        "Cross-attention reconstruction",
        ...["0.893 ± 0.004", "0.921 ± 0.006", "0.823 ± 0.030", "0.875 ± 0.005", "0.878"],
      ],
      [
        "Ours(VICReg, rot, rot)",
        ...["0.9975 ± 0.0005", "0.9073 ± 0.0021", "0.9310 ± 0.0020", "0.9810 ± 0.0010", "0.954"],
      ],
      [
        "Ours(VICReg, all, rot)",
        ...["0.9983 ± 0.0005", "0.9231 ± 0.0005", "0.9689 ± 0.0099", "0.9801 ± 0.0004", "0.968"],
      ],
      [
        "Ours(VICReg, all, color)",
        ...["0.9891 ± 0.0019", "0.9373 ± 0.0013", "0.9700 ± 0.0067", "0.9699 ± 0.0022", "0.967"],
      ],
      [
        "Ours(VICReg, all, blur)",
        ...["0.9981 ± 0.0001", "0.9154 ± 0.0006", "0.9392 ± 0.0106", "0.9774 ± 0.0007", "0.958"],
      ],
      [
        "Ours(VICReg, all, trans)",
        ...["0.9975 ± 0.0005", "0.9288 ± 0.0012", "0.9747 ± 0.0017", "0.9830 ± 0.0004", "0.971"],
      ],
      [
        "Ours(VICReg, all, se2)",
        ...["0.9980 ± 0.0001", "0.9158 ± 0.0005", "0.9520 ± 0.0050", "0.9740 ± 0.0001", "0.960"],
      ],
    ]);
  });

  it("stand in Table 3 (there Table 4)", () => {
    expect(published("table-3")).toEqual([
      ["SimCLR", "0.288", "0.575", "0.432"],
      ["Ours(SimCLR, all, rot)", "0.637", "0.712", "0.675"],
      ["Ours(SimCLR, all, se2)", "0.705", "0.723", "0.714"],
      ["iBOT", "0.238", "0.913", "0.576"],
      ["Ours(iBOT, all, rot)", "0.925", "0.934", "0.930"],
      ["Ours(iBOT, all, se2)", "0.937", "0.943", "0.940"],
      ["DINOv2", "0.774", "0.910", "0.842"],
      ["Ours(DINOv2, all, rot)", "0.812", "0.920", "0.866"],
      ["Ours(DINOv2, all, se2)", "0.840", "0.933", "0.887"],
    ]);
  });

  it("stand in Table 4 (there Table 5)", () => {
    expect(published("table-4")).toEqual([
      ["iBOT", "97.60", "86.96", "55.43", "92.30", "88.39", "90.64", "57.30", "81.00"],
      ["Ours(iBOT, all, se2)", "98.08", "87.36", "57.55", "94.34", "88.66", "96.03", "57.99", "81.44"],
      ["DINOv2", "98.47", "89.28", "70.89", "94.82", "87.92", "96.39", "69.42", "82.60"],
      ["Ours(DINOv2, all, se2)", "98.91", "90.37", "71.64", "95.42", "87.80", "96.81", "70.41", "82.73"],
    ]);
  });

  it("stand in Table 6 (there Table 8), a figure that it does not print being empty", () => {
    expect(published("table-6")).toEqual([
      ["MAE", "77.3", "32.9", "77.2"],
      ["I-JEPA", "87.5", "47.6", "77.5"],
      ["I-JEPA", "89.5", "50.5", "79.3"],
      ["I-JEPA", "89.5", "55.3", ""],
      ["iBOT", "87.0", "57.3", "81.0"],
      ["DINOv2", "89.3", "69.4", "82.6"],
      ["DINOv2", "94.0", "81.6", "87.1"],
      ["Ours(iBOT, all, se2)", "87.8", "58.0", "81.6"],
      ["Ours(DINOv2, all, se2)", "90.4", "70.4", "82.7"],
    ]);
  });

  it("are marked, and lead to no record", () => {
    const rows = ["table-2", "table-3", "table-4", "table-6"].flatMap((id) =>
      rowsOf(document, id, "published"),
    );
    expect(rows.every(([, detail]) => detail?.startsWith("published: "))).toBe(true);
    expect(document.querySelectorAll("tr.published a")).toHaveLength(0);
  });

  it("are paired with what they build upon", () => {
    const text = [...document.querySelectorAll("figure.chart")].map((figure) => figure.textContent ?? "");
    const chart = (table: RegExp) =>
      text.filter((each) => each.startsWith("Published: ") && table.test(each));
    // Of Tables 3 and 4: iBOT rotation 0.937 - 0.238 and Flowers 96.03 - 90.64.
    expect(chart(/Ours\(iBOT, all, se2\)/)[0]).toContain("+0.699");
    expect(chart(/Ours\(iBOT, all, se2\)/)[1]).toContain("+5.39");
    expect(chart(/Ours\(DINOv2, all, se2\)/)[1]).toContain("−0.12");
  });
});

describe("our rows", () => {
  it("of linear probes are means over seeds, in the columns of their data sets", () => {
    const seeds = [0, 1].map((seed) =>
      measured("VICReg", {
        info: { name: "vicreg", method: "VICReg", seed },
        classifications: [
          linearProbe("VICReg", "cifar-100/test", 0.1),
          // Evaluated again: the last one counts.
          linearProbe("VICReg", "cifar-100/test", 0.5 + 0.1 * seed),
        ],
      }),
    );
    const document = page(...seeds);
    // Sample deviation of 50 and 60.
    const row = ["VICReg", "protocol paper, 2 seeds", "", "55.00 ± 7.07", "", "", "", "", "", ""];
    expect(rowsOf(document, "table-4", "measured")).toEqual([row]);
    expect(rowsOf(document, "table-6", "measured")).toEqual([[row[0], row[1], "55.00 ± 7.07", "", ""]]);
    const link = document.querySelector("#table-4 tr.measured a")?.getAttribute("href") ?? "";
    expect(document.querySelectorAll(`[id="${link.slice(1)}"] dl`)).toHaveLength(2);
  });

  it("say when a figure is of fewer images, or was chosen on the test images", () => {
    const { chosen: _, ...unchosen } = linearProbe("VICReg", "imagenet-1k/val", 0.25, { images: 100 });
    const document = page(measured("VICReg", { classifications: [unchosen] }));
    const [row] = rowsOf(document, "table-4", "measured");
    expect(row?.at(-1)).toBe("26.00setting chosen on the test images; 100 of 50,000 test images");
  });

  it("on other data have columns of their own, told apart by the fingerprint", () => {
    const other = linearProbe("VICReg", "photos", 0.5, { fingerprint: "aaaaaaaaaaaa" });
    const same = linearProbe("VICReg", "photos", 0.6, { fingerprint: "bbbbbbbbbbbb" });
    // The training split of a data set of the paper is not what it tests on.
    const train = linearProbe("VICReg", "cifar-10/train", 0.7);
    const { tables } = paperTables(
      compareRuns([measured("VICReg", { classifications: [other, same, train] })]),
    );
    const columns = tables.find(({ id }) => id === "table-4")?.columns ?? new Map();
    expect([...columns.values()].slice(8)).toEqual([
      "photos (aaaaaaaa)",
      "photos (bbbbbbbb)",
      "cifar-10/train",
    ]);
  });

  it("are means over classes where the test set is measured so, and their columns say it", () => {
    const flowers = { metric: "meanPerClass" } as const;
    const knn = knnClassification("VICReg", { 20: 0.9 });
    const document = page(
      measured("VICReg", {
        classifications: [
          linearProbe("VICReg", "flowers-102/test", 0.5, flowers),
          linearProbe("VICReg", "cifar-100/test", 0.5, { metric: "top1" }),
          {
            ...knn,
            test: { ...knn.test, ...flowers },
            accuracies: knn.accuracies.map((each) => ({ ...each, perClass: 0.7 })),
          },
        ],
      }),
      // Records of before there was a metric: the linear probe's has both figures, k-NN's has one.
      measured("DINO", {
        folder: "b",
        classifications: [
          linearProbe("DINO", "flowers-102/test", 0.6),
          knnClassification("DINO", { 20: 0.8 }),
        ],
      }),
    );
    const heads = (id: string) =>
      [...document.querySelectorAll(`[id="${id}"] thead th`)].map(({ textContent }) => textContent);
    expect(heads("table-4").filter((title) => title?.includes("class"))).toEqual(["Flowers, mean per class"]);
    const [vicreg, dino] = rowsOf(document, "table-4", "measured");
    expect([vicreg?.[3], vicreg?.[7], dino?.[7]]).toEqual(["50.00", "25.00", "30.00"]);
    expect(heads("knn").at(-1)).toBe("photos, mean per class");
    expect(rowsOf(document, "knn", "measured").map((row) => row.at(-1))).toEqual(["70.00", "80.00top-1"]);
    const facts = document.querySelector(".records")?.textContent;
    expect(facts).toContain("Measured bymean per-class accuracy");
    expect(facts).toContain("Mean over classesk = 20: 70.00 %");
  });

  it("of k-NN show 20 neighbours, or say how many", () => {
    const document = page(
      measured("VICReg", { classifications: [knnClassification("VICReg", { 10: 0.3, 20: 0.4 })] }),
      measured("DINO", { folder: "b", classifications: [knnClassification("DINO", { 5: 0.2 })] }),
    );
    expect(rowsOf(document, "knn", "measured").map((row) => row.at(-1))).toEqual(["40.00", "20.00k = 5"]);
  });

  it("of R² are one for each data set, compared with the baseline on the same one alone", () => {
    const on = (data: string, offset: number, method: string) => evaluation(method, offset, { data });
    const document = page(
      measured("VICReg", { evaluations: [on("cifar", 0, "VICReg")] }),
      measured(OURS, { evaluations: [on("cifar", 0.2, OURS), on("photos", 0.5, OURS)] }),
    );
    expect(rowsOf(document, "table-2", "measured").map(([label, detail]) => [label, detail])).toEqual([
      ["VICReg", "mean features on cifar, seed 0, 3 probes"],
      [OURS, "mean features on cifar, seed 0, 3 probes"],
      [OURS, "mean features on photos, seed 0, 3 probes"],
    ]);
    const own = [...document.querySelectorAll("figcaption")]
      .map(({ textContent }) => textContent ?? "")
      .filter((caption) => caption.includes("features on"));
    expect(own).toEqual([`${OURS}, mean features on cifar`]);
  });

  describe("of several families", () => {
    const of = (label: string, offset: number) =>
      measured(label, {
        folder: label,
        isEncoder: true,
        config: null,
        evaluations: [evaluation(label, offset)],
        classifications: [linearProbe(label, "cifar-100/test", 0.5 + offset)],
      });
    const comparison = compareRuns([
      of("VICReg", 0),
      of("iBOT (ibot.pth)", 0.1),
      of("Ours(VICReg, all, se2)", 0.2),
      of("Ours(iBOT, all, se2)", 0.4),
      of("Ours(iBOT, all, rot)", 0.05),
      of("DINO", 0),
    ]);
    /** Headings of a table's differences, and below each its charts: caption, last figure, axis. */
    const differencesOf = (document: Document, id: string) => {
      const found: string[][] = [];
      let element = document.querySelector(`[id="${id}"]`)?.nextElementSibling;
      for (; element?.textContent?.startsWith("Difference to "); element = element.nextElementSibling) {
        found.push([element.textContent]);
        element = element.nextElementSibling as Element;
        for (const chart of element.querySelectorAll("figure")) {
          const text = chart.textContent ?? "";
          const [axis] = /(?:R²|points) less .*? →/.exec(text) ?? [];
          const figure = text.match(/[+−]\d+\.\d+/g)?.at(-1);
          found.at(-1)?.push(`${chart.querySelector("figcaption")?.textContent}: ${figure} ${axis}`);
        }
      }
      return found;
    };

    it("are each compared with their own base, as in the paper's Figures 3 and 4", () => {
      const document = parseHTML(renderComparison(comparison)).document;
      expect(differencesOf(document, "table-2")).toEqual([
        ["Difference to VICReg", "Ours(VICReg, all, se2): +0.200 R² less VICReg →"],
        [
          "Difference to iBOT",
          "Ours(iBOT, all, se2): +0.300 R² less iBOT (ibot.pth) →",
          "Ours(iBOT, all, rot): −0.050 R² less iBOT (ibot.pth) →",
        ],
      ]);
      expect(differencesOf(document, "table-4")).toEqual([
        ["Difference to VICReg", "Ours(VICReg, all, se2): +20.00 points less VICReg →"],
        [
          "Difference to iBOT",
          "Ours(iBOT, all, se2): +30.00 points less iBOT (ibot.pth) →",
          "Ours(iBOT, all, rot): −5.00 points less iBOT (ibot.pth) →",
          expect.stringContaining("Published: Ours(iBOT, all, se2): +"),
        ],
        ["Difference to DINOv2, published", expect.stringContaining("Published: Ours(DINOv2, all, se2): +")],
      ]);
    });

    it("are all compared with the baseline that is named", () => {
      const document = parseHTML(renderComparison(comparison, { baseline: "VICReg" })).document;
      const [[heading, ...charts] = [], ...others] = differencesOf(document, "table-2");
      expect([heading, charts.length, others]).toEqual(["Difference to VICReg", 5, []]);
      expect(charts.every((chart) => chart.endsWith("R² less VICReg →") || chart.startsWith("DINO"))).toBe(
        true,
      );
    });
  });

  it("of random encoders are one for each architecture, however many folders hold them", () => {
    const random = (architecture: string, offset: number) => evaluation("random", offset, { architecture });
    const comparison = compareRuns([
      measured("VICReg", { evaluations: [random("small", 0), evaluation("VICReg")] }),
      measured(OURS, { evaluations: [random("small", 0), evaluation(OURS)] }),
      measured("iBOT", { evaluations: [random("large", 0.1), evaluation("iBOT")] }),
    ]);
    const document = parseHTML(renderComparison(comparison, { baseline: "random, large" })).document;
    expect(rowsOf(document, "table-3", "measured").map(([label, , ...cells]) => [label, ...cells])).toEqual([
      // Of 0.1 and 0.2, and with the offset.
      ["random, small", "0.100 ± 0.010", "0.200 ± 0.010", "0.150"],
      ["random, large", "0.200 ± 0.010", "0.300 ± 0.010", "0.250"],
      ["VICReg", "0.100 ± 0.010", "0.200 ± 0.010", "0.150"],
      [OURS, "0.100 ± 0.010", "0.200 ± 0.010", "0.150"],
      ["iBOT", "0.100 ± 0.010", "0.200 ± 0.010", "0.150"],
    ]);
    expect(document.body.textContent).toContain("Difference to random, large");
  });
});

describe("an encoder", () => {
  const encoder = (folder: string, label: string) =>
    measured(label, { folder, isEncoder: true, config: null, evaluations: [evaluation(label)] });

  it("is a setting of its own, named by its folder where others are of the same method", () => {
    const labels = (...runs: readonly RunData[]) => compareRuns(runs).groups.map(({ label }) => label);
    expect(labels(encoder("a/encoder", "DINO"), encoder("b/encoder", "iBOT"))).toEqual(["DINO", "iBOT"]);
    const run = measured("DINO", { folder: "runs/dino", evaluations: [evaluation("DINO")] });
    expect(labels(run, encoder("a/encoder", "DINO"), encoder("b/encoder", "DINO"))).toEqual([
      "DINO",
      "DINO, encoder=a/encoder",
      "DINO, encoder=b/encoder",
    ]);
  });

  it("is found as a baseline by its folder too", () => {
    const comparison = compareRuns([encoder("a/encoder", "DINO"), encoder("b/encoder", "iBOT")]);
    expect(findGroup(comparison, "./b/encoder/")?.label).toBe("iBOT");
    expect(findGroup(comparison, undefined)?.label).toBe("DINO");
  });
});
