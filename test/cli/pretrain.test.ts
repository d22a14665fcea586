/** @file `inbetween pretrain` as a user runs it: its output, interrupts, and a process killed at any moment. */

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { RunInfo } from "#src/reports/index.js";
import { findCheckpoint } from "#src/training/index.js";
import { picture, put, putPictures } from "../data/helpers.js";
import { metricsOf, tensorsOf } from "../training/tiny.js";
import { inbetween, inbetweenJson, launcher, type Outcome, temporaryFolder } from "./helpers.js";
import { writeRecipe } from "./tiny-recipe.js";

const folder = temporaryFolder();
const log = { every: 1, pictures: 0, probes: 0, checkpointEvery: 20 };

/** `inbetween pretrain` on built-in images with a recipe of this file's folder. */
function pretrainArguments(recipe: string, out: string, ...more: string[]): string[] {
  return ["pretrain", "synthetic:40", "--out", out, "--recipe", recipe, "--threads", "1", ...more];
}

/** A command in a process that is still running. */
class Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Outcome>;
  stderr = "";

  constructor(args: readonly string[]) {
    const child = spawn(process.execPath, [launcher, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    let stdout = "";
    child.stdout.on("data", (chunk: Buffer) => {
      stdout += chunk;
    });
    child.stderr.on("data", (chunk: Buffer) => {
      this.stderr += chunk;
    });
    this.child = child;
    this.ended = new Promise((resolve) =>
      child.on("close", (code, signal) => {
        // As a shell reports it.
        const status = signal === null ? code : 128 + constants.signals[signal];
        resolve({ code: status ?? -1, stdout, stderr: this.stderr });
      }),
    );
  }

  /** Waits for something to become true. @throws Error when the process ends before. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.child.exitCode !== null) throw new Error(`ended with ${this.child.exitCode}: ${this.stderr}`);
      await new Promise((resume) => setTimeout(resume, 5));
    }
  }
}

function rowsOf(run: string): number {
  const file = join(run, "metrics.jsonl");
  return existsSync(file) ? readFileSync(file, "utf8").split("\n").length - 1 : 0;
}

/** What must not depend on how a run came to its end. */
function courseOf(run: string): unknown[] {
  return metricsOf(run).map(({ step, epoch, loss, gradientNorm, learningRate, weightDecay }) => {
    return { step, epoch, loss, gradientNorm, learningRate, weightDecay };
  });
}

async function expectSameRun(run: string, straight: string): Promise<void> {
  expect(courseOf(run)).toEqual(courseOf(straight));
  expect(await tensorsOf(run)).toEqual(await tensorsOf(straight));
  expect(existsSync(join(run, "run.lock"))).toBe(false);
}

test("the last line of stdout is one JSON object, progress goes to stderr", async () => {
  const out = join(folder, "json");
  const { code, stdout, stderr } = await inbetween(
    ...pretrainArguments(writeRecipe(folder), out, "--steps", "4", "--seed", "3", "--json"),
  );
  expect(code).toBe(0);
  const lines = stdout.trimEnd().split("\n");
  const result = JSON.parse(lines.at(-1) ?? "") as Record<string, unknown>;
  expect(result).toMatchObject({ run: out, step: 4, interrupted: false });
  expect(Object.keys(result.loss as object)).toEqual([
    "total",
    "invariance",
    "variance",
    "covariance",
    "reconstruction",
  ]);
  expect(result.imagesPerSecond).toBeGreaterThan(0);
  expect(stderr).toMatch(/Ours\(VICReg, all, se2\).*step 4\/4/);
  const { config } = JSON.parse(readFileSync(join(out, "config.json"), "utf8")) as {
    config: Record<string, unknown>;
  };
  expect(config).toMatchObject({ steps: 4, seed: 3 });
  expect(metricsOf(out).map(({ step }) => step)).toEqual([1, 2, 3, 4]);
  expect(metricsOf(out).at(-1)?.loss).toEqual(result.loss);
});

test("options replace the recipe's values", async () => {
  const out = join(folder, "options");
  const recipe = writeRecipe(folder);
  const set = ["--set", "method.lambda=0.5", "--set", "optimizer.clip={norm: 3, scope: tensor}"];
  await inbetweenJson(...pretrainArguments(recipe, out, "--epochs", "0.4", "--accumulate", "2", ...set));
  const { config } = JSON.parse(readFileSync(join(out, "config.json"), "utf8")) as {
    config: Record<string, unknown>;
  };
  expect(config).toMatchObject({
    epochs: 0.4,
    accumulate: 2,
    method: { lambda: 0.5 },
    optimizer: { clip: { norm: 3, scope: "tensor" } },
  });
  expect(config).not.toHaveProperty("steps");
  expect(metricsOf(out)).toHaveLength(2);
});

test("Ctrl-C stops after the step with a checkpoint, a kill leaves the last one; both resume to the same end", async () => {
  const recipe = writeRecipe(folder, { steps: 150, log }, "interrupted.yaml");
  const straight = join(folder, "straight");
  await inbetweenJson(...pretrainArguments(recipe, straight));

  const out = join(folder, "interrupted");
  const first = new Running(pretrainArguments(recipe, out, "--json"));
  await first.until(() => rowsOf(out) >= 3);
  first.child.kill("SIGINT");
  const { code, stdout, stderr } = await first.ended;
  expect(code).toBe(130);
  expect(stderr).toMatch(/stopping after this step, with a checkpoint; once more stops at once/);
  const result = JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "") as { step: number };
  expect(result).toMatchObject({ interrupted: true, step: rowsOf(out) });
  expect((await findCheckpoint(out)).step).toBe(result.step);

  const second = new Running(pretrainArguments(recipe, out, "--resume"));
  await second.until(() => rowsOf(out) >= result.step + 33);
  second.child.kill("SIGKILL");
  expect((await second.ended).code).toBe(137);
  const { step } = await findCheckpoint(out);
  // Rows of steps after the checkpoint, which will be made again.
  expect(rowsOf(out)).toBeGreaterThan(step);

  await inbetweenJson("pretrain", "synthetic:40", "--out", out, "--resume", "--threads", "1");
  await expectSameRun(out, straight);
  // How it began is still known.
  const info = JSON.parse(readFileSync(join(out, "run.json"), "utf8")) as RunInfo;
  expect(info.command).not.toContain("--resume");
  expect(info.resumed).toMatchObject([{ step: result.step }, { step }]);
  expect((info.resumed ?? []).every(({ command }) => command.includes("--resume"))).toBe(true);
});

test("killed before the first checkpoint, a resumed run begins anew without repeating rows", async () => {
  const recipe = writeRecipe(folder, { steps: 40, log: { ...log, checkpointEvery: 1000 } }, "early.yaml");
  const straight = join(folder, "straight-early");
  await inbetweenJson(...pretrainArguments(recipe, straight));
  const out = join(folder, "early");
  const run = new Running(pretrainArguments(recipe, out));
  await run.until(() => rowsOf(out) >= 5);
  run.child.kill("SIGKILL");
  await run.ended;
  await inbetweenJson("pretrain", "synthetic:40", "--out", out, "--resume", "--threads", "1");
  await expectSameRun(out, straight);
});

test("a second Ctrl-C stops at once, without a checkpoint", async () => {
  // A step of a second: long enough to be interrupted in its middle.
  const recipe = writeRecipe(folder, { batchSize: 1024, steps: 1000, log }, "slow.yaml");
  const out = join(folder, "slow");
  const run = new Running([
    "pretrain",
    "synthetic:1024",
    "--out",
    out,
    "--recipe",
    recipe,
    "--threads",
    "1",
    "--json",
  ]);
  await run.until(() => rowsOf(out) >= 1);
  run.child.kill("SIGINT");
  await run.until(() => run.stderr.includes("stopping after this step"));
  run.child.kill("SIGINT");
  const { code, stdout } = await run.ended;
  expect(code).toBe(130);
  expect(stdout).toBe("");
  expect(readdirSync(join(out, "checkpoints"))).toEqual([]);
});

test("a loss that is not finite ends the run, says what to do, and leaves the last good checkpoint", async () => {
  const out = join(folder, "diverged");
  const set = ["--set", "optimizer.baseLearningRate=1e30", "--set", "log.checkpointEvery=1"];
  const { code, stdout, stderr } = await inbetween(
    ...pretrainArguments(writeRecipe(folder), out, ...set, "--json"),
  );
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr).toMatch(
    /error: step \d: loss total = (NaN|Infinity).*inbetween replay .*--init-from .*optimizer\.baseLearningRate/,
  );
  const { step } = await findCheckpoint(out);
  expect(step).toBeGreaterThan(0);
  for (const [name, { data }] of await tensorsOf(out)) {
    expect((data as Float32Array).every(Number.isFinite), name).toBe(true);
  }
  expect(existsSync(join(out, "run.lock"))).toBe(false);
  expect(metricsOf(out)).toHaveLength(step);
});

