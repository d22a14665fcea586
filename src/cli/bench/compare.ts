/** @file Measures workloads, interleaved with a peer's same steps in the same run. */

import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { DeviceOptions } from "../../runtime/index.js";
import { CommandError } from "../output.js";
import { Contestant, type Facts, type Measurement } from "./contestant.js";
import type { MeasuringSettings } from "./measuring-process.js";
import { modelSizes, type Workload } from "./workload.js";

/** Figures that every contestant has. Memory in MiB, of the process alone. */
interface Figures {
  readonly name: string;
  readonly method: string;
  readonly batch: number;
  /** Of one step, the median over all. */
  readonly milliseconds: number;
  readonly imagesPerSecond: number;
  /** Since the process began, compilation included. */
  readonly peakMemoryMB: number;
  /** Of the timed steps alone; null where the system cannot tell. */
  readonly stepPeakMemoryMB: number | null;
  readonly parameters: number;
}

export interface BenchRow extends Figures {
  /** 1e9 operations of matrix products and convolutions a second, over the whole step. */
  readonly gflops: number;
  /** Share of the time in matrix products and convolutions. */
  readonly gemmFraction: number;
  /** From tracing to loaded sessions. */
  readonly buildSeconds: number;
  /** Milliseconds a step by ONNX operator, in a profiled run. */
  readonly millisecondsByOperator: Readonly<Record<string, number>>;
}

export interface PeerRow extends Figures {
  readonly peer: string;
  readonly mode: string;
}

/** Ours against the better of the peer's modes. */
export interface Ratio {
  readonly name: string;
  readonly method: string;
  /** The mode that was faster. */
  readonly against: string;
  /** Our images a second over theirs. */
  readonly speed: number;
  /** Our peak memory over that mode's. */
  readonly memory: number;
}

export interface PeerResult {
  readonly python: string;
  readonly rows: readonly PeerRow[];
  readonly ratios: readonly Ratio[];
  /** What kept a mode from running. */
  readonly failures: readonly string[];
}

export interface BenchOptions {
  /** Timed steps of each contestant. */
  readonly steps: number;
  readonly device: DeviceOptions & { readonly threads: number };
  /** A Python with PyTorch. */
  readonly python?: string | undefined;
  readonly report: (message: string) => void;
}

const WARMUP = 2;
/** Steps in a row before it is another's turn. */
const TURN = 2;
/** Threads that wait for work spin for a while; the next turn begins when they sleep. */
const PAUSE_MILLISECONDS = 300;
const PROFILED_STEPS = 3;
const modes = ["eager", "compile"] as const;

/** Measures each workload in turn. @throws CommandError when a process fails, or no mode of the peer runs. */
export async function bench(
  workloads: readonly Workload[],
  options: BenchOptions,
): Promise<{ rows: BenchRow[]; peer: PeerResult | null }> {
  const peer = options.python === undefined ? undefined : { python: options.python, scripts: peerScripts() };
  const rows: BenchRow[] = [];
  const peerRows: PeerRow[] = [];
  const failures: string[] = [];
  for (const workload of workloads) {
    const contestants: [Contestant, Facts][] = [];
    try {
      const { device, report } = options;
      const label = `${workload.model} ${workload.method}`;
      // Peers first: whether they run at all is known at once.
      for (const mode of modes) {
        if (!peer) break;
        report(`${label}: starting the peer, ${mode}`);
        try {
          contestants.push(await startPeer(peer, workload, mode, device.threads));
        } catch (error) {
          if (!(error instanceof CommandError)) throw error;
          failures.push(error.message);
        }
      }
      if (peer && contestants.length === 0) throw new CommandError(failures.join("\n"));
      report(`${label}: starting`);
      contestants.unshift(await startOurs({ workload, device, warmup: WARMUP }));
      const figures = await takeTurns(contestants, workload, options);
      const [ours, ...peers] = contestants.map(([contestant, facts], i) => ({
        contestant,
        facts,
        figures: figures[i] as Figures,
      }));
      if (!ours) throw new Error("internal: nothing was measured");
      rows.push(await ourRow(ours.contestant, ours.facts, ours.figures));
      for (const { contestant, facts, figures: theirs } of peers) {
        peerRows.push({ ...theirs, peer: facts.peer ?? "unknown", mode: contestant.mode });
        if (facts.parameters !== ours.facts.parameters) {
          failures.push(
            `${label}: the peer trains ${facts.parameters} numbers, we ${ours.facts.parameters}: not the same step`,
          );
        }
      }
    } finally {
      for (const [contestant] of contestants) await contestant.close();
    }
  }
  if (!peer) return { rows, peer: null };
  const ratios = rows.flatMap((row) => ratioOf(row, peerRows));
  return { rows, peer: { python: peer.python, rows: peerRows, ratios, failures } };
}

