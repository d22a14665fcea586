/** @file Finds a WebGPU driver for tests: the machine's own, or Chromium's software one. */

import { existsSync } from "node:fs";
import { type Adapter, checkProvider } from "#src/runtime/index.js";

/** Where distributions put the software Vulkan driver that comes with Chromium. */
const softwareDrivers = [
  "/usr/lib/chromium/vk_swiftshader_icd.json",
  "/usr/lib64/chromium-browser/vk_swiftshader_icd.json",
];

export type WebGpu = { readonly adapter: Adapter | undefined } | { readonly missing: string };

/**
 * Makes WebGPU usable in this process where that is possible: when no GPU answers, the Vulkan loader is pointed at the
 * software driver. Returns the adapter, or why there is none.
 */
export async function prepareWebGpu(): Promise<WebGpu> {
  const reasons: string[] = [];
  for (const driver of [undefined, ...softwareDrivers.filter((path) => existsSync(path))]) {
    if (driver !== undefined) process.env.VK_DRIVER_FILES = driver;
    try {
      return { adapter: await checkProvider({ provider: "webgpu", threads: 1 }) };
    } catch (error) {
      reasons.push((error as Error).message);
    }
  }
  return { missing: reasons.join("; ") };
}
