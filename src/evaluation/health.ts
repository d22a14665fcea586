/** @file Whether features have collapsed, and what the patch features see, as pictures. */

import type { Matrix } from "./matrix.js";
import { columnMoments, rowOf } from "./matrix.js";

/**
 * exp(entropy of the normalised singular values): 1 when all rows are multiples of one, the smaller dimension when
 * all directions are used alike (Roy & Vetterli 2007, "The effective rank: a measure of effective dimensionality").
 * @param features `[N, D]`, not centred @throws RangeError when it holds no finite number above 0
 */
export function effectiveRank(features: Matrix): number {
  const singular = gramEigenvalues(features).map((value) => Math.sqrt(Math.max(value, 0)));
  const total = singular.reduce((sum, value) => sum + value, 0);
  if (!(total > 0 && Number.isFinite(total))) {
    throw new RangeError(
      `effective rank: the features [${features.rows}, ${features.columns}] are all zero or not finite`,
    );
  }
  const entropy = singular.reduce((sum, value) => {
    const share = value / total;
    return share > 0 ? sum - share * Math.log(share) : sum;
  }, 0);
  return Math.exp(entropy);
}

/** Eigenvalues of X Xᵀ or XᵀX, whichever is smaller: the squared singular values. */
function gramEigenvalues({ rows, columns, data }: Matrix): Float64Array {
  const byRows = rows <= columns;
  const [size, length] = byRows ? [rows, columns] : [columns, rows];
  const [along, across] = byRows ? [columns, 1] : [1, columns];
  const gram = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let j = i; j < size; j++) {
      let product = 0;
      for (let k = 0; k < length; k++) {
        product += (data[i * along + k * across] as number) * (data[j * along + k * across] as number);
      }
      gram[i * size + j] = product;
      gram[j * size + i] = product;
    }
  }
  return symmetricEigenvalues(gram, size);
}

const MAX_SWEEPS = 50;

/** Eigenvalues of a symmetric matrix by cyclic Jacobi rotations (Golub & Van Loan, section 8.5). Overwrites it. */
function symmetricEigenvalues(a: Float64Array, n: number): Float64Array {
  const entry = (i: number, j: number): number => a[i * n + j] as number;
  const scale = a.reduce((total, value) => total + value ** 2, 0);
  for (let sweep = 0; sweep < MAX_SWEEPS; sweep++) {
    let off = 0;
    for (let i = 0; i < n; i++) for (let j = i + 1; j < n; j++) off += 2 * entry(i, j) ** 2;
    if (!(off > 1e-26 * scale)) break;
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        if (entry(p, q) !== 0) rotate(a, n, p, q);
      }
    }
  }
  return Float64Array.from({ length: n }, (_, i) => entry(i, i));
}

/** Makes entry (p, q) zero by a rotation of rows and columns p and q. */
function rotate(a: Float64Array, n: number, p: number, q: number): void {
  const [app, aqq, apq] = [a[p * n + p] as number, a[q * n + q] as number, a[p * n + q] as number];
  const tau = (aqq - app) / (2 * apq);
  const t = (tau >= 0 ? 1 : -1) / (Math.abs(tau) + Math.sqrt(1 + tau * tau));
  const c = 1 / Math.sqrt(1 + t * t);
  const s = t * c;
  const [rowP, rowQ] = [a.subarray(p * n, (p + 1) * n), a.subarray(q * n, (q + 1) * n)];
  // Rows p and q; the columns are their mirror image.
  for (let k = 0; k < n; k++) {
    const [x, y] = [rowP[k] as number, rowQ[k] as number];
    rowP[k] = c * x - s * y;
    rowQ[k] = s * x + c * y;
  }
  for (let k = 0; k < n; k++) {
    if (k === p || k === q) continue;
    a[k * n + p] = rowP[k] as number;
    a[k * n + q] = rowQ[k] as number;
  }
  a[p * n + p] = app - t * apq;
  a[q * n + q] = aqq + t * apq;
  a[p * n + q] = 0;
  a[q * n + p] = 0;
}

/** 8-bit RGB pixels, height × width × 3. */
export interface RgbPicture {
  readonly width: number;
  readonly height: number;
  readonly channels: 3;
  readonly data: Uint8Array;
}

export interface PatchPicturesOptions {
  /** Patches of an image along height and width. */
  readonly grid: readonly [rows: number, columns: number];
  /** Each patch becomes a square of this side in pixels; usually the patch size. */
  readonly zoom: number;
}

