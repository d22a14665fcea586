/**
 * @file Assembles src/data/resample-kernel.wat into src/data/resample-kernel-code.ts, which is committed: run it after a
 * change of the former. A test fails where the two differ.
 *
 *     node scripts/assemble.mjs
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import wabt from "wabt";

const path = fileURLToPath(new URL("../src/data/resample-kernel", import.meta.url));

const { parseWat } = await wabt();
const { buffer } = parseWat("resample-kernel.wat", readFileSync(`${path}.wat`, "utf8")).toBinary({});
const text = Buffer.from(buffer).toString("base64");
const lines = text.match(/.{1,100}/g).map((line) => `  "${line}"`);
writeFileSync(
  `${path}-code.ts`,
  `/** @file The machine code of resample-kernel.wat, in base64: made by scripts/assemble.mjs. */

export const RESAMPLE_KERNEL_CODE =
${lines.join(" +\n")};
`,
);
