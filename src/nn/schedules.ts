/** @file Schedules: hyper-parameters as pure functions of the step, which counts from 0. */

/** A value for every step. */
export type Schedule = (step: number) => number;

export function constantSchedule(value: number): Schedule {
  return () => value;
}

/**
 * `steps` equally spaced values from `from` to `to`, both included (NumPy's `linspace`), then `to`.
 * One step alone is `from`.
 */
export function linearSchedule(from: number, to: number, steps: number): Schedule {
  return (step) => (step >= steps ? to : from + ((to - from) * step) / Math.max(steps - 1, 1));
}

/**
 * final + (base - final) (1 + cos(pi step / steps)) / 2, then `final`, which is reached only after the last of the
 * steps (iBOT, utils.py, cosine_scheduler).
 */
export function cosineSchedule(base: number, final: number, steps: number): Schedule {
  return (step) =>
    step >= steps ? final : final + 0.5 * (base - final) * (1 + Math.cos((Math.PI * step) / steps));
}

/** A schedule and how many steps it governs. */
export interface ScheduleStage {
  readonly steps: number;
  readonly schedule: Schedule;
}

/** Stages one after another, each counting from 0; `last` governs all steps after them. */
export function sequentialSchedule(stages: readonly ScheduleStage[], last: Schedule): Schedule {
  return (step) => {
    let rest = step;
    for (const { steps, schedule } of stages) {
      if (rest < steps) return schedule(rest);
      rest -= steps;
    }
    return last(rest);
  };
}

export interface WarmupCosineOptions {
  readonly base: number;
  /** Default 0. */
  readonly final?: number;
  /** Of the whole run, warm-up included. */
  readonly steps: number;
  /** Default 0. */
  readonly warmupSteps?: number;
  /** Where the warm-up starts (default 0). */
  readonly warmupFrom?: number;
}

/**
 * Linear warm-up, then cosine decay (iBOT, utils.py, cosine_scheduler).
 * @throws RangeError when the warm-up is longer than the run.
 */
export function warmupCosineSchedule(options: WarmupCosineOptions): Schedule {
  const { base, final = 0, steps, warmupSteps = 0, warmupFrom = 0 } = options;
  if (!(warmupSteps <= steps)) {
    throw new RangeError(
      `schedule: a warm-up of ${warmupSteps} steps does not fit a run of ${steps}; shorten it`,
    );
  }
  return sequentialSchedule(
    [{ steps: warmupSteps, schedule: linearSchedule(warmupFrom, base, warmupSteps) }],
    cosineSchedule(base, final, steps - warmupSteps),
  );
}
