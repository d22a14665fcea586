/** @file What `doctor` looks at: each probe by itself, so that one that fails leaves the others. */

import { readFileSync, statfsSync } from "node:fs";
import { createRequire } from "node:module";
import { availableParallelism, cpus, freemem, loadavg, totalmem } from "node:os";
import { imageLibraries } from "../../data/index.js";
import { add, countFlops, countMovedBytes, matmul, slice, sum, type Tensor } from "../../graph/index.js";
import { randomStream } from "../../random.js";
import { mapValues } from "../../records.js";
import {
  Device,
  float32,
  type ProgramDefinition,
  type ProviderName,
  providerNames,
  traceProgram,
} from "../../runtime/index.js";

export interface ProviderState {
  readonly name: ProviderName;
  readonly starts: boolean;
  /** Why it does not start. */
  readonly reason?: string;
  /** The GPU, where the system tells it. */
  readonly adapter?: string;
  /** 1e9 operations a second in float32 matrix products. */
  readonly gflops?: number;
}

/** What was found; a part is missing where its probe failed. */
export interface Findings {
  readonly versions?: { readonly inbetween: string; readonly node: string; readonly onnxruntime: string };
  readonly system?: { readonly platform: string; readonly architecture: string };
  readonly cpu?: {
    readonly model: string;
    /** That this process may use. */
    readonly cores: number;
    /** Vector instructions that matrix products use; undefined where the system does not list them. */
    readonly simd?: readonly string[];
    /** Mean number of programs that wanted a core over the last minute; undefined where the system does not tell. */
    readonly load?: number;
  };
  /** In GiB. */
  readonly memory?: { readonly total: number; readonly available: number };
  /** GiB that can be written in the working folder. */
  readonly disk?: { readonly free: number };
  readonly images?: { readonly sharp: string; readonly libvips: string };
  readonly providers?: readonly ProviderState[];
}

export type Probes = {
  readonly [Part in keyof Required<Findings>]: () => Findings[Part] | Promise<Findings[Part]>;
};

export const probes: Probes = {
  versions: () => ({
    inbetween: packageVersion("../../../package.json"),
    node: process.versions.node,
    onnxruntime: packageVersion("onnxruntime-node/package.json"),
  }),
  system: () => ({ platform: process.platform, architecture: process.arch }),
  cpu: () => {
    const simd = simdFlags();
    const [load = 0] = loadavg();
    return {
      model: cpus()[0]?.model.trim() ?? "unknown",
      cores: availableParallelism(),
      ...(simd ? { simd } : {}),
      // Windows always says 0.
      ...(process.platform === "win32" ? {} : { load }),
    };
  },
  memory: () => {
    // In a container its limit counts, where there is one.
    const limit = process.constrainedMemory();
    const total = limit > 0 && limit < totalmem() ? limit : totalmem();
    return { total: total / GIBI, available: Math.min(total, availableMemory()) / GIBI };
  },
  disk: () => {
    const { bavail, bsize } = statfsSync(process.cwd());
    return { free: (bavail * bsize) / GIBI };
  },
  images: imageLibraries,
  providers: async () => {
    const states: ProviderState[] = [];
    for (const name of providerNames) states.push(await tryProvider(name));
    return states;
  },
};

/** Runs every probe. What one throws is told beside the findings of the others. */
export async function examine(
  chosen: Probes,
): Promise<{ findings: Findings; failures: Record<string, string> }> {
  const findings: Record<string, unknown> = {};
  const failures: Record<string, string> = {};
  for (const [part, probe] of Object.entries(chosen)) {
    try {
      findings[part] = await probe();
    } catch (error) {
      failures[part] = error instanceof Error ? error.message : String(error);
    }
  }
  return { findings, failures };
}

const GIBI = 2 ** 30;

function packageVersion(specifier: string): string {
  const { version } = createRequire(import.meta.url)(specifier) as { readonly version: string };
  return version;
}

const vectorInstructions =
  /^(avx2?|fma|avx512f|avx512_vnni|avx_vnni|avx512_bf16|amx_tile|neon|asimd|asimddp|sve2?)$/;

/** Undefined where there is no /proc/cpuinfo. */
function simdFlags(): string[] | undefined {
  let text: string;
  try {
    text = readFileSync("/proc/cpuinfo", "utf8");
  } catch {
    return undefined;
  }
  const flags = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(text)?.[1]?.split(/\s+/);
  return flags?.filter((flag) => vectorInstructions.test(flag));
}

/** Bytes that a program can take without anything being swapped out. */
function availableMemory(): number {
  try {
    const kibibytes = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync("/proc/meminfo", "utf8"))?.[1];
    if (kibibytes !== undefined) return Number(kibibytes) * 1024;
  } catch {
    // Not Linux.
  }
  return freemem();
}

async function tryProvider(name: ProviderName): Promise<ProviderState> {
  try {
    await using device = await Device.open({ provider: name });
    const { adapter } = device;
    return {
      name,
      starts: true,
      ...(adapter ? { adapter: adapter.name } : {}),
      gflops: await gemmSpeed(device),
    };
  } catch (error) {
    return { name, starts: false, reason: error instanceof Error ? error.message : String(error) };
  }
}

const TEST_SECONDS = 1;
const WIDTH = 512;
const LAYERS = 8;

/** Products like those of a ViT in a row, inside one graph; only their sum comes out. */
const products = chain("matrix products", [512, WIDTH], (x, w) => matmul(x, w));

/** Additions over a batch's activations in a row, 16 MB each time. */
const additions = chain("additions", [8192, WIDTH], (x, w) => add(x, slice(w, 0, 0, 1)));

/** The same operation several times, `x = next(x, w)` with `w` of `[WIDTH, WIDTH]`. */
function chain(
  name: string,
  shape: readonly [number, number],
  next: (x: Tensor, w: Tensor) => Tensor,
): ProgramDefinition {
  return {
    name,
    state: {
      [`doctor/${name}/x`]: { dtype: "float32", shape },
      [`doctor/${name}/w`]: { dtype: "float32", shape: [WIDTH, WIDTH] },
    },
    trace: (_, state) => {
      let x = state[`doctor/${name}/x`] as Tensor;
      for (let i = 0; i < LAYERS; i++) x = next(x, state[`doctor/${name}/w`] as Tensor);
      return { outputs: { sum: sum(x) } };
    },
  };
}

/** 1e9 operations of matrix products a second. */
export async function gemmSpeed(device: Device): Promise<number> {
  return countFlops(traceProgram(products).graph) / (await fastestRun(device, products)) / 1e9;
}

/** 1e9 bytes that element-wise operations read and write a second. */
export async function elementwiseSpeed(device: Device): Promise<number> {
  return countMovedBytes(traceProgram(additions).graph) / (await fastestRun(device, additions)) / 1e9;
}

/** Seconds of the fastest run within a second. */
async function fastestRun(device: Device, definition: ProgramDefinition): Promise<number> {
  const program = await device.compile(definition);
  const random = randomStream(0, "doctor");
  // Of a scale that keeps the products' own.
  const draw = (shape: readonly number[]) =>
    float32(
      Float32Array.from(
        { length: shape.reduce((a, b) => a * b, 1) },
        () => random.normal() / Math.sqrt(WIDTH),
      ),
      shape,
    );
  await device.setState(mapValues(definition.state ?? {}, ({ shape }) => draw(shape)));
  await program.run();
  const start = performance.now();
  let fastest = Number.POSITIVE_INFINITY;
  while (performance.now() - start < 1000 * TEST_SECONDS) {
    await program.run();
    fastest = Math.min(fastest, program.seconds);
  }
  return fastest;
}
