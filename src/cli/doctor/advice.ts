/** @file What would make this machine faster, from what was found on it. */

import type { Findings } from "./probes.js";

/** Sentences, the most useful first; empty when there is nothing to gain. */
export function advise({ cpu, memory, disk, providers, system }: Findings): string[] {
  const advice: string[] = [];
  const processor = providers?.find(({ name }) => name === "cpu");
  if (processor && !processor.starts) {
    advice.push(`Nothing can be trained: the CPU provider does not start (${processor.reason}).`);
  }
  const gpu = providers?.find(({ name }) => name === "webgpu");
  if (gpu?.starts && gpu.gflops !== undefined) {
    const times = gpu.gflops / (processor?.gflops ?? Number.POSITIVE_INFINITY);
    if (times > 1.5) {
      advice.push(`Train with --device webgpu: its matrix products are ${times.toFixed(1)} times as fast.`);
    } else if (isSoftware(gpu.adapter)) {
      advice.push(`"${gpu.adapter}" is a driver without a GPU, for tests: train with --device cpu.`);
    }
  } else if (gpu) {
    advice.push(
      "If there is a GPU, make --device webgpu start (its line above says what is missing) and compare.",
    );
  }
  if (cpu?.load !== undefined && cpu.load > 0.5 * cpu.cores) {
    const busy = cpu.load.toFixed(1);
    advice.push(
      `Other programs take the cores (${busy} wanted one of the ${cpu.cores} over the last minute): end them.`,
    );
  }
  if (system?.architecture === "x64" && cpu?.simd && !cpu.simd.includes("avx2")) {
    advice.push(
      "The CPU has no AVX2, so matrix products run at a fraction of the usual speed: use a newer machine.",
    );
  }
  if (cpu && cpu.cores < 4) {
    const cores = cpu.cores === 1 ? "1 core" : `${cpu.cores} cores`;
    advice.push(`Matrix products use all cores and there are ${cores}: a machine with more trains faster.`);
  }
  if (memory && memory.available < 4) {
    advice.push(
      `${memory.available.toFixed(1)} GiB of memory are available; a full-size step takes 3: close programs, ` +
        "or train with --accumulate N, which takes less at the same result.",
    );
  }
  if (disk && disk.free < 2) {
    advice.push(
      `${disk.free.toFixed(1)} GiB are free in this folder, and a checkpoint of ViT-S takes 0.3: free some, ` +
        "or give another --out.",
    );
  }
  return advice;
}

function isSoftware(adapter: string | undefined): boolean {
  return /swiftshader|llvmpipe|lavapipe/i.test(adapter ?? "");
}
