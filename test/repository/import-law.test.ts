/** @file The import law bites: each kind of forbidden import fails the checker, and what is allowed passes. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { expect, onTestFinished, test } from "vitest";

const repository = resolve(import.meta.dirname, "../..");

/** Modules of a tree: path to the modules it imports. */
type Tree = Record<string, readonly string[]>;

/**
 * Writes `tree` into a temporary folder (inside the repository, so that real packages resolve), runs the checker there,
 * and returns "file: rule" for each violation.
 */
function violations(tree: Tree): string[] {
  mkdirSync(join(repository, ".cache"), { recursive: true });
  const root = mkdtempSync(join(repository, ".cache", "import-law-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  for (const [path, imports] of Object.entries(tree)) {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    const lines = imports.map((module, i) =>
      module.startsWith("type ")
        ? `import type { T as T${i} } from "${module.slice(5)}";`
        : `import * as m${i} from "${module}"; console.log(m${i});`,
    );
    writeFileSync(join(root, path), [...lines, "export type T = number;", ""].join("\n"));
  }
  const checker = join(repository, "node_modules/dependency-cruiser/bin/dependency-cruise.mjs");
  const config = join(repository, ".dependency-cruiser.mjs");
  const args = [checker, "--config", config, "--output-type", "json", "src"];
  const result = spawnSync(process.execPath, args, { cwd: root, encoding: "utf8", maxBuffer: 2 ** 26 });
  expect(result.stderr).toBe("");
  const report: { summary: { violations: { from: string; rule: { name: string } }[] } } = JSON.parse(
    result.stdout,
  );
  return report.summary.violations.map(({ from, rule }) => `${from}: ${rule.name}`).sort();
}

/** One file of every folder, with every import the law allows between them. */
const lawful: Tree = {
  "src/random.ts": [],
  "src/files.ts": ["node:fs"],
  "src/graph/index.ts": ["./tensor.js", "../random.js", "onnx-buf"],
  "src/graph/tensor.ts": [],
  "src/runtime/index.ts": ["../graph/index.js", "../files.js", "node:worker_threads", "onnxruntime-node"],
  "src/nn/index.ts": ["../graph/index.js", "../random.js"],
  "src/transforms/index.ts": ["../graph/index.js"],
  "src/models/index.ts": ["../graph/index.js", "../nn/index.js"],
  "src/methods/method.ts": [
    "../graph/index.js",
    "../nn/index.js",
    "../models/index.js",
    "../transforms/index.js",
  ],
  "src/methods/vicreg.ts": ["./method.js"],
  "src/methods/inbetween.ts": ["./method.js", "./vicreg.js"],
  "src/pickle/index.ts": ["node:fs"],
  "src/data/index.ts": ["../pickle/index.js", "../files.js", "../random.js", "sharp", "node:path"],
  // Exporting an encoder traces it, and says how its images are normalised.
  "src/weights/index.ts": [
    "../pickle/index.js",
    "../graph/index.js",
    "../nn/index.js",
    "../transforms/index.js",
    "../models/index.js",
    "../files.js",
  ],
  "src/training/index.ts": [
    "../graph/index.js",
    "../runtime/index.js",
    "../nn/index.js",
    "../transforms/index.js",
    "../models/index.js",
    "../methods/method.js",
    "../data/index.js",
    "../weights/index.js",
  ],
  "src/evaluation/index.ts": ["../runtime/index.js", "../models/index.js", "../weights/index.js"],
  "src/reports/index.ts": ["../files.js"],
  "src/cli/main.ts": ["../training/index.js", "../evaluation/index.js", "../reports/index.js", "commander"],
  "bench/step.ts": [],
};

test("the imports that the law allows pass", () => {
  expect(violations(lawful)).toEqual([]);
});

test("each kind of forbidden import is named", () => {
  const unlawful: Tree = {
    "src/graph/a.ts": ["../nn/index.js"],
    "src/graph/b.ts": ["type ../runtime/index.js"],
    "src/graph/c.ts": ["../files.js"],
    "src/runtime/a.ts": ["../nn/index.js"],
    "src/nn/a.ts": ["../runtime/index.js"],
    "src/transforms/a.ts": ["../nn/index.js"],
    "src/models/a.ts": ["../transforms/index.js"],
    "src/methods/a.ts": ["../runtime/index.js"],
    "src/data/a.ts": ["../graph/index.js"],
    "src/models/c.ts": ["../pickle/index.js"],
    "src/weights/a.ts": ["../runtime/index.js"],
    "src/training/a.ts": ["../evaluation/index.js"],
    "src/evaluation/a.ts": ["../training/index.js"],
    "src/reports/a.ts": ["../data/index.js"],
    "src/cli/a.ts": ["../../bench/step.js"],
    "src/random.ts": ["node:crypto"],
    "src/files.ts": ["./random.js"],
    "src/nn/b.ts": ["node:fs"],
    "src/models/b.ts": ["path"],
    "src/training/b.ts": ["onnxruntime-node"],
    "src/weights/b.ts": ["sharp"],
    "src/methods/simclr.ts": ["./vicreg.js"],
    "src/graph/cycle-a.ts": ["./cycle-b.js"],
    "src/graph/cycle-b.ts": ["./cycle-a.js"],
    "src/runtime/b.ts": ["./absent.js"],
    "src/cli/b.ts": ["fast-check"],
    "src/misc/a.ts": ["../graph/index.js"],
  };
  expect(violations({ ...lawful, ...unlawful })).toEqual(
    [
      "src/graph/a.ts: graph-imports",
      "src/graph/b.ts: graph-imports",
      "src/graph/c.ts: graph-imports",
      "src/runtime/a.ts: runtime-imports",
      "src/nn/a.ts: nn-imports",
      "src/transforms/a.ts: transforms-imports",
      "src/models/a.ts: models-imports",
      "src/methods/a.ts: methods-imports",
      "src/data/a.ts: data-imports",
      "src/weights/a.ts: weights-imports",
      "src/training/a.ts: training-imports",
      "src/evaluation/a.ts: evaluation-imports",
      "src/reports/a.ts: reports-imports",
      "src/cli/a.ts: cli-imports",
      "src/random.ts: leaves-import-nothing",
      "src/files.ts: files-is-a-leaf",
      "src/nn/b.ts: no-node-in-browser-folders",
      "src/models/c.ts: models-imports",
      "src/models/b.ts: no-node-in-browser-folders",
      "src/training/b.ts: onnxruntime-in-runtime-only",
      "src/weights/b.ts: sharp-in-data-only",
      "src/methods/simclr.ts: methods-stand-alone",
      "src/graph/cycle-a.ts: no-cycles",
      "src/runtime/b.ts: no-unresolved",
      "src/cli/b.ts: runtime-dependencies-only",
      "src/misc/a.ts: known-places",
    ].sort(),
  );
});
