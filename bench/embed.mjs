/**
 * @file Feature extraction, images in, features out: ours against PyTorch with torchvision (two loader workers) and
 * transformers.js, the same images, the same random weights (ViT-S/16 at 224), interleaved, each in a process of its own.
 * Times start with the first batch's features and end with the last one's: loading and compiling are left out of all.
 * Build first, then: node bench/embed.mjs FOLDER [--images 128] [--rounds 3] [--batch 8] [--peer PYTHON] [--only ours,torch]
 */

import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { openDataset } from "../dist/data/index.js";
import { randomEncoder } from "../dist/evaluation/index.js";
import { visionTransformerConfig } from "../dist/models/index.js";
import { saveEncoder } from "../dist/weights/index.js";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    images: { type: "string", default: "128" },
    rounds: { type: "string", default: "3" },
    batch: { type: "string", default: "8" },
    peer: { type: "string" },
    only: { type: "string" },
  },
});
const [source] = positionals;
if (!source)
  throw new Error("usage: node bench/embed.mjs FOLDER [--images N] [--rounds N] [--batch N] [--peer PYTHON]");

const here = (name) => fileURLToPath(new URL(`peer/${name}`, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "embed-bench-"));

/** Runs a program; its last line of stdout is {"imagesPerSecond", "cpuMilliseconds", "peakMemoryMB", "feature"}. */
function run(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (text) => (stdout += text));
    child.stderr.on("data", (text) => (stderr += text));
    child.on("error", reject);
    child.on("exit", (code) =>
      code === 0
        ? resolve(JSON.parse(stdout.trimEnd().split("\n").at(-1)))
        : reject(new Error(`${command} ${args.join(" ")}: ${stderr}`)),
    );
  });
}

try {
  const config = visionTransformerConfig({
    imageSize: 224,
    patchSize: 16,
    embedDim: 384,
    depth: 12,
    numHeads: 6,
  });
  const encoder = { ...randomEncoder(config, 1), trained: "cls" };
  await saveEncoder(encoder, join(folder, "encoder"), { onnx: ["fp32"] });
  const dataset = await openDataset(source);
  const count = Math.min(Number(values.images), dataset.length);
  mkdirSync(join(folder, "images"));
  for (let i = 0; i < count; i++) {
    // Spread over the classes.
    const { path } = dataset.source(Math.floor((i * dataset.length) / count));
    cpSync(path, join(folder, "images", `${String(i).padStart(5, "0")}.jpg`));
  }
  const args = [folder, values.batch];
  const programs = {
    ours: [process.execPath, [here("embed_ours.mjs"), ...args]],
    "transformers.js": [process.execPath, [here("embed_transformers.mjs"), ...args]],
    ...(values.peer ? { torch: [values.peer, [here("embed_torch.py"), ...args]] } : {}),
  };
  const chosen = values.only?.split(",") ?? Object.keys(programs);
  const results = Object.fromEntries(chosen.map((name) => [name, []]));
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const name of chosen) {
      const result = await run(...programs[name]);
      results[name].push(result);
      const { imagesPerSecond, cpuMilliseconds, peakMemoryMB } = result;
      console.log(
        `${name.padEnd(16)} ${imagesPerSecond.toFixed(2)} images/s, ${cpuMilliseconds.toFixed(0)} ms of CPU each, peak ${peakMemoryMB.toFixed(0)} MB`,
      );
    }
  }
  const best = (name) => Math.max(...results[name].map(({ imagesPerSecond }) => imagesPerSecond));
  const feature = (name) => results[name][0].feature;
  const summary = chosen.map((name) => ({
    name,
    best: best(name),
    all: results[name].map(({ imagesPerSecond }) => imagesPerSecond),
    // Of all threads: what other programs leave of the machine changes it less than the speed.
    cpuMilliseconds: Math.min(...results[name].map(({ cpuMilliseconds }) => cpuMilliseconds)),
    peakMemoryMB: Math.max(...results[name].map(({ peakMemoryMB }) => peakMemoryMB)),
    speedOfOurs: best(chosen[0]) / best(name),
    difference: Math.max(...feature(name).map((value, i) => Math.abs(value - feature(chosen[0])[i]))),
  }));
  console.log(JSON.stringify({ images: count, batch: Number(values.batch), summary }));
} finally {
  rmSync(folder, { recursive: true });
}
