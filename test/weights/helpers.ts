/** @file Temporary folders, and the values of stored tensors for comparison. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { onTestFinished } from "vitest";
import type { HostTensor } from "#src/weights/index.js";

export const fixtures = resolve(import.meta.dirname, "../fixtures/weights");

/** A folder that is gone after the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "inbetween-weights-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A tensor's storage, byte by byte. */
export function bytes({ data }: HostTensor): Buffer {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}
