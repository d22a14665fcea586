/**
 * @file A process that measures one workload and speaks the line protocol of the peers in `bench/peer/protocol.py`, so
 * that memory is one program's alone and steps of several can be interleaved. Its only argument is its settings in
 * JSON. Beyond the protocol it answers `profile K` with the share of matrix products over K steps; that is to be asked
 * last, for it takes memory and time.
 */

import { createInterface } from "node:readline";
import { type DeviceOptions, peakMemory, resetPeakMemory, timeByOperator } from "../../runtime/index.js";
import { gemmFraction, MeasuredStep } from "./measured-step.js";
import type { Workload } from "./workload.js";

export interface MeasuringSettings {
  readonly workload: Workload;
  readonly device: DeviceOptions;
  /** Steps before anything is timed. */
  readonly warmup: number;
}

/** As the peers count. */
const MEBI = 2 ** 20;

function answer(value: object): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

async function serve({ workload, device, warmup }: MeasuringSettings): Promise<void> {
  const step = await MeasuredStep.create(workload, device);
  for (let i = 0; i < warmup; i++) await step.run();
  const startPeak = peakMemory();
  const { buildSeconds, parameters, flops } = step;
  answer({ ready: true, buildSeconds, parameters, flops, peakMemoryMB: startPeak / MEBI });
  const isForgotten = resetPeakMemory();
  for await (const line of createInterface({ input: process.stdin })) {
    const [command, count = "", ...rest] = line.trim().split(/\s+/);
    if (command === "quit") break;
    if (!/^\d+$/.test(count) || rest.length > 0 || !(command === "run" || command === "profile")) {
      answer({ error: `expected \`run K\`, \`profile K\` or \`quit\`, got ${JSON.stringify(line)}` });
    } else if (command === "run") {
      const results = [];
      for (let i = 0; i < Number(count); i++) results.push(await step.run());
      const stepPeak = peakMemory();
      answer({
        milliseconds: results.map(({ milliseconds }) => milliseconds),
        loss: results.at(-1)?.loss ?? null,
        peakMemoryMB: Math.max(startPeak, stepPeak) / MEBI,
        stepPeakMemoryMB: isForgotten ? stepPeak / MEBI : null,
      });
    } else {
      const rows = await step.profile(Number(count));
      const byOperator = timeByOperator(rows).map(([operator, microseconds]) => [
        operator,
        microseconds / 1000 / Number(count),
      ]);
      answer({ gemmFraction: gemmFraction(rows), millisecondsByOperator: Object.fromEntries(byOperator) });
    }
  }
  await step.close();
}

await serve(JSON.parse(process.argv[2] ?? "{}") as MeasuringSettings);
