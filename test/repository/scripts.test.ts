/** @file The scripts behind `npm start` and `npm test`: when they install and build, and what they count. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { isAtLeast, needsBuild, whyInstall } from "../../scripts/ensure.mjs";
import { countTests } from "../../scripts/test-report.mjs";

const repository = resolve(import.meta.dirname, "../..");

/** A temporary folder with these files. */
function folderWith(files: Record<string, string>): string {
  const root = mkdtempSync(join(tmpdir(), "inbetween-scripts-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

test("versions compare by number, part by part", () => {
  expect(isAtLeast("20.19.0", "20.19")).toBe(true);
  expect(isAtLeast("20.19", "20.19.1")).toBe(false);
  expect(isAtLeast("20.9.0", "20.19")).toBe(false);
  expect(isAtLeast("22.0.0", "20.19")).toBe(true);
  expect(isAtLeast("18.20.8", "20.19")).toBe(false);
});

test("dependencies are installed when they are absent, incomplete or of another version, and only then", () => {
  const lock = (packages: object) => JSON.stringify({ packages });
  const wanted = {
    "": { name: "inbetween" },
    "node_modules/a": { version: "1.0.0" },
    "node_modules/other-platform": { version: "1.0.0", optional: true },
  };
  const why = (installed?: object) =>
    whyInstall(
      folderWith({
        "package-lock.json": lock(wanted),
        ...(installed && { "node_modules/.package-lock.json": lock(installed) }),
      }),
    );
  expect(why()).toMatch(/no dependencies/);
  expect(why({})).toMatch("node_modules/a is missing");
  expect(why({ "node_modules/a": { version: "1.0.1" } })).toMatch(
    /a is 1\.0\.1, package-lock\.json wants 1\.0\.0/,
  );
  expect(why({ "node_modules/a": { version: "1.0.0" } })).toBeUndefined();
});

test("a build is needed when there is none, or when a source is newer", () => {
  const root = folderWith({ "src/graph/a.ts": "", "tsconfig.json": "{}", "package-lock.json": "{}" });
  const touch = (path: string, seconds: number) => utimesSync(join(root, path), seconds, seconds);
  expect(needsBuild(root)).toBe(true);
  mkdirSync(join(root, "dist"));
  writeFileSync(join(root, "dist/.built"), "");
  for (const path of ["src/graph/a.ts", "src/graph", "src", "tsconfig.json", "package-lock.json"])
    touch(path, 1000);
  touch("dist/.built", 2000);
  expect(needsBuild(root)).toBe(false);
  for (const path of ["src/graph/a.ts", "src/graph", "tsconfig.json", "package-lock.json"]) {
    touch(path, 3000);
    expect(needsBuild(root), path).toBe(true);
    touch(path, 1000);
  }
});

test("the installed and built checkout needs nothing", () => {
  expect(whyInstall(repository)).toBeUndefined();
});

test("the lock file names every platform's optional packages, without which npm ci refuses it", () => {
  const lock: { packages: Record<string, { optionalDependencies?: Record<string, string> }> } = JSON.parse(
    readFileSync(join(repository, "package-lock.json"), "utf8"),
  );
  const names = new Set(
    Object.keys(lock.packages).map((path) => path.slice(path.lastIndexOf("node_modules/") + 13)),
  );
  const wanted = Object.values(lock.packages).flatMap((each) => Object.keys(each.optionalDependencies ?? {}));
  expect(wanted.length).toBeGreaterThan(0);
  expect(wanted.filter((name) => !names.has(name))).toEqual([]);
});

test("failures that are not tests are counted as failures", () => {
  const file = (status: string, ...tests: string[]) => ({
    status,
    assertionResults: tests.map((each) => ({ status: each })),
  });
  const mixed = {
    testResults: [file("failed", "passed", "failed"), file("passed", "passed", "pending", "todo")],
  };
  expect(countTests(mixed, false)).toEqual({ passed: 2, failed: 1, skipped: 2 });
  const doesNotLoad = { testResults: [file("failed"), file("passed", "passed")] };
  expect(countTests(doesNotLoad, false)).toEqual({ passed: 1, failed: 1, skipped: 0 });
  const unhandledRejection = { testResults: [file("passed", "passed")] };
  expect(countTests(unhandledRejection, false)).toEqual({ passed: 1, failed: 1, skipped: 0 });
  expect(countTests(unhandledRejection, true)).toEqual({ passed: 1, failed: 0, skipped: 0 });
  expect(countTests(undefined, false)).toEqual({ passed: 0, failed: 1, skipped: 0 });
});

test("a file of more than 800 lines fails", () => {
  const check = (lines: number) =>
    spawnSync(
      process.execPath,
      [
        join(repository, "scripts/check-file-length.mjs"),
        folderWith({ "src/graph/long.ts": "\n".repeat(lines) }),
      ],
      { encoding: "utf8" },
    );
  expect(check(800).status).toBe(0);
  const failed = check(801);
  expect(failed.status).toBe(1);
  expect(failed.stderr).toMatch(/long\.ts has 801 lines, at most 800/);
});

test("the linter refuses any, non-null assertions, floating promises, and Node's globals in browser folders", () => {
  const source = [
    "export async function load(): Promise<number> { return 1; }",
    "export function f(x: any, y: number | undefined) {",
    "  load();",
    "  return [x, y!, Buffer.alloc(1), process.pid];",
    "}",
  ].join("\n");
  const root = folderWith({
    "biome.json": readFileSync(join(repository, "biome.json"), "utf8"),
    ".gitignore": "dist/\n",
    "src/nn/probe.ts": source,
  });
  const result = spawnSync(
    process.execPath,
    [join(repository, "node_modules/@biomejs/biome/bin/biome"), "lint", "--colors=off"],
    { cwd: root, encoding: "utf8" },
  );
  expect(result.status).toBe(1);
  for (const rule of ["noExplicitAny", "noNonNullAssertion", "noFloatingPromises", "noRestrictedGlobals"]) {
    expect(result.stderr).toContain(rule);
  }
});
