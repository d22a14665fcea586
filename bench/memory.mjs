/**
 * @file Whether a training run grows: a real run of Ours(VICReg, all, se2) on built-in images, small enough for a
 * thousand steps in about a minute, loader, checkpoints and log included. Prints the resident set every tenth of the run and
 * fails when the last tenth is more than 5 % above the fifth.
 * Build first, then: node bench/memory.mjs [--steps N]
 */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { parseConfig, pretrain } from "../dist/training/index.js";

const { values } = parseArgs({ options: { steps: { type: "string", default: "1000" } } });
const steps = Number(values.steps);
const MOST_GROWTH = 0.05;

const config = parseConfig(
  {
    name: "memory",
    imageSize: 32,
    encoder: { patchSize: 8, embedDim: 64, depth: 2, numHeads: 2 },
    method: {
      name: "inbetween",
      base: { name: "vicreg", width: 64, expander: [64, 64] },
      equivariantDim: 32,
      decoderWidths: [16, 16, 16, 16],
    },
    augmentation: { pipeline: "all" },
    optimizer: { baseLearningRate: 1e-3 },
    batchSize: 16,
    steps,
    log: { every: 10, pictures: 0, probes: 0, checkpointEvery: Math.ceil(steps / 4) },
  },
  "bench/memory.mjs",
);

/** Mean resident set of each tenth of the run, in MiB: single values jump with garbage collection. */
const tenths = Array.from({ length: 10 }, () => []);
const folder = await mkdtemp(join(tmpdir(), "memory-bench-"));
try {
  await pretrain({
    config,
    data: "synthetic:256",
    out: join(folder, "run"),
    observe: () => ({
      step({ step }) {
        tenths[Math.floor((10 * (step - 1)) / steps)].push(process.memoryUsage.rss() / 2 ** 20);
      },
    }),
  });
} finally {
  await rm(folder, { recursive: true });
}
const means = tenths.map((sizes) => sizes.reduce((sum, size) => sum + size, 0) / sizes.length);
console.log(`resident set by tenth of ${steps} steps: ${means.map((mean) => mean.toFixed(0)).join(" ")} MiB`);
const growth = means[9] / means[4] - 1;
console.log(`last tenth against the fifth: ${(100 * growth).toFixed(1)} %`);
process.exitCode = growth > MOST_GROWTH ? 1 : 0;
