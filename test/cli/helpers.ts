/** @file Runs the command line as a user does: `bin/inbetween.js` in a process of its own. */

import { type ExecFileException, execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
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

/** Writes a recipe that trains in a second: 16 px, one block of 16 channels. Returns its path. */
export function tinyRecipe(folder: string): string {
  const path = join(folder, "tiny.yaml");
  const lines = [
    "name: tiny",
    "imageSize: 16",
    "encoder: { patchSize: 4, embedDim: 16, depth: 1, numHeads: 2 }",
    "method:",
    "  name: inbetween",
    "  base: { name: vicreg, width: 16, expander: [16, 16] }",
    "  equivariantDim: 8",
    "  decoderWidths: [8, 8, 8, 8]",
    "augmentation: { pipeline: all }",
    "optimizer: { baseLearningRate: 1.0e-3 }",
    "batchSize: 8",
    "steps: 4",
    "log: { every: 1, pictures: 1, probes: 0 }",
  ];
  writeFileSync(path, `${lines.join("\n")}\n`);
  return path;
}
