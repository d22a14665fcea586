/**
 * @file Fails when a source file has more than 800 lines. (More than 400 is a smell that Biome warns of; one linter
 * rule cannot have two limits.)
 *
 *     node scripts/check-file-length.mjs [FOLDER]
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const LIMIT = 800;
const FOLDERS = ["bench", "bin", "scripts", "src", "studio", "test"];
const SKIPPED = new Set(["node_modules", "dist", "fixtures"]);

/** Source files under `folder`. */
function* sources(folder) {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      if (!SKIPPED.has(entry.name)) yield* sources(path);
    } else if (/\.[cm]?[jt]sx?$/.test(entry.name)) yield path;
  }
}

const root = process.argv[2] ?? ".";
let checked = 0;
for (const folder of FOLDERS.map((name) => join(root, name)).filter((path) => existsSync(path))) {
  for (const path of sources(folder)) {
    checked++;
    const lines = readFileSync(path, "utf8").split("\n").length - 1;
    if (lines > LIMIT) {
      console.error(
        `${path} has ${lines} lines, at most ${LIMIT} are allowed: split it, one concept per file.`,
      );
      process.exitCode = 1;
    }
  }
}
if (!process.exitCode) console.log(`${checked} files, none longer than ${LIMIT} lines.`);
