/** @file Temporary folders, small disks and lowered privileges: the places where writing fails. */

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { HostTensor } from "#src/weights/index.js";

/** A folder that is gone after the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "inbetween-training-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Mounts a file system of `size` bytes in memory for the test; undefined where this process may not mount. */
export function smallDisk(size: number): string | undefined {
  const folder = temporaryFolder();
  const { status } = spawnSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "tmpfs", folder]);
  if (status !== 0) return undefined;
  onTestFinished(() => {
    spawnSync("umount", [folder]);
  });
  return folder;
}

export function makeReadOnly(disk: string): void {
  const { status, stderr } = spawnSync("mount", ["-o", "remount,ro", disk], { encoding: "utf8" });
  if (status !== 0) throw new Error(stderr);
}

/** The user "nobody", whom file permissions concern, unlike root. */
const NOBODY = 65534;

/** Runs `work` as a user whom file permissions concern. */
export function unprivileged<T>(work: () => T): T {
  if (process.geteuid?.() !== 0) return work();
  process.seteuid?.(NOBODY);
  try {
    return work();
  } finally {
    process.seteuid?.(0);
  }
}

/** As `unprivileged`, until the promise is settled. */
export async function unprivilegedAsync<T>(work: () => Promise<T>): Promise<T> {
  if (process.geteuid?.() !== 0) return work();
  process.seteuid?.(NOBODY);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
  }
}

/** `count` float32 values, all of them `value`. */
export function filled(count: number, value: number): HostTensor {
  return { dtype: "float32", shape: [count], data: new Float32Array(count).fill(value) };
}

/** What `work` throws. */
export function thrown(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}
