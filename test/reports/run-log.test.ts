/** @file Rows survive a killed writer, a resume, and numbers JSON cannot hold. */

import { appendFileSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  appendEvaluation,
  METRICS_FILE,
  RunLog,
  readEvaluations,
  readMetrics,
  readPictures,
} from "#src/reports/index.js";
import { evaluation, metricsRow } from "./samples.js";

const temporary = () => mkdtempSync(join(tmpdir(), "inbetween-run-log-"));
const steps = (folder: string) => readMetrics(folder).map(({ step }) => step);

function written(folder: string, count: number): RunLog {
  const log = new RunLog(folder);
  for (let step = 1; step <= count; step++) {
    log.append(metricsRow(step));
    log.picture({ step, kind: "inbetween", title: "t", png: `p${step}.png` });
  }
  return log;
}

describe("RunLog", () => {
  it("gives back what was appended, also NaN and infinities", () => {
    const folder = temporary();
    const log = written(folder, 1);
    const diverged = metricsRow(2, { loss: { total: Number.NaN, variance: Number.POSITIVE_INFINITY } });
    log.append(diverged);
    log.sync();
    log.close();
    expect(readMetrics(folder)).toEqual([metricsRow(1), diverged]);
  });

  it("is readable while it is being written", () => {
    const folder = temporary();
    const log = written(folder, 3);
    expect(steps(folder)).toEqual([1, 2, 3]);
    log.close();
  });

  it("leaves out an unfinished last line and continues on a line of its own", () => {
    const folder = temporary();
    written(folder, 3).close();
    const path = join(folder, METRICS_FILE);
    appendFileSync(path, '{"step":4,"epo');
    expect(steps(folder)).toEqual([1, 2, 3]);
    const log = new RunLog(folder);
    log.append(metricsRow(4));
    log.close();
    expect(steps(folder)).toEqual([1, 2, 3, 4]);
    expect(readFileSync(path, "utf8").split("\n")).toHaveLength(5);
  });

  it("drops rows and pictures after the resumed step", () => {
    const folder = temporary();
    written(folder, 5).close();
    appendFileSync(join(folder, METRICS_FILE), '{"step":6');
    const log = new RunLog(folder, { resumedStep: 3 });
    log.append(metricsRow(4, { learningRate: 7 }));
    log.close();
    expect(steps(folder)).toEqual([1, 2, 3, 4]);
    expect(readMetrics(folder)[3]?.learningRate).toBe(7);
    expect(readPictures(folder).map(({ step }) => step)).toEqual([1, 2, 3]);
  });

  it("names file and line of damage that is not a torn end", () => {
    const folder = temporary();
    writeFileSync(
      join(folder, METRICS_FILE),
      `${JSON.stringify(metricsRow(1))}\nnot json\n${JSON.stringify(metricsRow(2))}\n`,
    );
    expect(() => readMetrics(folder)).toThrow(
      /metrics\.jsonl, line 2: expected one JSON value, got "not json"/,
    );
  });
});

it("keeps evaluations, with a name that looks like a number that is none", () => {
  const folder = temporary();
  const record = evaluation("NaN");
  record.r2.rotation.mean = Number.NEGATIVE_INFINITY;
  appendEvaluation(folder, record);
  expect(readEvaluations(folder)).toEqual([record]);
});
