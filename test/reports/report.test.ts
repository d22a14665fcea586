/** @file The report: self-contained, escaped, honest about scale, and written as a whole. */

import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseHTML } from "linkedom";
import { describe, expect, it } from "vitest";
import { appendEvaluation, type MetricsRow, RunLog, renderReport, writeReport } from "#src/reports/index.js";
import { evaluation, metricsRow, runData } from "./samples.js";

const temporary = () => mkdtempSync(join(tmpdir(), "inbetween-report-"));
const EVIL = `<img src=x onerror="alert(1)"> & 'q'</title></pre>`;
const PNG = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
  "base64",
);
const OURS = "Ours(VICReg, all, se2)";
const evaluations = [evaluation("VICReg", 0.1), evaluation("random"), evaluation(OURS, 0.13)];
const comparison = { runs: [runData("VICReg"), runData(OURS)], evaluations };

const parse = (markup: string) => parseHTML(markup).document;
const sections = (document: Document) => [...document.querySelectorAll("section")];
const titles = (document: Document) =>
  sections(document).map((section) => section.querySelector("h2")?.textContent);

describe("a comparison of runs", () => {
  const markup = renderReport(comparison);
  const document = parse(markup);

  it("shows every section that has data", () => {
    expect(titles(document)).toEqual([
      "What the features know: R² of predicted transformation parameters",
      "What these runs can and cannot show",
      "R² bars",
      "Training curves",
      "Health and speed",
      "Full configuration",
    ]);
    expect([...document.querySelectorAll("header h3")].map((heading) => heading.textContent)).toEqual([
      "VICReg",
      OURS,
    ]);
  });

  it("lists random, the runs, then the published rows", () => {
    const rows = [...document.querySelectorAll("table.r2 tbody tr")];
    const label = (row: Element) => row.querySelector("th")?.firstChild?.textContent;
    expect(rows.filter((row) => row.className === "measured").map(label)).toEqual(["random", "VICReg", OURS]);
    expect(rows.slice(3).every((row) => row.className === "published")).toBe(true);
    expect(rows[1]?.querySelector("td")?.textContent).toBe("0.200 ±\u00a00.010");
  });

  it("says how far from the paper's scale it is, and what one seed cannot show", () => {
    // 20 steps of 64 images against 1,281,167 images for 800 epochs: 1,024,933,600 / 1,280 = 800,729.
    expect(document.body.textContent).toContain("1,280 images seen, 1/800,000 of that");
    expect(document.body.textContent).toContain("1.02 billion images seen");
    const [can, cannot] = [...document.querySelectorAll(".claims > div")].map(
      (part) => part.textContent ?? "",
    );
    expect(can).toContain(
      `R² of ${OURS} minus VICReg: rotation +0.030, color +0.030, blur +0.030, translation +0.030.`,
    );
    expect(cannot).toContain("there is one training seed per method");
    expect(cannot).toContain("black corners that give the angle away");
    expect(cannot).toContain("the variance hinge ended at 0.50");
  });

  it("loads nothing and runs nothing", () => {
    expect(document.querySelectorAll("script, link, iframe, object")).toHaveLength(0);
    const sources = [...document.querySelectorAll("[src]")].map(
      (element) => element.getAttribute("src") ?? "",
    );
    expect(sources.every((source) => source.startsWith("data:"))).toBe(true);
    expect(markup).not.toMatch(/@import|url\(/);
  });
});

describe("statements", () => {
  const text = (run: ReturnType<typeof runData>, records = evaluations) =>
    parse(renderReport({ runs: [run], evaluations: records })).querySelector(".claims")?.textContent ?? "";
  const reconstructing = (changes: Partial<MetricsRow>) =>
    runData(OURS, { metrics: [metricsRow(1, { loss: { total: 1, reconstruction: 0.4 }, ...changes })] });

  it("marks differences within the probe's noise", () => {
    const close = [evaluation("random"), evaluation("VICReg", 0.1), evaluation("Ours", 0.12)];
    expect(text(runData("Ours"), close)).toContain("rotation +0.020 (within probe noise)");
  });

  it("names a task that training made worse", () => {
    expect(text(runData("VICReg"), [evaluation("random"), evaluation("VICReg", -0.1)])).toContain(
      "VICReg is not above it in rotation, color, blur and translation",
    );
  });

  it("asks for trivial baselines of the reconstruction, and judges by them", () => {
    expect(text(reconstructing({}))).toContain("that it falls proves little");
    expect(text(reconstructing({ baselines: { reconstruction: { "mean image": 0.9 } } }))).toContain(
      "reconstructions (0.4) beat the trivial answers (mean image 0.9)",
    );
    expect(text(reconstructing({ baselines: { reconstruction: { "copy of view 2": 0.3 } } }))).toContain(
      "do not beat every trivial answer (copy of view 2 0.3)",
    );
  });

  it("says so when the loss broke or no random encoder was measured", () => {
    const broken = runData("VICReg", {
      metrics: [metricsRow(1), metricsRow(2, { loss: { total: Number.NaN } })],
    });
    expect(text(broken, [evaluation("VICReg")])).toContain("the loss was not finite at step 2");
    expect(text(broken, [evaluation("VICReg")])).toContain("no random-initialised encoder was evaluated");
  });
});

it("escapes every text it is given", () => {
  const run = runData(EVIL, {
    info: {
      name: EVIL,
      method: EVIL,
      command: EVIL,
      data: EVIL,
      startedAt: EVIL,
      model: { name: EVIL },
      hardware: { cpu: EVIL, device: EVIL, os: EVIL },
      software: { [EVIL]: EVIL },
    },
    config: { [EVIL]: EVIL },
    metrics: [
      metricsRow(1, {
        loss: { total: 1, [EVIL]: 2 },
        baselines: { [EVIL]: { [EVIL]: 1 } },
        health: { featureStd: 1, effectiveRank: 2, warnings: [EVIL] },
      }),
    ],
    pictures: [
      { step: 1, kind: EVIL, title: EVIL, png: "a.png", columns: [EVIL], bytes: PNG },
      { step: 1, kind: "patchPca", title: EVIL, png: EVIL, bytes: null },
    ],
    evaluations: [
      evaluation(EVIL, 0, {
        data: EVIL,
        features: EVIL,
        protocol: `leak-free-${EVIL}`,
        scatter: [{ task: "blur", parameter: EVIL, unit: EVIL, truth: [1], predicted: [1] }],
      }),
    ],
  });
  const markup = renderReport({ title: EVIL, runs: [run], generatedAt: EVIL });
  const document = parse(markup);
  const images = [...document.querySelectorAll("img")];
  expect(images.map((image) => image.getAttribute("src"))).toEqual([
    `data:image/png;base64,${PNG.toString("base64")}`,
  ]);
  expect(document.querySelector("h1")?.textContent).toBe(EVIL);
  expect(document.querySelector("pre")?.textContent).toBe(JSON.stringify({ [EVIL]: EVIL }, null, 2));
  expect(document.querySelectorAll("[onerror]")).toHaveLength(0);
});

describe("writeReport", () => {
  function runFolder(): string {
    const folder = join(temporary(), "vicreg");
    const log = new RunLog(folder);
    mkdirSync(join(folder, "pictures"));
    for (let step = 1; step <= 12; step++) {
      log.append(metricsRow(step));
      writeFileSync(join(folder, "pictures", `${step}.png`), PNG);
      log.picture({ step, kind: "inbetween", title: "fixed images", png: `pictures/${step}.png` });
    }
    log.close();
    writeFileSync(join(folder, "config.json"), JSON.stringify({ seed: 3 }));
    appendEvaluation(folder, evaluation("VICReg", 0.1));
    return folder;
  }

  it("reads a run folder, shows a few steps of each picture, and leaves no other file", () => {
    const folder = runFolder();
    const out = writeReport(folder, join(folder, "report", "report.html"));
    expect(readdirSync(join(folder, "report"))).toEqual(["report.html"]);
    const document = parse(readFileSync(out, "utf8"));
    expect(document.querySelector("h1")?.textContent).toBe("vicreg");
    const captions = [...document.querySelectorAll(".pictures figcaption")].map(
      (caption) => caption.textContent,
    );
    expect(captions).toEqual(["vicreg, step 1", "vicreg, step 5", "vicreg, step 8", "vicreg, step 12"]);
    expect(document.querySelectorAll("table.r2")).toHaveLength(1);
  });

  it("tells two runs of one method apart", () => {
    const folders = [runFolder(), runFolder()];
    folders.forEach((folder, seed) => {
      writeFileSync(join(folder, "run.json"), JSON.stringify({ name: "vicreg", method: "VICReg", seed }));
    });
    const document = parse(readFileSync(writeReport(folders, join(temporary(), "r.html")), "utf8"));
    const labels = [...document.querySelectorAll("header h3")].map((heading) => heading.textContent);
    expect(labels).toEqual(["VICReg, seed 0", "VICReg, seed 1"]);
  });

  it("does not read pictures outside the run folder", () => {
    const folder = runFolder();
    writeFileSync(join(folder, "..", "secret.png"), PNG);
    const log = new RunLog(folder);
    log.picture({ step: 1, kind: "inbetween", title: "other", png: "../secret.png" });
    log.close();
    const text = readFileSync(writeReport(folder, join(folder, "r.html")), "utf8");
    expect(text).toContain("The picture ../secret.png is missing.");
  });

  it("names what is wrong with a folder, and keeps an earlier report", () => {
    const folder = runFolder();
    const out = join(folder, "report.html");
    writeFileSync(out, "earlier");
    writeFileSync(join(folder, "config.json"), "{");
    expect(() => writeReport(folder, out)).toThrow(/config\.json: expected JSON, got/);
    expect(readFileSync(out, "utf8")).toBe("earlier");
    const empty = temporary();
    expect(() => writeReport(empty, join(empty, "r.html"))).toThrow(
      /is not a run folder: expected run\.json/,
    );
    expect(existsSync(join(empty, "r.html"))).toBe(false);
  });
});
