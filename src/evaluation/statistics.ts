/** @file Coefficients of determination, and the mean and spread of repeats. */

import { EvaluationError } from "./evaluation-error.js";
import type { Matrix } from "./matrix.js";

function requireSame(truth: Matrix, predicted: Matrix): void {
  if (truth.rows !== predicted.rows || truth.columns !== predicted.columns) {
    throw new RangeError(
      `R²: the truth is [${truth.rows}, ${truth.columns}], the prediction [${predicted.rows}, ${predicted.columns}]`,
    );
  }
}

/** 1 - sum (t - p)² / sum (t - mean t)² over the given flat positions. */
function determination(truth: Float32Array, predicted: Float32Array, start: number, step: number): number {
  let [count, total] = [0, 0];
  for (let i = start; i < truth.length; i += step) {
    total += truth[i] as number;
    count++;
  }
  const mean = total / count;
  let [residual, spread] = [0, 0];
  for (let i = start; i < truth.length; i += step) {
    residual += ((truth[i] as number) - (predicted[i] as number)) ** 2;
    spread += ((truth[i] as number) - mean) ** 2;
  }
  if (!(spread > 0))
    throw new EvaluationError("R² needs targets that vary; all of them are equal: give more test pairs");
  return 1 - residual / spread;
}

/**
 * R² as SIE prints it (`eval_angle_prediction.py`, `eval_color_prediction.py`): one scalar mean over all samples and
 * all output dimensions, sums over both. Components of a larger scale weigh more.
 * @param truth `[N, components]` @param predicted `[N, components]`
 */
export function pooledR2(truth: Matrix, predicted: Matrix): number {
  requireSame(truth, predicted);
  return determination(truth.data, predicted.data, 0, 1);
}

/** The usual R² of each column. @param truth `[N, components]` @param predicted `[N, components]` */
export function columnR2(truth: Matrix, predicted: Matrix): number[] {
  requireSame(truth, predicted);
  return Array.from({ length: truth.columns }, (_, column) =>
    determination(truth.data, predicted.data, column, truth.columns),
  );
}

/** Mean and sample standard deviation (n - 1); 0 for one value. */
export function meanAndStd(values: readonly number[]): { mean: number; std: number } {
  const mean = values.reduce((total, value) => total + value, 0) / values.length;
  if (values.length < 2) return { mean, std: 0 };
  const squares = values.reduce((total, value) => total + (value - mean) ** 2, 0);
  return { mean, std: Math.sqrt(squares / (values.length - 1)) };
}
