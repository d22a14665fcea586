/**
 * @file Runs every gate of the repository, then every test, and closes with one line: "N passed, N failed", where each
 * gate counts as one test. A failing gate does not stop the ones after it. Exit code 0 only when all passed.
 *
 *     node scripts/test.mjs              everything
 *     node scripts/test.mjs graph nn     all gates, and the tests whose path contains one of the words
 *     node scripts/test.mjs --gates      the gates alone
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "./ensure.mjs";
import { countTests } from "./test-report.mjs";

process.chdir(resolve(dirname(fileURLToPath(import.meta.url)), ".."));

/** Runs a JavaScript file with Node; true when it succeeded. */
function node(script, ...args) {
  const result = spawnSync(process.execPath, [script, ...args], { stdio: ["ignore", "inherit", "inherit"] });
  if (result.error) console.error(`Could not start ${script}: ${result.error.message}`);
  return result.status === 0;
}

const modules = (path) => join("node_modules", path);

const gates = [
  ["types of src (build)", () => build()],
  ["types of test and bench", () => node(modules("typescript/bin/tsc"), "-p", "test/tsconfig.json")],
  ["format and lint", () => node(modules("@biomejs/biome/bin/biome"), "ci", ".")],
  [
    "import law",
    () =>
      node(
        modules("dependency-cruiser/bin/dependency-cruise.mjs"),
        "--config",
        ".dependency-cruiser.mjs",
        "src",
      ),
  ],
  ["file length", () => node("scripts/check-file-length.mjs")],
];

/** Runs Vitest and counts from its JSON report. */
function runTests(filters) {
  const folder = mkdtempSync(join(tmpdir(), "inbetween-test-"));
  const file = join(folder, "vitest.json");
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${file}`];
  const succeeded = node(modules("vitest/vitest.mjs"), "run", ...reporters, ...filters);
  const report = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : undefined;
  rmSync(folder, { recursive: true, force: true });
  return countTests(report, succeeded);
}

/** Runs `work` under a heading and prints how long it took. */
function stage(name, work) {
  console.log(`\n=== ${name}`);
  const start = performance.now();
  const outcome = work();
  return { outcome, seconds: ((performance.now() - start) / 1000).toFixed(1) };
}

const total = { passed: 0, failed: 0, skipped: 0 };
const args = process.argv.slice(2);

for (const [name, gate] of gates) {
  const { outcome, seconds } = stage(name, gate);
  total[outcome ? "passed" : "failed"]++;
  console.log(`--- ${name}: ${outcome ? "passed" : "FAILED"} (${seconds} s)`);
}

if (!args.includes("--gates")) {
  const { outcome, seconds } = stage("tests", () => runTests(args));
  for (const key of Object.keys(total)) total[key] += outcome[key];
  console.log(
    `--- tests: ${outcome.passed} passed, ${outcome.failed} failed, ${outcome.skipped} skipped (${seconds} s)`,
  );
}

const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : "";
console.log(`\n${total.passed} passed, ${total.failed} failed${skipped}`);
process.exitCode = total.failed > 0 ? 1 : 0;
