/** @file Whatever happens while a checkpoint is saved, the last good one is there, and what is wrong is named. */

import { spawn, spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { type Checkpoint, CheckpointError, newestCheckpoint } from "#src/training/checkpoint.js";
import { CheckpointStore } from "#src/training/checkpoint-store.js";
import {
  filled,
  makeReadOnly,
  smallDisk,
  temporaryFolder,
  unprivileged,
  unprivilegedAsync,
} from "./helpers.js";

function open(folder: string, options: { keepLast?: number; keepEvery?: number } = {}) {
  const warnings: string[] = [];
  const warn = (message: string) => warnings.push(message);
  return { store: new CheckpointStore(folder, { keepLast: 10, warn, ...options }), warnings };
}

function tensors(value: number, count = 100) {
  return new Map([["weight", filled(count, value)]]);
}

async function weightOf(checkpoint: Checkpoint | undefined): Promise<number | undefined> {
  if (!checkpoint) return undefined;
  await using file = await checkpoint.open();
  const { data } = await file.read("weight");
  return Number(data[data.length - 1]);
}

test("the newest checkpoint gives back what was saved", async () => {
  const folder = join(temporaryFolder(), "checkpoints");
  const { store, warnings } = open(folder);
  expect(await store.newest()).toBeUndefined();
  const state = { epoch: 1.5, schedule: { rates: [1e-3, 0.1 + 0.2] }, position: null, name: "ü\u0000" };
  await store.save(7, tensors(7), { epoch: 0 });
  expect(await store.save(1234, tensors(0.1), state)).toBe(join(folder, "step-00001234"));
  const newest = await store.newest();
  expect(newest?.step).toBe(1234);
  expect(newest?.state).toEqual(state);
  expect(await weightOf(newest)).toBe(Math.fround(0.1));
  expect(readFileSync(join(folder, "latest"), "utf8")).toBe("step-00001234\n");
  expect(readdirSync(folder).sort()).toEqual(["latest", "step-00000007", "step-00001234"]);
  expect(readdirSync(join(folder, "step-00001234")).sort()).toEqual(["state.json", "state.safetensors"]);
  const { weights } = JSON.parse(readFileSync(join(folder, "step-00001234/state.json"), "utf8"));
  expect(weights.tensors).toEqual([{ name: "weight", dtype: "float32", shape: [100], byteLength: 400 }]);
  const sum = spawnSync("sha256sum", [join(folder, "step-00001234/state.safetensors")], { encoding: "utf8" });
  if (sum.status === 0) expect(sum.stdout.split(" ")[0]).toBe(weights.sha256);
  expect(warnings).toEqual([]);
});

test("old checkpoints are removed but for the last few and the multiples that stay", async () => {
  const folder = temporaryFolder();
  const { store } = open(folder, { keepLast: 2, keepEvery: 40 });
  for (let step = 10; step <= 100; step += 10) await store.save(step, tensors(step), {});
  const names = ["00000040", "00000080", "00000090", "00000100"].map((s) => `step-${s}`);
  expect(readdirSync(folder).sort()).toEqual(["latest", ...names]);
});

test("a step saved again is replaced, and steps after it are of a course that was left", async () => {
  const folder = temporaryFolder();
  const { store } = open(folder);
  for (const step of [1, 2, 3]) await store.save(step, tensors(step), {});
  await store.save(2, tensors(22), {});
  expect(await weightOf(await store.newest())).toBe(22);
  expect(readdirSync(folder).sort()).toEqual(["latest", "step-00000001", "step-00000002"]);
});

test("values that JSON would alter and settings that keep nothing are refused", async () => {
  const folder = temporaryFolder();
  const { store } = open(folder);
  await expect(store.save(1, tensors(1), { loss: { total: Number.NaN } })).rejects.toThrow(
    /step-00000001: "total" is NaN, expected a finite number/,
  );
  await expect(store.save(1.5, tensors(1), {})).rejects.toThrow(/step is 1\.5, expected a whole number/);
  expect(readdirSync(folder)).toEqual([]);
  expect(() => open(folder, { keepLast: 0 })).toThrow(/keepLast is 0, expected a whole number from 1/);
});

/** Ways to damage a checkpoint, and what the warning says. */
const damages: [string, (path: string) => void, RegExp][] = [
  ["an empty folder", (p) => emptied(p), /a file is missing: .*\(ENOENT\) \(state\.json\)/],
  ["no tensors", (p) => rmSync(join(p, "state.safetensors")), /a file is missing: .* \(state\.safetensors\)/],
  ["an empty state", (p) => truncateSync(join(p, "state.json"), 0), /state\.json is no JSON/],
  ["half a state", (p) => truncateSync(join(p, "state.json"), 60), /state\.json is no JSON/],
  [
    "a state of zeros",
    (p) => writeFileSync(join(p, "state.json"), Buffer.alloc(300)),
    /state\.json is no JSON/,
  ],
  ["a strange state", (p) => writeFileSync(join(p, "state.json"), "{}"), /state\.json: .*formatVersion/],
  [
    "tensors cut short",
    (p) => truncateSync(join(p, "state.safetensors"), 300),
    /has 300 bytes, expected 472/,
  ],
  [
    "a changed bit",
    (p) => flipBit(join(p, "state.safetensors")),
    /content of state\.safetensors has changed/,
  ],
  ["another step's files", (p) => copied(p), /state\.json is of step 1, expected that of the folder's name/],
  ["a folder for a file", (p) => folderFor(join(p, "state.json")), /it is a folder \(EISDIR\)/],
];

function emptied(path: string): void {
  rmSync(path, { recursive: true });
  mkdirSync(path);
}

function flipBit(path: string): void {
  const bytes = readFileSync(path);
  bytes[200] = (bytes[200] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

function copied(path: string): void {
  for (const file of readdirSync(path)) copyFileSync(join(path, "../step-00000001", file), join(path, file));
}

function folderFor(path: string): void {
  rmSync(path);
  mkdirSync(path);
}

test.each(damages)("resuming passes over a checkpoint with %s, and says so", async (_, damage, message) => {
  const folder = temporaryFolder();
  const { store, warnings } = open(folder, { keepLast: 3 });
  await store.save(1, tensors(1), {});
  await store.save(2, tensors(2), {});
  damage(join(folder, "step-00000002"));
  const newest = await store.newest();
  expect(newest?.step).toBe(1);
  expect(await weightOf(newest)).toBe(1);
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toMatch(message);
  expect(warnings[0]).toMatch(/step-00000002 is damaged: .*\. Using step-00000001 instead\.$/);
  await store.save(2, tensors(22), {});
  expect(await weightOf(await store.newest())).toBe(22);
});

test("no whole checkpoint among several is an error that names what is wrong with each", async () => {
  const folder = temporaryFolder();
  const { store } = open(folder);
  for (const step of [1, 2]) await store.save(step, tensors(step), {});
  rmSync(join(folder, "step-00000001/state.json"));
  truncateSync(join(folder, "step-00000002/state.safetensors"), 10);
  await expect(store.newest()).rejects.toThrow(
    /No checkpoint in .* is whole: .*step-00000002 is damaged: .* 10 bytes.*step-00000001 is damaged.*--overwrite/,
  );
});

test("what a killed process left unfinished is cleared away, and a checkpoint moved aside comes back", async () => {
  const folder = temporaryFolder();
  const { store } = open(folder);
  for (const step of [1, 2]) await store.save(step, tensors(step), {});
  cpSync(join(folder, "step-00000002"), join(folder, "step-00000003.tmp"), { recursive: true });
  cpSync(join(folder, "step-00000001"), join(folder, "step-00000001.replaced.tmp"), { recursive: true });
  renameSync(join(folder, "step-00000002"), join(folder, "step-00000002.replaced.tmp"));
  writeFileSync(join(folder, "latest.0a0b0c0d.tmp"), "step");
  expect(await weightOf(await open(folder).store.newest())).toBe(2);
  expect(readdirSync(folder).sort()).toEqual(["latest", "step-00000001", "step-00000002"]);
});

test("a process killed at any moment leaves the last checkpoint it reported, or a later one", async () => {
  const folder = temporaryFolder();
  const script = resolve(import.meta.dirname, "save-checkpoints.mjs");
  let unfinished = 0;
  for (let kill = 0; kill < 12; kill++) {
    const child = spawn(process.execPath, [script, folder, String(8 << 20)], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    let errors = "";
    const started = new Promise((done) => child.stdout.on("data", done));
    child.stdout.on("data", (data) => (output += data));
    child.stderr.on("data", (data) => (errors += data));
    const ended = new Promise((done) => child.on("close", done));
    await Promise.race([started, ended]);
    const delay = Math.random() * 120;
    await new Promise((done) => setTimeout(done, delay));
    child.kill("SIGKILL");
    await ended;
    expect(errors).toBe("");
    const reported = Number(output.trim().split("\n").at(-1));
    unfinished += readdirSync(folder).some((name) => name.endsWith(".tmp")) ? 1 : 0;

    const { store, warnings } = open(folder);
    const newest = await store.newest();
    expect(warnings).toEqual([]);
    expect(newest?.step).toBeGreaterThanOrEqual(reported);
    const step = newest?.step ?? 0;
    expect(newest?.state).toEqual({ step, text: String(step).repeat(1000) });
    await using file = await (newest as Checkpoint).open();
    expect(file.names).toHaveLength(4);
    for (const { data } of (await file.readAll()).values()) expect(data.every((v) => v === step)).toBe(true);
  }
  // Else the kills would not have hit the writing.
  expect(unfinished).toBeGreaterThan(0);
});

async function failure(work: Promise<unknown>): Promise<CheckpointError> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(CheckpointError);
  return error as CheckpointError;
}

test("a full disk leaves the last good checkpoint, and saving goes on when there is space", async ({
  skip,
}) => {
  const disk = smallDisk(1 << 20) ?? skip("this process may not mount a small disk");
  const folder = join(disk, "checkpoints");
  const { store, warnings } = open(folder);
  await store.save(1, tensors(1, 50_000), {});
  const error = await failure(store.save(2, tensors(2, 500_000), {}));
  expect(error.message).toMatch(
    /step-00000002 could not be written: no space left on the device \(ENOSPC\)\. It takes 2\.0 MB, and 0\.8 MB are free\. Free some space or keep fewer checkpoints, then continue with --resume: the last checkpoint is step-00000001\.$/,
  );
  expect(readdirSync(folder).sort()).toEqual(["latest", "step-00000001"]);
  expect(await weightOf(await store.newest())).toBe(1);
  await store.save(3, tensors(3, 50_000), {});
  // Every amount of free space around what it takes: the tensors fit and the state does not, or the rename does not.
  const outcomes = { saved: 0, failed: 0 };
  const page = 4096;
  for (let pages = 44; pages < 58; pages++) {
    const { bavail, bsize } = statfsSync(disk);
    const padding = join(disk, "padding");
    writeFileSync(padding, Buffer.alloc(bavail * bsize - pages * page));
    const saved = await store.save(4, tensors(4, 50_000), { text: "x".repeat(6000) }).then(
      () => true,
      (reason: unknown) => {
        expect(reason).toBeInstanceOf(CheckpointError);
        return false;
      },
    );
    outcomes[saved ? "saved" : "failed"]++;
    expect(await weightOf(await store.newest())).toBe(saved ? 4 : 3);
    expect(readdirSync(folder).filter((name) => name.endsWith(".tmp"))).toEqual([]);
    rmSync(padding);
    rmSync(join(folder, "step-00000004"), { recursive: true, force: true });
  }
  expect(outcomes.saved).toBeGreaterThan(2);
  expect(outcomes.failed).toBeGreaterThan(2);
  await store.save(5, tensors(5, 50_000), {});
  expect(await weightOf(await store.newest())).toBe(5);
  expect(warnings.filter((warning) => !/latest could not be updated: no space left/.test(warning))).toEqual(
    [],
  );
});

test("a file that outgrows the process's limit leaves the last good checkpoint", async ({ skip }) => {
  if (process.platform === "win32") skip("there is no such limit on Windows");
  const folder = temporaryFolder();
  const { store } = open(folder);
  await store.save(1, tensors(1), {});
  const script = resolve(import.meta.dirname, "save-checkpoints.mjs");
  const command = `ulimit -f 1000 && exec "$0" "$@"`;
  const args = ["-c", command, process.execPath, script, folder, String(8 << 20)];
  const { status, stderr } = spawnSync("sh", args, { encoding: "utf8" });
  expect(status).toBe(1);
  expect(stderr).toMatch(
    /CheckpointError: The checkpoint .*step-00000002 could not be written: the file is larger .*\(EFBIG\)/,
  );
  expect(readdirSync(folder).sort()).toEqual(["latest", "step-00000001"]);
  expect(await weightOf(await store.newest())).toBe(1);
});

test("a disk that became read-only is named, and still read", async ({ skip }) => {
  const disk = smallDisk(1 << 20) ?? skip("this process may not mount a small disk");
  const folder = join(disk, "checkpoints");
  const { store } = open(folder);
  await store.save(1, tensors(1), {});
  makeReadOnly(disk);
  expect((await failure(store.save(2, tensors(2), {}))).message).toMatch(
    /step-00000002 could not be written: the file system is read-only \(EROFS\)\. Make the folder writable, then continue with --resume: the last checkpoint is step-00000001\.$/,
  );
  expect(await weightOf(await newestCheckpoint(folder, () => {}))).toBe(1);
  expect(() => open(join(disk, "other"))).toThrow(/other cannot be written: the file system is read-only/);
});

test("permissions that forbid writing or reading are named, and no good checkpoint is passed over", async ({
  skip,
}) => {
  if (process.platform === "win32") skip("Windows has other permissions");
  const parent = temporaryFolder();
  chmodSync(parent, 0o755);
  const folder = join(parent, "checkpoints");
  const { store } = open(folder);
  for (const step of [1, 2]) await store.save(step, tensors(step), {});
  chmodSync(folder, 0o555);
  chmodSync(join(folder, "step-00000002/state.json"), 0o000);
  expect(() => unprivileged(() => open(join(parent, "checkpoints/x")))).toThrow(
    /permission denied \(EACCES\)/,
  );
  const saving = await unprivilegedAsync(() => failure(store.save(3, tensors(3), {})));
  expect(saving.message).toMatch(/step-00000003 could not be written: permission denied \(EACCES\)/);
  const reading = await unprivilegedAsync(() => failure(store.newest()));
  expect(reading.message).toMatch(
    /step-00000002 cannot be read: permission denied \(EACCES\)\. Make it readable/,
  );
  expect(existsSync(join(folder, "step-00000003"))).toBe(false);
  chmodSync(folder, 0o755);
});
