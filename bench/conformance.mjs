/**
 * @file Runs the conformance suite of a provider against the CPU's exact results and prints one line a case. Needs the
 * built package and its runtime dependencies only.
 *
 *     node bench/conformance.mjs [--provider cpu|webgpu]
 */
import { parseArgs } from "node:util";
import { checkConformance, Device } from "#src/runtime/index.js";

const { provider } = parseArgs({ options: { provider: { type: "string", default: "cpu" } } }).values;

const device = await Device.open({ provider }).catch((error) => {
  console.error(error.message);
  process.exit(2);
});
const reference = await Device.open({ provider: "cpu" });
console.log(`${provider}${device.adapter ? ` on ${device.adapter.name} (${device.adapter.driver})` : ""}`);

const counts = { agrees: 0, differs: 0, fails: 0, skipped: 0 };
const start = performance.now();
for await (const { name, outcome, detail } of checkConformance(device, reference)) {
  counts[outcome]++;
  console.log(`${outcome.padEnd(8)} ${name}${detail ? `: ${detail}` : ""}`);
}
await device.close();
await reference.close();
const summary = Object.entries(counts).map(([outcome, count]) => `${count} ${outcome}`);
console.log(`${summary.join(", ")} in ${((performance.now() - start) / 1000).toFixed(1)} s`);
process.exitCode = counts.differs + counts.fails > 0 ? 1 : 0;
