/**
 * @file A child process that loads a model on a provider and tells how it went: a driver that crashes takes this
 * process down, not the caller's. Reads a request line and then the model's bytes from stdin; writes one line of JSON to
 * stdout. What native libraries and the runtime's verbose log write goes to stderr, which the parent reads.
 */

import { readFileSync, writeSync } from "node:fs";
import { loadOrt, sessionOptions } from "./ort.js";
import type { InspectionReply, InspectionRequest } from "./provider-check.js";

async function inspect(): Promise<InspectionReply> {
  const stdin = readFileSync(0);
  const end = stdin.indexOf(0x0a);
  const { settings, feed, logSeverity } = JSON.parse(stdin.toString("utf8", 0, end)) as InspectionRequest;
  const ort = await loadOrt();
  const isBundled = ort.listSupportedBackends?.().some(({ name }) => name === settings.provider) ?? true;
  if (!isBundled) return { isBundled };
  const session = await ort.InferenceSession.create(stdin.subarray(end + 1), {
    ...sessionOptions(settings),
    logSeverityLevel: logSeverity,
  });
  if (!feed) return { isBundled };
  const [name = ""] = session.inputNames;
  const results = await session.run({
    [name]: new ort.Tensor("float32", Float32Array.from(feed), [feed.length]),
  });
  return { isBundled, result: Object.values(results).flatMap(({ data }) => [...(data as Float32Array)]) };
}

let reply: InspectionReply;
try {
  reply = await inspect();
} catch (error) {
  reply = { isBundled: true, error: error instanceof Error ? error.message : String(error) };
}
writeSync(1, `${JSON.stringify(reply)}\n`);
