/** @file A run folder is begun, continued and replaced only when that is what was asked for. */

import { spawn } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { hashJson } from "#src/training/hash-json.js";
import { checkStartOptions, RunFolder, RunFolderError, readRunRecord } from "#src/training/run-folder.js";
import { makeReadOnly, smallDisk, temporaryFolder, thrown, unprivileged } from "./helpers.js";

const record = {
  recipe: { name: "cifar", hash: "abc" },
  config: { batchSize: 256, encoder: { patchSize: 4 } },
};

function refused(work: () => unknown, message: RegExp): void {
  const error = thrown(work);
  expect(error).toBeInstanceOf(RunFolderError);
  expect((error as Error).message).toMatch(message);
}

test("a run folder is laid out, released, and continued with what it was begun with", () => {
  const path = join(temporaryFolder(), "runs/new");
  const run = RunFolder.create(path, record);
  expect(readdirSync(path).sort()).toEqual([
    "checkpoints",
    "config.json",
    "dumps",
    "export",
    "pictures",
    "report",
    "run.lock",
  ]);
  expect(run.metricsFile).toBe(join(path, "metrics.jsonl"));
  expect(run.skippedFile).toBe(join(path, "skipped.txt"));
  run.release();
  run.release();
  expect(existsSync(join(path, "run.lock"))).toBe(false);
  expect(JSON.parse(readFileSync(join(path, "config.json"), "utf8"))).toMatchObject(record);
  expect(readRunRecord(path)).toEqual(record);
  const again = RunFolder.open(path);
  expect(again.record).toEqual(record);
  again.release();
});

test("an empty folder will do, and one where a start was interrupted", () => {
  const path = temporaryFolder();
  RunFolder.create(path, record).release();
  const interrupted = temporaryFolder();
  writeFileSync(join(interrupted, "config.json.00aa11bb.tmp"), "{");
  RunFolder.create(interrupted, record).release();
  expect(existsSync(join(interrupted, "config.json.00aa11bb.tmp"))).toBe(false);
});

test("a folder that holds a run is continued or replaced on demand only", () => {
  const path = temporaryFolder();
  const outside = temporaryFolder();
  writeFileSync(join(outside, "precious"), "");
  const first = RunFolder.create(path, record);
  writeFileSync(first.metricsFile, "{}\n");
  writeFileSync(join(first.checkpoints, "file"), "");
  symlinkSync(outside, join(path, "link"));
  first.release();
  refused(
    () => RunFolder.create(path, record),
    /already holds a run\. Continue it with --resume, .* with --overwrite/,
  );
  expect(existsSync(first.metricsFile)).toBe(true);
  const other = { recipe: { name: "other", hash: "def" }, config: {} };
  const second = RunFolder.create(path, other, { overwrite: true });
  expect(readRunRecord(path)).toEqual(other);
  expect(readdirSync(path)).not.toContain("metrics.jsonl");
  expect(readdirSync(path)).not.toContain("link");
  expect(readdirSync(second.checkpoints)).toEqual([]);
  expect(readdirSync(outside)).toEqual(["precious"]);
  second.release();
});

test("what is no run folder is never deleted, resumed or written to", () => {
  const photos = temporaryFolder();
  writeFileSync(join(photos, "a.jpg"), "");
  refused(
    () => RunFolder.create(photos, record),
    /is not empty and holds no run .* Choose a new or empty folder/,
  );
  refused(() => RunFolder.create(photos, record, { overwrite: true }), /holds no run .*Nothing was deleted/);
  refused(() => RunFolder.open(photos), /is no run folder: it has no config\.json/);
  expect(readdirSync(photos)).toEqual(["a.jpg"]);

  // Many programs have a config.json.
  const project = temporaryFolder();
  writeFileSync(join(project, "config.json"), `{"format":"another/1"}`);
  refused(
    () => RunFolder.create(project, record, { overwrite: true }),
    /not the config\.json of a run.*Nothing was/,
  );
  writeFileSync(join(project, "config.json"), `{"format":`);
  refused(
    () => RunFolder.create(project, record, { overwrite: true }),
    /config\.json cannot be read.*Nothing was/,
  );
  refused(() => RunFolder.open(project), /config\.json cannot be read/);
  expect(readdirSync(project)).toEqual(["config.json"]);

  const file = join(photos, "a.jpg");
  refused(() => RunFolder.create(file, record, { overwrite: true }), /is a file, expected a folder/);
  refused(() => RunFolder.create(join(file, "run"), record), /a part of the path is a file/);
  refused(() => RunFolder.open(join(photos, "absent")), /does not exist: there is no run to resume/);
});

