/** @file What all subcommands of `evaluate` share. */

import { type Encoder, randomEncoder } from "../evaluation/index.js";

/** The same architecture with weights as they start: the row that every table shows first. */
export function baselineOf({ config, trained }: Encoder, seed: number): Encoder {
  return randomEncoder(config, seed, trained);
}

/** The seed of procedural images that no run has trained on: runs use small seeds. */
export function unseenSeed(seed: number): number {
  return 1_000_000 + seed;
}

const PROGRESS_SECONDS = 5;

/** Lines on stderr, one per stage, and one every few seconds in which it got on. */
export function evaluationProgress(label: string): (text: string, fraction: number) => void {
  let [lastText, lastShown, time] = ["", "", 0];
  return (text, fraction) => {
    const shown = `${label}: ${text} (${Math.round(100 * fraction)} %)\n`;
    const isSoon = performance.now() - time < 1000 * PROGRESS_SECONDS;
    if (shown === lastShown || (text === lastText && isSoon)) return;
    [lastText, lastShown, time] = [text, shown, performance.now()];
    process.stderr.write(shown);
  };
}