/**
 * The first three principal components of patch features as red, green and blue: patches of alike features have alike
 * colours. One basis and one range for the whole set, so that pictures can be compared.
 * @param patches `[images * rows * columns, D]` in raster order
 * @throws RangeError when it is not a whole number of images.
 */
export function patchPictures(
  patches: Matrix,
  { grid: [rows, columns], zoom }: PatchPicturesOptions,
): RgbPicture[] {
  const perImage = rows * columns;
  if (patches.rows === 0 || patches.rows % perImage !== 0) {
    throw new RangeError(
      `patch pictures: ${patches.rows} patches are no images of ${rows}x${columns} patches`,
    );
  }
  const channels = principalComponents(patches, 3).map(toBytes);
  return Array.from({ length: patches.rows / perImage }, (_, image) => {
    const [width, height] = [columns * zoom, rows * zoom];
    const data = new Uint8Array(width * height * 3);
    for (let i = 0; i < width * height; i++) {
      const column = Math.floor((i % width) / zoom);
      const row = Math.floor(Math.floor(i / width) / zoom);
      const patch = image * perImage + row * columns + column;
      for (let c = 0; c < 3; c++) data[3 * i + c] = channels[c]?.[patch] ?? 0;
    }
    return { width, height, channels: 3, data };
  });
}

/** Values mapped to 0..255 over the range from the 1st to the 99th percentile: a single outlier darkens nothing. */
function toBytes(values: Float64Array): Uint8Array {
  const sorted = values.slice().sort();
  const [low, high] = [0.01, 0.99].map(
    (share) => sorted[Math.round(share * (sorted.length - 1))] as number,
  ) as [number, number];
  const scale = high > low ? 255 / (high - low) : 0;
  return Uint8Array.from(values, (value) =>
    Math.round(Math.min(255, Math.max(0, scale === 0 ? 127.5 : (value - low) * scale))),
  );
}

const ITERATIONS = 200;

/**
 * Projections of the centred rows on the leading principal axes, by power iteration with deflation from a fixed start.
 * Each axis points where its largest entry is positive, so that signs do not depend on rounding.
 */
export function principalComponents(features: Matrix, count: number): Float64Array[] {
  const { rows, columns } = features;
  const { mean } = columnMoments(features);
  const covariance = new Float64Array(columns * columns);
  const centred = new Float64Array(columns);
  for (let i = 0; i < rows; i++) {
    rowOf(features, i).forEach((value, j) => {
      centred[j] = value - (mean[j] as number);
    });
    for (let j = 0; j < columns; j++) {
      const own = covariance.subarray(j * columns, (j + 1) * columns);
      const value = centred[j] as number;
      for (let k = 0; k < columns; k++) own[k] = (own[k] as number) + value * (centred[k] as number);
    }
  }
  const axes: Float64Array[] = [];
  for (let found = 0; found < Math.min(count, columns); found++)
    axes.push(leadingAxis(covariance, columns, axes));
  return axes.map((axis) =>
    Float64Array.from({ length: rows }, (_, i) =>
      rowOf(features, i).reduce(
        (total, value, j) => total + (value - (mean[j] as number)) * (axis[j] as number),
        0,
      ),
    ),
  );
}

/** The eigenvector of the largest eigenvalue among those orthogonal to `known`. */
function leadingAxis(matrix: Float64Array, n: number, known: readonly Float64Array[]): Float64Array {
  let axis = orthonormal(
    Float64Array.from({ length: n }, (_, i) => Math.cos(1 + i * (known.length + 1))),
    known,
  );
  for (let iteration = 0; iteration < ITERATIONS; iteration++) {
    const next = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      let total = 0;
      for (let j = 0; j < n; j++) total += (matrix[i * n + j] as number) * (axis[j] as number);
      next[i] = total;
    }
    const unit = orthonormal(next, known);
    // No variance is left.
    if (unit.every((value) => value === 0)) break;
    axis = unit;
  }
  const largest = axis.reduce((best, value) => (Math.abs(value) > Math.abs(best) ? value : best), 0);
  return largest < 0 ? axis.map((value) => -value) : axis;
}

/** The part of `vector` orthogonal to `known`, of length 1; zeros when there is none. */
function orthonormal(vector: Float64Array, known: readonly Float64Array[]): Float64Array {
  for (const other of known) {
    const along = vector.reduce((total, value, i) => total + value * (other[i] as number), 0);
    for (let i = 0; i < vector.length; i++) vector[i] = (vector[i] as number) - along * (other[i] as number);
  }
  const length = Math.sqrt(vector.reduce((total, value) => total + value * value, 0));
  return length > 0 ? vector.map((value) => value / length) : vector;
}
