/** @file transformers.js in bench/embed.mjs: its pipeline on batches of files. node embed_transformers.mjs FOLDER BATCH */

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { env, pipeline } from "@huggingface/transformers";
import { peakMemory } from "../../dist/runtime/index.js";

const [folder, batchText] = process.argv.slice(2);
const batch = Number(batchText);
env.allowRemoteModels = false;
env.localModelPath = `${folder}/`;
const extract = await pipeline("image-feature-extraction", "encoder", { dtype: "fp32", device: "cpu" });
const paths = readdirSync(join(folder, "images"))
  .sort()
  .map((name) => join(folder, "images", name));
let [start, cpu, count, feature] = [0, process.cpuUsage(), 0, undefined];
for (let i = 0; i < paths.length; i += batch) {
  const features = await extract(paths.slice(i, i + batch), { pool: true });
  if (feature) count += features.dims[0];
  else {
    feature = Array.from(features.data.slice(0, features.dims[1]));
    start = performance.now();
    cpu = process.cpuUsage();
  }
}
const imagesPerSecond = (1000 * count) / (performance.now() - start);
const { user, system } = process.cpuUsage(cpu);
const cpuMilliseconds = (user + system) / 1000 / count;
console.log(JSON.stringify({ imagesPerSecond, cpuMilliseconds, peakMemoryMB: peakMemory() / 1e6, feature }));
