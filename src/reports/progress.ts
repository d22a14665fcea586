/** @file The progress line on stderr: one updating line on a terminal, a plain line every few seconds elsewhere. */

import { SingleBar } from "cli-progress";
import { formatCompact, formatCount, formatDuration, formatPercent } from "./format.js";

export interface ProgressOptions {
  /** Steps of the whole run. */
  total: number;
  /** Steps done before this process started (a resumed run): they do not count for the speed. */
  startStep?: number;
  /** Put before the numbers, for example the run's name. */
  label?: string;
  /** Nothing is written at all. */
  silent?: boolean;
  /** Where there is no terminal: seconds between two lines. Default 10. */
  intervalSeconds?: number;
  /** Default `process.stderr`: stdout belongs to results. */
  stream?: NodeJS.WritableStream & { isTTY?: boolean; columns?: number };
  /** Monotonic clock in seconds. */
  now?: () => number;
}

export interface ProgressState {
  /** Steps finished. */
  step: number;
  imagesPerSecond: number;
  /** Share of the wall time spent waiting for data, in [0, 1]. */
  dataWaitFraction: number;
  /** Parts of the loss; "total" is shown first. */
  loss: Readonly<Record<string, number>>;
}

const BAR_WIDTH = 16;

/** "step 120/640 · 412 images/s · waiting for data 1.2 % · 3 min 04 s left · loss 9.31 (invariance 0.12, …)" */
export function progressText(state: ProgressState, total: number, secondsLeft: number): string {
  const { total: totalLoss, ...parts } = state.loss;
  const named = Object.entries(parts).map(([name, value]) => `${name} ${formatCompact(value)}`);
  const loss = totalLoss === undefined ? "" : ` ${formatCompact(totalLoss)}`;
  return [
    `step ${formatCount(state.step)}/${formatCount(total)}`,
    `${formatCompact(state.imagesPerSecond)} images/s`,
    `waiting for data ${formatPercent(state.dataWaitFraction)}`,
    `${formatDuration(secondsLeft)} left`,
    // Last, because it is the longest: a narrow terminal cuts the line at its end.
    `loss${loss}${named.length > 0 ? ` (${named.join(", ")})` : ""}`,
  ].join(" · ");
}

/** Cuts a line to the terminal's width, for a wrapped line cannot be updated in place. */
function cutTo(line: string, columns: number): string {
  return line.length <= columns ? line : `${line.slice(0, Math.max(0, columns - 1))}…`;
}

/** Shows how far a run is. `stop` leaves the last state on the screen and the cursor on a new line. */
export class Progress {
  private readonly stream: NonNullable<ProgressOptions["stream"]>;
  private readonly now: () => number;
  private readonly startStep: number;
  private readonly startTime: number;
  private bar: SingleBar | null = null;
  private lastWritten = Number.NEGATIVE_INFINITY;
  private unwritten: string | null = null;

  constructor(private readonly options: ProgressOptions) {
    this.stream = options.stream ?? process.stderr;
    this.now = options.now ?? (() => performance.now() / 1000);
    this.startStep = options.startStep ?? 0;
    this.startTime = this.now();
  }

  update(state: ProgressState): void {
    if (this.options.silent) return;
    const { total, label } = this.options;
    const text = `${label ? `${label}: ` : ""}${progressText(state, total, this.secondsLeft(state.step))}`;
    if (this.stream.isTTY) this.updateBar(state.step, text);
    else this.writeLine(text, state.step >= total);
  }

  /** Writes a message without tearing the updating line. */
  message(text: string): void {
    if (this.options.silent) return;
    if (this.bar) {
      this.bar.stop();
      this.bar = null;
    }
    this.stream.write(`${text}\n`);
  }

  stop(): void {
    if (this.unwritten !== null) this.writeLine(this.unwritten, true);
    this.bar?.stop();
    this.bar = null;
  }

  private secondsLeft(step: number): number {
    const done = step - this.startStep;
    if (done <= 0) return Number.NaN;
    return ((this.now() - this.startTime) / done) * Math.max(0, this.options.total - step);
  }

  private updateBar(step: number, text: string): void {
    if (this.bar) {
      this.bar.update(step, { text });
      return;
    }
    this.bar = new SingleBar({
      stream: this.stream,
      // A killed process could not bring a hidden cursor back.
      hideCursor: false,
      linewrap: true,
      fps: 5,
      // Resizes, Ctrl-C and the exit code are the command's business.
      gracefulExit: false,
      format: (_options, params, payload: { text: string }) => {
        const filled = Math.round(BAR_WIDTH * params.progress);
        const line = `${"█".repeat(filled)}${"░".repeat(BAR_WIDTH - filled)} ${payload.text}`;
        return cutTo(line, this.stream.columns ?? 80);
      },
    });
    this.bar.start(this.options.total, step, { text });
  }

  private writeLine(text: string, force: boolean): void {
    const now = this.now();
    if (!force && now - this.lastWritten < (this.options.intervalSeconds ?? 10)) {
      this.unwritten = text;
      return;
    }
    this.lastWritten = now;
    this.unwritten = null;
    this.stream.write(`${text}\n`);
  }
}
