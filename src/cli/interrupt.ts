/** @file Ctrl-C: the first stops after the step under way, with a checkpoint; the second stops at once. */

export interface Interrupt {
  readonly signal: AbortSignal;
  [Symbol.dispose](): void;
}

/** Listens for SIGINT and SIGTERM until disposed. */
export function interruptSignal(): Interrupt {
  const controller = new AbortController();
  const onSignal = (): void => {
    if (controller.signal.aborted) process.exit(130);
    process.stderr.write("\nstopping after this step, with a checkpoint; once more stops at once\n");
    controller.abort();
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => {
      process.off("SIGINT", onSignal);
      process.off("SIGTERM", onSignal);
    },
  };
}
