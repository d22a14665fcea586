#!/usr/bin/env node
/** @file A peer without PyTorch: speaks the line protocol of bench/peer, writes what it is asked into $PEER_LOG. */
import { appendFileSync } from "node:fs";
import { createInterface } from "node:readline";

const mode = process.argv[process.argv.indexOf("--mode") + 1];
const log = (text) => appendFileSync(process.env.PEER_LOG, `${mode}: ${text}\n`);
const answer = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);

log(`start ${process.argv.slice(2).join(" ")}`);
if (mode === process.env.PEER_FAILS) {
  process.stderr.write("ModuleNotFoundError: No module named 'torch'\n");
  process.exit(1);
}
answer({ ready: true, peer: "fake 1.0", parameters: Number(process.env.PEER_PARAMETERS) });
for await (const line of createInterface({ input: process.stdin })) {
  log(line);
  if (line === "quit") break;
  const count = Number(line.split(" ")[1]);
  const milliseconds = Array.from({ length: count }, () => (mode === "eager" ? 4000 : 2000));
  answer({ milliseconds, loss: 1, peakMemoryMB: mode === "eager" ? 100 : 200, stepPeakMemoryMB: 50 });
}