function startOurs(settings: MeasuringSettings): Promise<[Contestant, Facts]> {
  const script = fileURLToPath(new URL("./measuring-process.js", import.meta.url));
  return Contestant.start("the measuring process", "inbetween", process.execPath, [
    script,
    JSON.stringify(settings),
  ]);
}

/** The folder of the peers' scripts. @throws CommandError where the package came without them. */
function peerScripts(): string {
  const folder = fileURLToPath(new URL("../../../bench/peer/", import.meta.url));
  if (existsSync(folder)) return folder;
  throw new CommandError(`--peer needs ${folder}, which only the repository has; clone it and run it there`);
}

interface Peer {
  readonly python: string;
  /** The folder of the scripts, with a slash. */
  readonly scripts: string;
}

function startPeer(
  { python, scripts }: Peer,
  { model, method, batch }: Workload,
  mode: string,
  threads: number,
): Promise<[Contestant, Facts]> {
  const [script, ...options] =
    method === "plain"
      ? ["step.py"]
      : ["ours_vicreg_step.py", "--method", method === "inbetween" ? "ours" : "vicreg"];
  const sizes = Object.entries(modelSizes(model)).flatMap(([name, value]) => [`--${name}`, `${value}`]);
  const args = ["--model", "quickstart", ...sizes, "--batch", `${batch}`, "--mode", mode];
  const running = ["--threads", `${threads}`, "--warmup", `${WARMUP}`];
  return Contestant.start(`the peer ${python} (${mode})`, mode, python, [
    `${scripts}${script}`,
    ...options,
    ...args,
    ...running,
  ]);
}

/** Steps of each in turn, A B C A B C …, until each has done all. */
async function takeTurns(
  contestants: readonly (readonly [Contestant, Facts])[],
  { model, method, batch }: Workload,
  { steps, report }: BenchOptions,
): Promise<Figures[]> {
  const times: number[][] = contestants.map(() => []);
  const last: Measurement[] = [];
  for (let done = 0; done < steps; done += TURN) {
    report(`${model} ${method}: step ${done + 1} of ${steps}`);
    for (const [i, [contestant]] of contestants.entries()) {
      await sleep(PAUSE_MILLISECONDS);
      const measurement = await contestant.run(Math.min(TURN, steps - done));
      times[i]?.push(...measurement.milliseconds);
      last[i] = measurement;
    }
  }
  return contestants.map(([, { parameters }], i) => {
    const { peakMemoryMB, stepPeakMemoryMB } = last[i] as Measurement;
    const milliseconds = median(times[i] ?? []);
    const imagesPerSecond = (1000 * batch) / milliseconds;
    return {
      name: model,
      method,
      batch,
      milliseconds,
      imagesPerSecond,
      peakMemoryMB,
      stepPeakMemoryMB,
      parameters,
    };
  });
}

async function ourRow(
  ours: Contestant,
  { flops = 0, buildSeconds = 0 }: Facts,
  figures: Figures,
): Promise<BenchRow> {
  const { gemmFraction, millisecondsByOperator } = await ours.profile(PROFILED_STEPS);
  const gflops = flops / figures.milliseconds / 1e6;
  return { ...figures, gflops, gemmFraction, buildSeconds, millisecondsByOperator };
}

function ratioOf(ours: BenchRow, peers: readonly PeerRow[]): Ratio[] {
  const same = peers.filter(({ name, method }) => name === ours.name && method === ours.method);
  const [best] = same.sort((a, b) => a.milliseconds - b.milliseconds);
  if (!best) return [];
  const { name, method } = ours;
  return [
    {
      name,
      method,
      against: best.mode,
      speed: best.milliseconds / ours.milliseconds,
      memory: ours.peakMemoryMB / best.peakMemoryMB,
    },
  ];
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low, high] = [sorted[middle - 1] ?? Number.NaN, sorted[middle] ?? Number.NaN];
  return sorted.length % 2 === 1 ? high : (low + high) / 2;
}
