/** @file Ctrl-C: the first stops in good order, a training after the step under way; the second stops at once. */

export interface Interrupt {
  readonly signal: AbortSignal;
  [Symbol.dispose](): void;
}

/** Listens for SIGINT and SIGTERM until disposed. @param what Said at the first one. */
export function interruptSignal(what = "stopping after this step, with a checkpoint"): Interrupt {
  const controller = new AbortController();
  const onSignal = (): void => {
    if (controller.signal.aborted) process.exit(130);
    process.stderr.write(`\n${what}; once more stops at once\n`);
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
