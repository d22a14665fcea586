/** @file `inbetween doctor`: what works on this machine, and what would make it faster. */

import type { Command } from "commander";
import { stdoutColors } from "./colors.js";
import { advise } from "./doctor/advice.js";
import { examine, type Findings, probes } from "./doctor/probes.js";
import { addJsonOption } from "./options.js";
import { printResult } from "./output.js";

export function addDoctor(program: Command): void {
  const command = program
    .command("doctor")
    .description("Show what works on this machine, how fast it computes, and what would make it faster.");
  addJsonOption(command).addHelpText(
    "after",
    `
Examples:
  inbetween doctor
  inbetween doctor --json`,
  );
  command.action(async ({ json }: { readonly json: boolean }) => {
    process.stderr.write("looking around: a few seconds\n");
    const { findings, failures } = await examine(probes);
    const advice = advise(findings);
    printResult(json, { ...findings, failures, advice }, asText(findings, failures, advice));
  });
}

function asText(
  { versions, system, cpu, memory, disk, images, providers }: Findings,
  failures: Readonly<Record<string, string>>,
  advice: readonly string[],
): string {
  const simd = cpu?.simd ? `, ${cpu.simd.join(" ")}` : "";
  const load = cpu?.load === undefined ? "" : `, load ${cpu.load.toFixed(1)}`;
  const facts: [string, string | undefined][] = [
    ["inbetween", versions?.inbetween],
    ["node", versions?.node],
    ["onnxruntime", versions?.onnxruntime],
    ["sharp", images && `${images.sharp}, libvips ${images.libvips}`],
    ["system", system && `${system.platform}/${system.architecture}`],
    ["cpu", cpu && `${cpu.model}, ${cpu.cores} cores${simd}${load}`],
    ["memory", memory && `${memory.available.toFixed(1)} of ${memory.total.toFixed(1)} GiB available`],
    ["disk", disk && `${disk.free.toFixed(1)} GiB free in this folder`],
    ...(providers ?? []).map(({ name, starts, adapter, reason, gflops }): [string, string] => [
      `--device ${name}`,
      starts
        ? `${adapter ? `${adapter}, ` : ""}${gflops?.toFixed(0)} GFLOP/s in matrix products`
        : (reason ?? ""),
    ]),
    ...Object.entries(failures).map(([part, message]): [string, string] => [`${part} (failed)`, message]),
  ];
  const known = facts.filter((fact): fact is [string, string] => fact[1] !== undefined);
  const width = Math.max(...known.map(([name]) => name.length));
  const lines = known.map(([name, text]) => `${stdoutColors.bold(name.padEnd(width))}  ${text}`);
  const suggestions = advice.map((text) => `- ${text}`);
  return [
    ...lines,
    "",
    stdoutColors.bold(advice.length > 0 ? "To make it faster" : "Nothing stands in the way."),
    ...suggestions,
  ].join("\n");
}
