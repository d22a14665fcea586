/**
 * @file Antialiased separable resampling of 8-bit images, as Pillow's `Image.resize` does it to the last bit
 * (src/libImaging/Resample.c): the filter widens with the reduction, weights are 22-bit fixed point, and the
 * horizontal pass is rounded to 8 bits before the vertical one. torchvision's transforms on PIL images rest on it.
 *
 * Why not sharp: a call of it costs about half a millisecond, ten times the crop of a 32 px image itself. For views of
 * 224 px its vector code is two to four times faster than this file, but decoding dominates there, and one way of
 * cropping, equal to torchvision's and the same on every machine, is worth more.
 */

import type { Raster } from "./image.js";

export type Interpolation = "bilinear" | "bicubic";

/** A part of an image in pixels; the edges may lie between pixels. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** Pixels of the resized box that are wanted, out of `of`. */
export interface Window {
  readonly start: number;
  readonly length: number;
  /** Length of the whole resized box. */
  readonly of: number;
}

const PRECISION_BITS = 22;
const HALF = 1 << (PRECISION_BITS - 1);

interface Filter {
  readonly support: number;
  readonly weight: (x: number) => number;
}

const FILTERS: Readonly<Record<Interpolation, Filter>> = {
  bilinear: { support: 1, weight: (x) => Math.max(0, 1 - Math.abs(x)) },
  // Keys' cubic convolution with a = -0.5.
  bicubic: {
    support: 2,
    weight: (x) => {
      const d = Math.abs(x);
      if (d < 1) return (1.5 * d - 2.5) * d * d + 1;
      if (d < 2) return (((d - 5) * d + 8) * d - 4) * -0.5;
      return 0;
    },
  },
};

/** For each output pixel its first input pixel, the number of them, and `stride` fixed-point weights. */
interface Taps {
  readonly first: Int32Array;
  readonly count: Int32Array;
  readonly weights: Int32Array;
  readonly stride: number;
}

function makeTaps(start: number, length: number, size: number, window: Window, filter: Filter): Taps {
  // Only pixels that the box touches count: cropping first and resizing then gives the same.
  const low = Math.max(0, Math.floor(start));
  const high = Math.min(size, Math.ceil(start + length));
  const scale = length / window.of;
  const filterScale = Math.max(1, scale);
  const support = filter.support * filterScale;
  const stride = Math.ceil(support) * 2 + 1;
  const first = new Int32Array(window.length);
  const count = new Int32Array(window.length);
  const weights = new Int32Array(window.length * stride);
  const real = new Float64Array(stride);
  for (let i = 0; i < window.length; i++) {
    const center = start - low + (window.start + i + 0.5) * scale;
    const from = Math.max(0, Math.trunc(center - support + 0.5));
    const to = Math.min(high - low, Math.trunc(center + support + 0.5));
    let sum = 0;
    for (let j = from; j < to; j++) {
      const weight = filter.weight((j - center + 0.5) / filterScale);
      real[j - from] = weight;
      sum += weight;
    }
    for (let j = 0; j < to - from; j++) {
      const weight = (real[j] as number) / sum;
      weights[i * stride + j] = Math.trunc(weight * 2 ** PRECISION_BITS + (weight < 0 ? -0.5 : 0.5));
    }
    first[i] = low + from;
    count[i] = to - from;
  }
  return { first, count, weights, stride };
}

/** Rounded fixed point, clamped to 8 bits. */
function toByte(value: number): number {
  return Math.max(0, Math.min(255, value >> PRECISION_BITS));
}

/** Rows `top`..`top + rows` of the image resampled along x: [rows, taps, 3]. */
function resampleRows(image: Raster, top: number, rows: number, taps: Taps): Uint8Array {
  const { first, count, weights, stride } = taps;
  const source = image.data;
  const out = new Uint8Array(rows * first.length * 3);
  let target = 0;
  for (let y = 0; y < rows; y++) {
    const row = (top + y) * image.width * 3;
    for (let x = 0; x < first.length; x++) {
      let red = HALF;
      let green = HALF;
      let blue = HALF;
      let pixel = row + (first[x] as number) * 3;
      const end = x * stride + (count[x] as number);
      for (let w = x * stride; w < end; w++) {
        const weight = weights[w] as number;
        red = (red + Math.imul(source[pixel] as number, weight)) | 0;
        green = (green + Math.imul(source[pixel + 1] as number, weight)) | 0;
        blue = (blue + Math.imul(source[pixel + 2] as number, weight)) | 0;
        pixel += 3;
      }
      out[target] = toByte(red);
      out[target + 1] = toByte(green);
      out[target + 2] = toByte(blue);
      target += 3;
    }
  }
  return out;
}

export interface ResampleOptions {
  readonly box: Box;
  /** Columns and rows of the resized box to compute. */
  readonly columns: Window;
  readonly rows: Window;
  readonly interpolation: Interpolation;
  /** Mirror left to right. */
  readonly flip?: boolean;
}

/**
 * Resizes a box of an image and writes it as planes [3, rows.length, columns.length] into `out` at `offset`.
 */
export function resample(image: Raster, options: ResampleOptions, out: Uint8Array, offset = 0): void {
  const { box, columns, rows, interpolation, flip = false } = options;
  const filter = FILTERS[interpolation];
  const across = makeTaps(box.left, box.width, image.width, columns, filter);
  const down = makeTaps(box.top, box.height, image.height, rows, filter);
  const last = rows.length - 1;
  const top = down.first[0] as number;
  const bottom = (down.first[last] as number) + (down.count[last] as number);
  const between = resampleRows(image, top, bottom - top, across);

  const width = columns.length;
  const rowBytes = width * 3;
  const plane = rows.length * width;
  const step = flip ? -1 : 1;
  for (let y = 0; y < rows.length; y++) {
    const start = ((down.first[y] as number) - top) * rowBytes;
    const firstWeight = y * down.stride;
    const endWeight = firstWeight + (down.count[y] as number);
    let target = offset + y * width + (flip ? width - 1 : 0);
    for (let i = start; i < start + rowBytes; i += 3) {
      let red = HALF;
      let green = HALF;
      let blue = HALF;
      let pixel = i;
      for (let w = firstWeight; w < endWeight; w++) {
        const weight = down.weights[w] as number;
        red = (red + Math.imul(between[pixel] as number, weight)) | 0;
        green = (green + Math.imul(between[pixel + 1] as number, weight)) | 0;
        blue = (blue + Math.imul(between[pixel + 2] as number, weight)) | 0;
        pixel += rowBytes;
      }
      out[target] = toByte(red);
      out[target + plane] = toByte(green);
      out[target + 2 * plane] = toByte(blue);
      target += step;
    }
  }
}
