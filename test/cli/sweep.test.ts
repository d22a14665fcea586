/** @file `inbetween sweep`: which runs a file stands for, what is skipped and resumed, and what is refused beforehand. */

import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { loadSweep } from "#src/cli/sweep/grid.js";
import { readEvaluations } from "#src/reports/index.js";
import { metricsOf } from "../training/tiny.js";
import { inbetween, inbetweenJson, temporaryFolder } from "./helpers.js";
import { writeRecipe } from "./tiny-recipe.js";

const folder = temporaryFolder();
const recipe = writeRecipe(folder);

function writeSweep(name: string, content: object): string {
  const file = join(folder, name);
  // JSON is YAML.
  writeFileSync(file, JSON.stringify({ recipe, data: "synthetic:40", ...content }));
  return file;
}

interface Result {
  runs: { name: string; status: string; step?: number }[];
}

test("every combination and every further grid is a run, made once", async () => {
  const out = join(folder, "grid");
  const file = writeSweep("grid.yaml", {
    out,
    set: { steps: 2 },
    grid: { "method.lambda": [0.5], seed: [0, 1] },
    also: [{ grid: { "method.count": [1] } }],
    evaluate: {
      data: "synthetic:60",
      repeats: 1,
      hidden: 16,
      knn: { train: "synthetic:60", test: "synthetic:40" },
    },
  });
  const planned = (await inbetweenJson("sweep", file, "--dry-run")) as unknown as Result;
  expect(planned.runs.map(({ status }) => status)).toEqual(Array.from({ length: 3 }, () => "waiting"));
  expect(existsSync(out)).toBe(false);

  const first = (await inbetweenJson("sweep", file, "--threads", "1", "--jobs", "2")) as unknown as Result;
  expect(first.runs.map(({ status, step }) => [status, step])).toEqual(
    Array.from({ length: 3 }, () => ["done", 2]),
  );
  const runs = readdirSync(out).filter((name) => name !== "sweep.json");
  expect(runs).toHaveLength(3);
  const settings = runs.map((name) => {
    const { config } = JSON.parse(readFileSync(join(out, name, "config.json"), "utf8")) as {
      config: { seed: number; method: { lambda: number; count: number } };
    };
    return [config.method.lambda, config.method.count, config.seed].join(" ");
  });
  expect(settings.sort()).toEqual(["0.5 2 0", "0.5 2 1", "1 1 0"]);
  for (const name of runs) {
    const evaluations = readEvaluations(join(out, name));
    expect(evaluations.length, name).toBeGreaterThan(0);
    expect(evaluations.map(({ probe }) => probe?.hidden)).toEqual(evaluations.map(() => 16));
  }

  // One run lost: only that one is made again.
  const [lost = "", kept = ""] = runs;
  const evaluations = readEvaluations(join(out, kept)).length;
  const stamp = metricsOf(join(out, kept)).map(({ time }) => time);
  rmSync(join(out, lost), { recursive: true });
  const again = await inbetween("sweep", file, "--threads", "1");
  expect(again.code).toBe(0);
  expect(again.stderr.match(/done before/g)).toHaveLength(2);
  expect(readEvaluations(join(out, kept))).toHaveLength(evaluations);
  expect(metricsOf(join(out, lost))).toHaveLength(2);
  expect(metricsOf(join(out, kept)).map(({ time }) => time)).toEqual(stamp);

  const changed = writeSweep("changed.yaml", {
    out,
    set: { steps: 3 },
    grid: { "method.lambda": [0.5], seed: [0, 1] },
    also: [{ grid: { "method.count": [1] } }],
  });
  const refused = await inbetween("sweep", changed, "--threads", "1");
  expect(refused.code).toBe(1);
  expect(refused.stderr).toMatch(/was made with another recipe, data or values than the sweep now has/);
}, 240_000);

test("what cannot run is refused before anything is begun", async () => {
  const out = join(folder, "refused");
  for (const [content, message] of [
    [{ out, grid: { "method.lambd": [1] } }, /the run "lambd=1": .*unknown key "method.lambd"; did you mean/],
    [{ out, grid: { "method.lambda": [1, -1] } }, /the run "lambda=-1": .*method.lambda/],
    [{ out, grid: { seed: [] } }, /grid.seed/],
    [{ out, grid: { seed: [1, 1] } }, /two runs are named "seed=1"/],
    [{ out, grd: {} }, /unknown key "grd"; did you mean "grid"\?/],
    [{ grid: {} }, /"out"/],
    [{ out, grid: { seed: ["1"] } }, /"seed" is "1", expected a number/],
  ] as const) {
    expect(() => loadSweep(writeSweep("refused.yaml", content)), JSON.stringify(content)).toThrow(message);
  }
  expect(existsSync(out)).toBe(false);
  const missing = await inbetween("sweep", join(folder, "none.yaml"));
  expect(missing.code).toBe(1);
  expect(missing.stderr).toMatch(/none\.yaml cannot be read as a sweep/);
});
