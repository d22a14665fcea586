/** @file The process's peak memory. */

import { readFileSync, writeFileSync } from "node:fs";

/** The largest resident set of this process so far (since `resetPeakMemory` where that worked), in bytes. */
export function peakMemory(): number {
  // VmHWM can be reset; getrusage's maximum cannot, but it exists everywhere.
  try {
    const line = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync("/proc/self/status", "utf8"));
    if (line) return Number(line[1]) * 1024;
  } catch {
    // Not Linux.
  }
  return process.resourceUsage().maxRSS * 1024;
}

/** Starts the peak again at the present size (Linux). Returns whether the system allowed it. */
export function resetPeakMemory(): boolean {
  try {
    writeFileSync("/proc/self/clear_refs", "5");
    return true;
  } catch {
    return false;
  }
}
