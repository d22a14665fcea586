/** @file Runs the command line as a user does: `bin/inbetween.js` in a process of its own. */

import { type ExecFileException, execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll } from "vitest";

export const launcher = fileURLToPath(new URL("../../bin/inbetween.js", import.meta.url));

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end. */
export function inbetween(...args: readonly string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [launcher, ...args],
      { maxBuffer: 2 ** 26 },
      (error: ExecFileException | null, stdout, stderr) => {
        resolve({
          code: error === null ? 0 : typeof error.code === "number" ? error.code : -1,
          stdout,
          stderr,
        });
      },
    );
  });
}

/** The JSON object on the last line of stdout of a command that must succeed. */
export async function inbetweenJson(...args: readonly string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await inbetween(...args, "--json");
  if (code !== 0) throw new Error(`exit code ${code}: ${stderr}`);
  return JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "") as Record<string, unknown>;
}

/** A folder that is removed after the tests of the file. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "inbetween-cli-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