test("the ways to start exclude each other", () => {
  checkStartOptions("runs/a", {});
  checkStartOptions("runs/a", { resume: true, overwrite: false });
  checkStartOptions("runs/a", { initFrom: "runs/b" });
  refused(
    () => checkStartOptions("runs/a", { resume: true, overwrite: true }),
    /^--resume and --overwrite exclude each other, expected at most one of them/,
  );
  refused(
    () => checkStartOptions("runs/a", { initFrom: "runs/b", overwrite: true }),
    /^--init-from and --overwrite/,
  );
  refused(
    () => checkStartOptions("runs/a", { initFrom: "runs/b", resume: true }),
    /^--resume and --init-from/,
  );
});

test("a running process keeps others out, and a dead one does not", async () => {
  const path = temporaryFolder();
  const run = RunFolder.create(path, record);
  refused(
    () => RunFolder.open(path),
    new RegExp(`run\\.lock is held by process ${process.pid} on ${hostname()}`),
  );
  refused(() => RunFolder.create(path, record, { overwrite: true }), /is held by process/);
  run.release();

  const code = `import { RunFolder } from "#src/training/run-folder.js";
    RunFolder.open(process.argv[1]); console.log("open"); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", code, path], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise((done) => child.on("close", done));
  await new Promise((done) => child.stdout.on("data", done));
  refused(() => RunFolder.open(path), new RegExp(`held by process ${child.pid} on .*Wait for it or stop it`));
  child.kill("SIGKILL");
  await ended;
  RunFolder.open(path).release();
  expect(readdirSync(path).filter((name) => name.includes("lock"))).toEqual([]);
});

test("locks of a reused process number, of another machine, and unreadable ones", ({ skip }) => {
  const path = temporaryFolder();
  const lock = join(path, "run.lock");
  RunFolder.create(path, record).release();
  const owner = {
    pid: process.pid,
    host: hostname(),
    started: "another boot/1",
    since: "2026-01-01T00:00:00.000Z",
  };
  writeFileSync(lock, JSON.stringify({ ...owner, host: "elsewhere" }));
  refused(
    () => RunFolder.open(path),
    /process \d+ on elsewhere, since 2026-.* no longer running, delete this file/,
  );
  writeFileSync(lock, "");
  refused(() => RunFolder.open(path), /was just created by another process/);
  if (!existsSync("/proc/self/stat")) skip("the system does not say when a process started");
  writeFileSync(lock, JSON.stringify(owner));
  const run = RunFolder.open(path);
  // Another process's lock is not this one's to remove.
  writeFileSync(lock, "another's");
  run.release();
  expect(readFileSync(lock, "utf8")).toBe("another's");
  rmSync(lock);
});

test("a folder that cannot be written is named", ({ skip }) => {
  if (process.platform === "win32") skip("Windows has other permissions");
  const parent = temporaryFolder();
  chmodSync(parent, 0o555);
  refused(
    () => unprivileged(() => RunFolder.create(join(parent, "run"), record)),
    /run cannot be used for a run: permission denied \(EACCES\)\. Choose a folder that can be written with --out/,
  );
  chmodSync(parent, 0o755);
  const path = join(parent, "run");
  RunFolder.create(path, record).release();
  chmodSync(path, 0o555);
  refused(() => unprivileged(() => RunFolder.open(path)), /permission denied/);
  refused(() => unprivileged(() => RunFolder.create(path, record, { overwrite: true })), /permission denied/);
  chmodSync(path, 0o755);
});

test("a read-only disk and a full one are named, and a failed start leaves no lock", ({ skip }) => {
  const disk = smallDisk(64 << 10) ?? skip("this process may not mount a small disk");
  mkdirSync(join(disk, "a"));
  const big = { ...record, config: { text: "x".repeat(200_000) } };
  refused(() => RunFolder.create(join(disk, "a"), big), /no space left on the device \(ENOSPC\)/);
  expect(readdirSync(join(disk, "a"))).toEqual([]);
  makeReadOnly(disk);
  for (const path of ["a", "b", "c/d"]) {
    refused(() => RunFolder.create(join(disk, path), record), /the file system is read-only \(EROFS\)/);
  }
});

test("the hash of a configuration does not depend on the order of its keys", () => {
  // printf '{"a":[1,{"b":null,"c":"ü"}],"z":0.1}' | sha256sum
  const expected = "8b67b078dc99ee71bcf8511b621a14c8adc6e528ac2429e107f638f4af4233b9";
  expect(hashJson({ z: 0.1, a: [1, { c: "ü", b: null }] })).toBe(expected);
  expect(hashJson({ a: [1, { b: null, c: "ü" }], z: 0.1 })).toBe(expected);
  expect(hashJson({ a: [{ b: null, c: "ü" }, 1], z: 0.1 })).not.toBe(expected);
});