test("a folder of photographs: classes probed, unusable files left out and named", async () => {
  const photos = join(folder, "photos");
  await putPictures(join(photos, "a"), 11);
  await putPictures(join(photos, "b"), 11);
  put(photos, "b/dot.png", await picture(1, 1, 1).png().toBuffer());
  put(photos, "a/broken.jpg", "no image");
  const out = join(folder, "photo-run");
  const recipe = writeRecipe(
    folder,
    { log: { every: 2, pictures: 2, probes: 1, checkpointEvery: 3 } },
    "photos.yaml",
  );
  await inbetweenJson("pretrain", photos, "--out", out, "--recipe", recipe, "--threads", "1");
  const skipped = readFileSync(join(out, "skipped.txt"), "utf8").trimEnd().split("\n").sort();
  expect(skipped).toEqual([
    expect.stringMatching(/^a\/broken\.jpg\t/),
    expect.stringMatching(/^b\/dot\.png\t1x1 pixels: too small/),
  ]);
  const rows = metricsOf(out);
  expect(rows.map(({ step }) => step)).toEqual([2, 3, 4, 6]);
  expect(rows.at(-1)?.knn).toMatchObject({ accuracy: expect.any(Number) });
  expect(rows.at(-1)?.baselines).toMatchObject({ reconstruction: { "mean colour": expect.any(Number) } });
  expect(readdirSync(join(out, "pictures")).filter((name) => name.startsWith("inbetween-"))).toHaveLength(2);
});
