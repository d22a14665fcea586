/** @file Reads the profiles that ONNX Runtime writes (Chrome trace events). */

import { readdir, readFile, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/** An ONNX node's total time over all profiled runs. */
export interface ProfileRow {
  readonly node: string;
  /** ONNX operator type after the runtime's own fusions. */
  readonly operator: string;
  /** ONNX Runtime's provider that ran it, for example `CPUExecutionProvider`. */
  readonly provider: string;
  /** On a GPU the time to enqueue the node, not to compute it. */
  readonly microseconds: number;
  readonly count: number;
}

interface TraceEvent {
  readonly cat?: string;
  readonly name?: string;
  readonly dur?: number;
  readonly args?: { readonly op_name?: string; readonly provider?: string };
}

/** The rows of the profile whose file starts with `prefix`, longest first; the file is removed. */
export async function readProfile(prefix: string): Promise<ProfileRow[]> {
  const folder = dirname(prefix);
  const file = (await readdir(folder)).find(
    (name) => name.startsWith(basename(prefix)) && name.endsWith(".json"),
  );
  if (!file) throw new Error(`no profile was written at ${prefix}*.json`);
  const path = join(folder, file);
  const events = JSON.parse(await readFile(path, "utf8")) as readonly TraceEvent[];
  await rm(path);
  const rows = new Map<string, { -readonly [K in keyof ProfileRow]: ProfileRow[K] }>();
  for (const { cat, name, dur, args } of events) {
    if (cat !== "Node" || !name?.endsWith("_kernel_time") || dur === undefined) continue;
    const node = name.slice(0, -"_kernel_time".length);
    const { op_name: operator = "?", provider = "?" } = args ?? {};
    const row = rows.get(node) ?? { node, operator, provider, microseconds: 0, count: 0 };
    row.microseconds += dur;
    row.count++;
    rows.set(node, row);
  }
  return [...rows.values()].sort((a, b) => b.microseconds - a.microseconds);
}

/** Total microseconds by operator type, longest first. */
export function timeByOperator(rows: readonly ProfileRow[]): [operator: string, microseconds: number][] {
  const totals = new Map<string, number>();
  for (const { operator, microseconds } of rows) {
    totals.set(operator, (totals.get(operator) ?? 0) + microseconds);
  }
  return [...totals].sort((a, b) => b[1] - a[1]);
}
