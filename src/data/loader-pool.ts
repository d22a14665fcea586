/** @file The threads that read samples. Each keeps its own share of the samples, so that nothing is cached twice. */

import { Worker } from "node:worker_threads";
import type { ReaderOptions, ReadResult, SampleRequest } from "./sample-reader.js";

export interface ReadRequest {
  readonly id: number;
  readonly epoch: number;
  readonly samples: readonly SampleRequest[];
}

export interface ReadReply {
  readonly id: number;
  /** What was read, or the message of an error that is not the sample's fault. */
  readonly result: ReadResult | { readonly error: string };
}

interface Pending {
  readonly resolve: (result: ReadResult) => void;
  readonly reject: (error: Error) => void;
}

class LoaderThread {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #next = 0;
  #failed: Error | undefined;

  constructor(options: ReaderOptions) {
    this.#worker = new Worker(new URL("./loader-worker.js", import.meta.url), { workerData: options });
    this.#worker.on("message", ({ id, result }: ReadReply) => {
      const pending = this.#pending.get(id);
      this.#pending.delete(id);
      if ("error" in result) pending?.reject(new Error(result.error));
      else pending?.resolve(result);
      this.#hold();
    });
    this.#worker.on("error", (error) =>
      this.#fail(error instanceof Error ? error : new Error(String(error))),
    );
    this.#worker.on("exit", () =>
      this.#fail(new Error("The loader thread ended before it had read its samples.")),
    );
    this.#hold();
  }

  read(epoch: number, samples: readonly SampleRequest[]): Promise<ReadResult> {
    if (this.#failed) return Promise.reject(this.#failed);
    const request: ReadRequest = { id: this.#next++, epoch, samples };
    return new Promise((resolve, reject) => {
      this.#pending.set(request.id, { resolve, reject });
      this.#hold();
      this.#worker.postMessage(request);
    });
  }

  async close(): Promise<void> {
    this.#fail(new Error("The loader was closed."));
    await this.#worker.terminate();
  }

  #fail(error: Error): void {
    this.#failed ??= error;
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
    this.#hold();
  }

  /** The thread keeps the process alive only while somebody waits for it. */
  #hold(): void {
    if (this.#pending.size > 0) this.#worker.ref();
    else this.#worker.unref();
  }
}

export class LoaderPool {
  readonly #threads: LoaderThread[];

  /** @param threads Number of threads, at least 1. */
  constructor(threads: number, options: ReaderOptions) {
    const share = { ...options, cacheBytes: Math.floor(options.cacheBytes / threads) };
    this.#threads = Array.from({ length: threads }, () => new LoaderThread(share));
  }

  /** Reads samples, in the given order, on the thread that owns each. */
  async read(epoch: number, samples: readonly SampleRequest[]): Promise<ReadResult> {
    const threads = this.#threads;
    if (threads.length === 1) return (threads[0] as LoaderThread).read(epoch, samples);
    const rowsOf = threads.map((): number[] => []);
    for (const [row, { index }] of samples.entries()) rowsOf[index % threads.length]?.push(row);
    const parts = await Promise.all(
      threads.map((thread, t) => {
        const rows = rowsOf[t] as number[];
        return thread.read(
          epoch,
          rows.map((row) => samples[row] as SampleRequest),
        );
      }),
    );
    return mergeRows(parts, rowsOf, samples.length);
  }

  async close(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.close()));
  }
}

/** Puts the rows of several results where they belong: row `r` of part `p` becomes row `rowsOf[p][r]`. */
function mergeRows(
  parts: readonly ReadResult[],
  rowsOf: readonly (readonly number[])[],
  count: number,
): ReadResult {
  const views: Uint8Array<ArrayBuffer>[] = [];
  for (const [p, part] of parts.entries()) {
    const rows = rowsOf[p] as readonly number[];
    for (const [v, view] of part.views.entries()) {
      if (rows.length === 0) continue;
      const bytes = view.length / rows.length;
      const merged = views[v] ?? new Uint8Array(count * bytes);
      views[v] = merged;
      for (const [r, row] of rows.entries())
        merged.set(view.subarray(r * bytes, (r + 1) * bytes), row * bytes);
    }
  }
  const failures = parts.flatMap((part, p) =>
    part.failures.map(({ row, reason }) => ({
      row: (rowsOf[p] as readonly number[])[row] as number,
      reason,
    })),
  );
  return { views, failures: failures.sort((a, b) => a.row - b.row) };
}
