/** @file Entry of a loader thread: reads the samples it is asked for and hands their views over by transfer. */

import { parentPort, workerData } from "node:worker_threads";
import type { ReadReply, ReadRequest } from "./loader-pool.js";
import { type ReaderOptions, SampleReader } from "./sample-reader.js";

if (!parentPort) throw new Error("loader-worker.js runs as a worker thread only");
const port = parentPort;
const reader = new SampleReader(workerData as ReaderOptions);

async function answer({ id, epoch, samples }: ReadRequest): Promise<void> {
  try {
    const result = await reader.read(epoch, samples);
    port.postMessage(
      { id, result } satisfies ReadReply,
      result.views.map((view) => view.buffer),
    );
  } catch (error) {
    const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
    port.postMessage({ id, result: { error: message } } satisfies ReadReply);
  }
}

port.on("message", (request: ReadRequest) => void answer(request));
