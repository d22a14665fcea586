/** @file Measures workloads, interleaved with each other and with a peer's same steps in the same run. */

import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { DeviceOptions } from "../../runtime/index.js";
import { CommandError } from "../output.js";
import { Contestant, type Facts, type Measurement } from "./contestant.js";
import type { MeasuringSettings } from "./measuring-process.js";
import { type BenchMethod, baseOf, peerStep, type Workload } from "./workload.js";

/** Figures that every contestant has. Memory in MiB, of the process alone. */
interface Figures {
  readonly name: string;
  readonly method: BenchMethod;
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

/** What the in-between task adds to its base method. */
export interface Overhead {
  readonly name: string;
  readonly method: string;
  readonly base: string;
  /** Share of the base's time: 0.1 for a step that takes a tenth longer. */
  readonly time: number;
  /** Share of the base's peak memory. */
  readonly memory: number;
}

export interface BenchResult {
  readonly rows: readonly BenchRow[];
  /** Of the methods whose base was measured beside them. */
  readonly overheads: readonly Overhead[];
  readonly peer: PeerResult | null;
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
  /** Also by torch.compile, which takes minutes for a whole method. */
  readonly compilesPeer: boolean;
  readonly report: (message: string) => void;
}

const WARMUP = 2;
/** Steps in a row before it is another's turn. */
const TURN = 2;
/** Threads that wait for work spin for a while; the next turn begins when they sleep. */
const PAUSE_MILLISECONDS = 300;
const PROFILED_STEPS = 3;

/** A program that runs, and what it was started for. */
interface Running {
  readonly workload: Workload;
  readonly contestant: Contestant;
  readonly facts: Facts;
  readonly isOurs: boolean;
}

/**
 * Measures groups of workloads one after the other; those of a group take turns, and their peers with them.
 * @throws CommandError when a process fails, or no mode of a workload's peer runs.
 */
export async function bench(
  groups: readonly (readonly Workload[])[],
  options: BenchOptions,
): Promise<BenchResult> {
  const { python } = options;
  const peer = python === undefined ? undefined : { python, scripts: peerScripts() };
  const rows: BenchRow[] = [];
  const peerRows: PeerRow[] = [];
  const failures: string[] = [];
  for (const group of groups) {
    const running: Running[] = [];
    try {
      // Peers first: whether they run at all is known at once.
      for (const workload of peer ? group : []) {
        running.push(...(await startPeers(peer as Peer, workload, options, failures)));
      }
      for (const workload of group) {
        options.report(`${label(workload)}: starting`);
        running.push(await startOurs({ workload, device: options.device, warmup: WARMUP }));
      }
      const figures = await takeTurns(running, options);
      for (const [i, { workload, contestant, facts, isOurs }] of running.entries()) {
        const measured = figures[i] as Figures;
        if (isOurs) {
          rows.push(await ourRow(contestant, facts, measured));
          continue;
        }
        peerRows.push({ ...measured, peer: facts.peer ?? "unknown", mode: contestant.mode });
        const ours = running.find((other) => other.isOurs && other.workload === workload);
        if (facts.parameters !== ours?.facts.parameters) {
          failures.push(
            `${label(workload)}: the peer trains ${facts.parameters} numbers, we ${ours?.facts.parameters}: ` +
              "not the same step",
          );
        }
      }
    } finally {
      for (const { contestant } of running) await contestant.close();
    }
  }
  const overheads = rows.flatMap((row) => overheadOf(row, rows));
  if (!peer) return { rows, overheads, peer: null };
  const ratios = rows.flatMap((row) => ratioOf(row, peerRows));
  return { rows, overheads, peer: { python: peer.python, rows: peerRows, ratios, failures } };
}

function label({ model, method }: Workload): string {
  return `${model} ${method}`;
}

async function startOurs(settings: MeasuringSettings): Promise<Running> {
  const script = fileURLToPath(new URL("./measuring-process.js", import.meta.url));
  const args = [script, JSON.stringify(settings)];
  const [contestant, facts] = await Contestant.start(
    "the measuring process",
    "inbetween",
    process.execPath,
    args,
  );
  return { workload: settings.workload, contestant, facts, isOurs: true };
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

/** Starts each mode of a workload's peer, where it has one. @throws CommandError when none runs. */
async function startPeers(
  { python, scripts }: Peer,
  workload: Workload,
  { device, compilesPeer, report }: BenchOptions,
  failures: string[],
): Promise<Running[]> {
  const command = peerStep(workload);
  if (!command) return [];
  const { script, flags, modes } = command;
  const running: Running[] = [];
  const reasons: string[] = [];
  for (const mode of modes.filter((each) => compilesPeer || each !== "compile")) {
    report(`${label(workload)}: starting the peer, ${mode}`);
    try {
      const [contestant, facts] = await Contestant.start(`the peer ${python} (${mode})`, mode, python, [
        `${scripts}${script}`,
        ...flags,
        ...["--mode", mode, "--threads", `${device.threads}`, "--warmup", `${WARMUP}`],
      ]);
      running.push({ workload, contestant, facts, isOurs: false });
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      reasons.push(`${label(workload)}: ${error.message}`);
    }
  }
  if (running.length === 0) throw new CommandError(reasons.join("\n"));
  failures.push(...reasons);
  return running;
}

/** Steps of each in turn, A B C A B C …, until each has done all. */
async function takeTurns(running: readonly Running[], { steps, report }: BenchOptions): Promise<Figures[]> {
  const times: number[][] = running.map(() => []);
  const last: Measurement[] = [];
  const models = [...new Set(running.map(({ workload }) => label(workload)))].join(", ");
  for (let done = 0; done < steps; done += TURN) {
    report(`${models}: step ${done + 1} of ${steps}`);
    for (const [i, { contestant }] of running.entries()) {
      await sleep(PAUSE_MILLISECONDS);
      const measurement = await contestant.run(Math.min(TURN, steps - done));
      times[i]?.push(...measurement.milliseconds);
      last[i] = measurement;
    }
  }
  return running.map(({ workload: { model, method, batch }, facts: { parameters } }, i) => {
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

function overheadOf(row: BenchRow, rows: readonly BenchRow[]): Overhead[] {
  const base = rows.find(({ name, method }) => name === row.name && method === baseOf(row.method));
  if (!base) return [];
  const { name, method } = row;
  return [
    {
      name,
      method,
      base: base.method,
      time: row.milliseconds / base.milliseconds - 1,
      memory: row.peakMemoryMB / base.peakMemoryMB - 1,
    },
  ];
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low, high] = [sorted[middle - 1] ?? Number.NaN, sorted[middle] ?? Number.NaN];
  return sorted.length % 2 === 1 ? high : (low + high) / 2;
}
