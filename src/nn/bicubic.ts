/** @file Weights of bicubic resampling along one axis, in the two ways of PyTorch's `interpolate`. */

/** Keys' cubic convolution kernel (1981) with free parameter `a`. */
function cubic(distance: number, a: number): number {
  const t = Math.abs(distance);
  if (t < 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
  if (t < 2) return ((a * t - 5 * a) * t + 8 * a) * t - 4 * a;
  return 0;
}

/**
 * The matrix `[to, from]`, row-major, that resamples `from` values to `to` with pixel centres aligned as by
 * `align_corners=False`.
 * @param step Source pixels per destination pixel; `from / to`, unless a scale factor was given that is not that ratio.
 * @param antialias Widen the kernel when shrinking; PyTorch then uses a = -0.5 and drops taps outside, and else
 *   a = -0.75 and repeats the border.
 */
export function bicubicMatrix(from: number, to: number, step: number, antialias: boolean): Float64Array {
  const matrix = new Float64Array(to * from);
  for (let row = 0; row < to; row++) {
    const weights = matrix.subarray(row * from, (row + 1) * from);
    if (antialias) fillAntialiased(weights, row, step);
    else fillPlain(weights, row, step);
  }
  return matrix;
}

function fillPlain(weights: Float64Array, row: number, step: number): void {
  const position = (row + 0.5) * step - 0.5;
  const floor = Math.floor(position);
  for (let tap = floor - 1; tap <= floor + 2; tap++) {
    const inside = Math.min(Math.max(tap, 0), weights.length - 1);
    weights[inside] = (weights[inside] as number) + cubic(position - tap, -0.75);
  }
}

function fillAntialiased(weights: Float64Array, row: number, step: number): void {
  const stretch = Math.max(step, 1);
  const centre = (row + 0.5) * step;
  const first = Math.max(Math.floor(centre - 2 * stretch + 0.5), 0);
  const last = Math.min(Math.floor(centre + 2 * stretch + 0.5), weights.length);
  let total = 0;
  for (let tap = first; tap < last; tap++) {
    const weight = cubic((tap + 0.5 - centre) / stretch, -0.5);
    weights[tap] = weight;
    total += weight;
  }
  for (let tap = first; tap < last; tap++) weights[tap] = (weights[tap] as number) / total;
}
