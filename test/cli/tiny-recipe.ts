/** @file The tiny configuration as a recipe file, and folders of images, for commands. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { tinySource } from "../training/tiny.js";

/** Writes a recipe (JSON is YAML) and returns its path. */
export function writeRecipe(
  folder: string,
  changes: Readonly<Record<string, unknown>> = {},
  name = "tiny.yaml",
): string {
  const path = join(folder, name);
  writeFileSync(path, JSON.stringify(tinySource(changes), null, 2));
  return path;
}
