/** @file Ctrl-C: the first stops in good order, a training after the step under way; the second stops at once. */

export interface Interrupt {
  readonly signal: AbortSignal;
  [Symbol.dispose](): void;
}

/** Listens for SIGINT and SIGTERM until disposed. @param what Said at the first one. */
export function interruptSignal(what = "stopping after this step, with a checkpoint"): Interrupt {
  const controller = new AbortController();
  const onSignal = (signal: NodeJS.Signals): void => {
    if (controller.signal.aborted) stopNow(signal);
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

/**
 * Ends the process as the signal does by default. `process.exit` would tear down the runtime's libraries while their
 * threads compute, which crashes.
 */
function stopNow(signal: NodeJS.Signals): void {
  // The progress bar hides it.
  if (process.stderr.isTTY) process.stderr.write("\u001b[?25h");
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}
