/** @file The progress line on a terminal, in a log, and silent. */

import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { Progress } from "#src/reports/index.js";

function recorder(terminal?: { columns: number }) {
  const stream = Object.assign(new PassThrough(), terminal ? { isTTY: true, columns: terminal.columns } : {});
  return { stream, text: () => String(stream.read() ?? "") };
}

const state = (step: number) => ({
  step,
  imagesPerSecond: 412.4,
  dataWaitFraction: 0.012,
  loss: { invariance: 0.123, total: 9.3121, variance: 0.5 },
});

describe("Progress", () => {
  it("writes a line at the start, every interval, and at the end of a log", () => {
    const { stream, text } = recorder();
    let now = 100;
    const progress = new Progress({ total: 100, startStep: 20, stream, intervalSeconds: 10, now: () => now });
    for (let step = 21; step <= 50; step++) {
      now += 1;
      progress.update(state(step));
    }
    progress.stop();
    const lines = text().trimEnd().split("\n");
    // 30 s from the first line: at 0, 10 and 20 s, and the last state on stop.
    expect(lines.map((line) => line.split(" · ")[0])).toEqual([
      "step 21/100",
      "step 31/100",
      "step 41/100",
      "step 50/100",
    ]);
    // 30 steps took 30 s, so the 50 left take 50 s: the 20 done before the resume do not count.
    expect(lines[3]).toBe(
      "step 50/100 · 412 images/s · waiting for data 1.2 % · 50 s left · loss 9.31 (invariance 0.123, variance 0.5)",
    );
  });

  it("updates one line on a terminal, cut to its width", () => {
    const { stream, text } = recorder({ columns: 60 });
    const progress = new Progress({ total: 100, stream, label: "vicreg" });
    progress.update(state(1));
    progress.update(state(100));
    progress.stop();
    const output = text();
    expect(output).toContain("vicreg: step 1/100");
    expect(output).toContain("vicreg: step 100/100");
    expect(output.split("\n")).toHaveLength(2);
    // The bar's own characters up to the next escape sequence or line end.
    const controlStart = String.fromCharCode(27);
    const lines = output
      .split(controlStart)
      .flatMap((part) => part.split(/[\r\n]/))
      .filter((part) => /[█░]{16}/.test(part));
    expect(lines.length).toBeGreaterThan(0);
    for (const line of lines) expect(line.replace(/^.*?(?=[█░])/, "").length).toBeLessThanOrEqual(60);
  });

  it("says nothing when silent", () => {
    const { stream, text } = recorder();
    const progress = new Progress({ total: 10, stream, silent: true });
    progress.update(state(10));
    progress.message("note");
    progress.stop();
    expect(text()).toBe("");
  });
});
