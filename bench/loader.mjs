/**
 * @file Throughput of the loader: 32 px views of a folder of small JPEGs and of the built-in images, and 224 px views
 * of 12-megapixel JPEGs that it makes in a temporary folder. The first epoch decodes everything; later ones find in
 * memory what fits there. Build first, then: node bench/loader.mjs [--workers N] [--large N] [--small N]
 */

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import sharp from "sharp";
import { createLoader, openDataset } from "../dist/data/index.js";
import { randomStream } from "../dist/random.js";

const { values } = parseArgs({
  options: {
    workers: { type: "string", default: "1" },
    large: { type: "string", default: "24" },
    small: { type: "string", default: "4096" },
  },
});
const workers = Number(values.workers);

const draw = randomStream(2);
const table = Float64Array.from({ length: 65536 }, () => draw.normal());

/** A JPEG about as dense as a photograph: a dead-leaves image enlarged, with sensor noise. */
async function writePhoto(path, index, { width, height, detail, noise }) {
  const synthetic = await openDataset("synthetic", { synthetic: { seed: 1, size: detail } });
  const { data } = await synthetic.decode(index);
  let pixels = await sharp(data, { raw: { width: detail, height: detail, channels: 3 } })
    .resize(width, height, { fit: "fill", kernel: "cubic" })
    .raw()
    .toBuffer();
  if (noise > 0) {
    const noisy = new Uint8ClampedArray(pixels.length);
    for (let i = 0; i < noisy.length; i++)
      noisy[i] = pixels[i] + noise * table[Math.imul(i, 0x9e3779b1) >>> 16];
    pixels = Buffer.from(noisy.buffer);
  }
  const jpeg = await sharp(pixels, { raw: { width, height, channels: 3 } })
    .jpeg({ quality: 88 })
    .toBuffer();
  await writeFile(path, jpeg);
  return jpeg.length;
}

async function measure(label, dataset, batchSize, views, steps, epochs) {
  const before = process.memoryUsage().rss;
  const loader = createLoader({ dataset, batchSize, views, workers, seed: 1 });
  // The first batch pays for starting the thread.
  await loader.next();
  for (let epoch = 0; epoch < epochs; epoch++) {
    const start = performance.now();
    let count = 0;
    const cpu = process.cpuUsage();
    for (let step = epoch === 0 ? 1 : 0; step < steps; step++) {
      const { value } = await loader.next();
      count += value.count * views.length;
    }
    const seconds = (performance.now() - start) / 1000;
    const used = process.cpuUsage(cpu);
    const cores = (used.user + used.system) / 1e6 / seconds;
    const name = epoch === 0 ? "first epoch" : "later epoch";
    const rate = (count / seconds).toFixed(0).padStart(6);
    const memory = ((process.memoryUsage().rss - before) / 2 ** 20).toFixed(0);
    console.log(`${label.padEnd(44)} ${name}  ${rate} views/s  ${cores.toFixed(2)} cores  +${memory} MiB`);
  }
  await loader.close();
}

const folder = await mkdtemp(join(tmpdir(), "loader-bench-"));
try {
  console.log(`${cpus().length} x ${cpus()[0]?.model}, Node ${process.version}, ${workers} loader thread(s)`);
  const crop = (size, scale) => ({ kind: "randomResizedCrop", size, scale });

  const small = join(folder, "small");
  await mkdir(small);
  const smallCount = Number(values.small);
  for (let i = 0; i < smallCount; i++)
    await writePhoto(join(small, `${i}.jpg`), i, { width: 32, height: 32, detail: 32, noise: 2 });
  const smallSet = await openDataset(small);
  const builtIn = await openDataset(`synthetic:${smallCount}`);
  const two = (size, scale) => [crop(size, scale), crop(size, scale)];
  await measure("32 px JPEGs, 2 views of 32 px", smallSet, 64, two(32, [0.2, 1]), smallCount / 64, 2);
  await measure("built-in images, 2 views of 32 px", builtIn, 64, two(32, [0.2, 1]), smallCount / 64, 2);

  const large = join(folder, "large");
  await mkdir(large);
  const largeCount = Number(values.large);
  const photo = { width: 4032, height: 3024, detail: 1024, noise: 4 };
  let bytes = 0;
  for (let i = 0; i < largeCount; i++) bytes += await writePhoto(join(large, `${i}.jpg`), i, photo);
  console.log(`12-megapixel JPEGs: ${(bytes / largeCount / 1e6).toFixed(2)} MB each`);
  const largeSet = await openDataset(large);
  for (const scale of [
    [0.08, 1],
    [0.32, 1],
  ]) {
    await measure(
      `12 MP JPEGs, 2 views of 224 px, scale ${scale.join("-")}`,
      largeSet,
      4,
      two(224, scale),
      Math.floor(largeCount / 4),
      2,
    );
  }
} finally {
  await rm(folder, { recursive: true });
}
