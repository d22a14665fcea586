/** @file Our side of bench/embed.mjs: the loop of `inbetween embed`. node embed_ours.mjs FOLDER BATCH */

import { join } from "node:path";
import { embedImages, openImages } from "../../dist/cli/embedding.js";
import { peakMemory } from "../../dist/runtime/index.js";
import { loadEncoder } from "../../dist/weights/index.js";

const [folder, batch] = process.argv.slice(2);
const encoder = await loadEncoder(join(folder, "encoder"));
const flags = { device: "cpu", batch: Number(batch) };
const dataset = await openImages(join(folder, "images"), encoder, flags);
let [start, cpu, count, feature] = [0, process.cpuUsage(), 0, undefined];
for await (const { data, names } of embedImages(dataset, encoder, flags)) {
  if (feature) count += names.length;
  else {
    feature = Array.from(data.subarray(0, encoder.config.embedDim));
    start = performance.now();
    cpu = process.cpuUsage();
  }
}
const imagesPerSecond = (1000 * count) / (performance.now() - start);
const { user, system } = process.cpuUsage(cpu);
const cpuMilliseconds = (user + system) / 1000 / count;
console.log(JSON.stringify({ imagesPerSecond, cpuMilliseconds, peakMemoryMB: peakMemory() / 1e6, feature }));
