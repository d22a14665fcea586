/**
 * @file Asks in a child process whether a provider starts on this machine, on which adapter, and where it places a
 * program's nodes. A child, because a GPU driver may crash the process, and because the answers are in what native
 * code prints.
 */

import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { add, input, makeGraph, writeOnnx } from "../graph/index.js";
import type { CompiledProgram } from "./program.js";
import { type DeviceSettings, ProviderError, targets } from "./providers.js";

export interface InspectionRequest {
  readonly settings: DeviceSettings;
  /** Run the model once on this float32 vector. */
  readonly feed?: readonly number[];
  readonly logSeverity: 0 | 3;
}

export interface InspectionReply {
  /** Whether this build of the runtime has the provider. */
  readonly isBundled: boolean;
  readonly error?: string;
  readonly result?: readonly number[];
}

interface Inspection {
  readonly reply: InspectionReply | undefined;
  /** What native code printed. */
  readonly log: string;
  /** How the child ended: `exit code 0`, `signal SIGSEGV`, `no answer in 60 s`. */
  readonly end: string;
}

/** The GPU that a provider runs on. */
export interface Adapter {
  /** As the driver names it, for example `NVIDIA H200`. */
  readonly name: string;
  /** The driver's library. */
  readonly driver: string;
}

const TIMEOUT_SECONDS = 60;

/**
 * Starts a provider in a child process and computes with it.
 * @returns The adapter where the system's Vulkan loader tells it (Linux), else undefined.
 * @throws ProviderError with what was tried, what is missing and what to do.
 */
export async function checkProvider(settings: DeviceSettings): Promise<Adapter | undefined> {
  if (settings.provider === "cpu") return undefined;
  const x = input("x", [2]);
  const model = writeOnnx(makeGraph({ y: add(x, 1) }), { target: targets[settings.provider] });
  const inspection = await inspect({ settings, feed: [1, 2], logSeverity: 3 }, model);
  const { reply } = inspection;
  if (reply?.result?.join() === "2,3") return adapterIn(inspection.log);
  throw new ProviderError(
    `the provider "${settings.provider}" does not start on this machine (${process.platform}/${process.arch}): ` +
      `${diagnose(inspection)}. Or run on the CPU: --device cpu.`,
  );
}

/** The nodes of a program that a provider leaves to the CPU, as `Type (name)`; copies it inserts are not listed. */
export async function nodesOnCpu(program: CompiledProgram, settings: DeviceSettings): Promise<string[]> {
  if (settings.provider === "cpu") return [];
  const { reply, log, end } = await inspect({ settings, logSeverity: 0 }, program.model);
  if (!reply || reply.error)
    throw new Error(`program "${program.name}" was not loaded: ${reply?.error ?? end}`);
  return cpuNodesIn(log);
}

/** Reads the runtime's verbose log: a heading for each provider, then its nodes, one a line. */
function cpuNodesIn(log: string): string[] {
  const nodes: string[] = [];
  let isCpu = false;
  for (const line of log.split("\n")) {
    const heading = /ode(?:s|\(s\)) placed on \[(\w+)\]\. Number of nodes: (\d+)/.exec(line);
    if (heading) isCpu = heading[1] === "CPUExecutionProvider";
    // Nodes that are all on one provider are counted, not listed.
    if (isCpu && line.includes("All nodes")) return [`all ${heading?.[2]} nodes`];
    const node = /VerifyEachNodeIsAssignedToAnEp\]\s+(\w+ \(.*\))\s*$/.exec(line)?.[1];
    if (isCpu && node && !node.startsWith("Memcpy")) nodes.push(node);
  }
  return nodes;
}

function adapterIn(log: string): Adapter | undefined {
  const used = /Using "([^"]+)" with driver: "([^"]+)"/.exec(log);
  return used?.[1] && used[2] ? { name: used[1].trim(), driver: used[2] } : undefined;
}

function diagnose({ reply, log, end }: Inspection): string {
  if (!reply) return `its driver ended the process (${end})${lastLines(log)}; update the driver`;
  if (!reply.isBundled) return "this platform's build of onnxruntime-node does not contain it";
  if (reply.result) return `it computed 1 + [1, 2] = [${reply.result.join(", ")}]; update the driver`;
  const loader = /Couldn't load Vulkan: (.+)/.exec(log)?.[1];
  if (loader) {
    return (
      `the Vulkan loader could not be loaded (${loader}); install it (Debian, Ubuntu: libvulkan1; ` +
      "Fedora: vulkan-loader; Arch: vulkan-icd-loader)"
    );
  }
  if (/Found no drivers|INCOMPATIBLE_DRIVER/.test(log)) {
    const files = process.env.VK_DRIVER_FILES ?? process.env.VK_ICD_FILENAMES;
    return (
      `the Vulkan loader is there but found no driver${files ? ` (VK_DRIVER_FILES is ${files})` : ""}; install the ` +
      "GPU's (AMD, Intel: mesa-vulkan-drivers; NVIDIA: its proprietary driver with graphics support), or set " +
      "VK_DRIVER_FILES to a driver's .json file"
    );
  }
  if (/adapter/i.test(reply.error ?? ""))
    return `no usable GPU adapter (${tidy(reply.error)})${lastLines(log)}`;
  return `${tidy(reply.error)}${lastLines(log)}`;
}

/** ONNX Runtime's message without the source line it begins with. */
function tidy(message = "no reason was given"): string {
  return message.replace(/^\/onnxruntime_src\/.* was false\.\s*/s, "").trim();
}

function lastLines(log: string): string {
  const lines = log.split("\n").filter((line) => /warning|error|terminate/i.test(line));
  return lines.length === 0 ? "" : `; it printed: ${lines.slice(-3).join(" / ").trim()}`;
}

async function inspect(request: InspectionRequest, model: Uint8Array): Promise<Inspection> {
  const script = fileURLToPath(new URL("./inspector.js", import.meta.url));
  const child = spawn(process.execPath, [script], {
    stdio: ["pipe", "pipe", "pipe"],
    // The loader names the driver that it uses only when asked to.
    env: { VK_LOADER_DEBUG: "error,warn,info,driver,layer", ...process.env },
  });
  const texts = { out: "", log: "" };
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    texts.out += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    texts.log += text;
  });
  child.stdin.on("error", () => undefined); // A child that crashed does not read on.
  child.stdin.write(`${JSON.stringify(request)}\n`);
  child.stdin.end(model);
  const end = await new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      resolve(`no answer in ${TIMEOUT_SECONDS} s`);
    }, TIMEOUT_SECONDS * 1000);
    child.on("error", reject);
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      resolve(signal ? `signal ${signal}` : `exit code ${code}`);
    });
  });
  const line = texts.out.split("\n").find((text) => text.startsWith("{"));
  return {
    reply: line === undefined ? undefined : (JSON.parse(line) as InspectionReply),
    log: texts.log,
    end,
  };
}
