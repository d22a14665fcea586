/**
 * @file Antialiased separable resampling of 8-bit images, as Pillow's `Image.resize` does it to the last bit
 * (src/libImaging/Resample.c): the filter widens with the reduction, weights are 22-bit fixed point, and the
 * horizontal pass is rounded to 8 bits before the vertical one. torchvision's transforms on PIL images rest on it.
 *
 * Why not sharp: a call of it costs about half a millisecond, fifty times the crop of a 32 px image itself and as much as
 * that of a view of 224 px; and one way of cropping, equal to torchvision's, is the same on every machine.
 */

import type { Raster } from "./image.js";
import { kernel, reserve, SLACK_BYTES } from "./resample-kernel.js";

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

/** A record for each output pixel: its first input pixel from `start`, the number of them, a fixed-point weight each. */
interface Taps {
  readonly records: Int32Array;
  /** Numbers a record takes. */
  readonly stride: number;
  /** The input pixels that count. */
  readonly start: number;
  readonly end: number;
}

function makeTaps(
  start: number,
  length: number,
  size: number,
  window: Window,
  { filter, mirrored }: { readonly filter: Filter; readonly mirrored: boolean },
): Taps {
  // Only pixels that the box touches count: cropping first and resizing then gives the same.
  const low = Math.max(0, Math.floor(start));
  const high = Math.min(size, Math.ceil(start + length));
  const scale = length / window.of;
  const filterScale = Math.max(1, scale);
  const support = filter.support * filterScale;
  const most = Math.ceil(support) * 2 + 1;
  const stride = most + 2;
  const records = new Int32Array(window.length * stride);
  const real = new Float64Array(most);
  let [least, end] = [0, 0];
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
    const record = (mirrored ? window.length - 1 - i : i) * stride;
    for (let j = 0; j < to - from; j++) {
      const weight = (real[j] as number) / sum;
      records[record + 2 + j] = Math.trunc(weight * 2 ** PRECISION_BITS + (weight < 0 ? -0.5 : 0.5));
    }
    if (i === 0) least = from;
    end = low + to;
    records[record] = from - least;
    records[record + 1] = to - from;
  }
  return { records, stride, start: low + least, end };
}

/** About how many bytes of the image lie in the kernel's memory at a time. */
const BAND_BYTES = 2 ** 18;

function bytesOf({ records }: Taps): Uint8Array {
  return new Uint8Array(records.buffer);
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
  const across = makeTaps(box.left, box.width, image.width, columns, { filter, mirrored: flip });
  const down = makeTaps(box.top, box.height, image.height, rows, { filter, mirrored: false });

  const rowBytes = image.width * 3;
  const bandRows = Math.max(1, Math.floor(BAND_BYTES / rowBytes));
  const betweenBytes = columns.length * 4;
  const plane = rows.length * columns.length;
  const planeStride = plane + SLACK_BYTES;
  const { memory, addresses } = reserve([
    across.records.byteLength,
    down.records.byteLength,
    bandRows * rowBytes,
    (down.end - down.start) * betweenBytes,
    3 * planeStride,
  ]);
  const [acrossAt, downAt, bandAt, betweenAt, planesAt] = addresses;
  memory.set(bytesOf(across), acrossAt);
  memory.set(bytesOf(down), downAt);

  let between = betweenAt;
  for (let top = down.start; top < down.end; top += bandRows) {
    const bottom = Math.min(down.end, top + bandRows);
    memory.set(image.data.subarray(top * rowBytes, bottom * rowBytes), bandAt);
    for (let y = top; y < bottom; y++) {
      const row = bandAt + (y - top) * rowBytes + across.start * 3;
      kernel.across(row, acrossAt, across.stride * 4, columns.length, between);
      between += betweenBytes;
    }
  }
  for (let y = 0; y < rows.length; y++) {
    const target = planesAt + y * columns.length;
    kernel.down(betweenAt, columns.length, downAt + y * down.stride * 4, target, planeStride);
  }
  for (let channel = 0; channel < 3; channel++) {
    const from = planesAt + channel * planeStride;
    out.set(memory.subarray(from, from + plane), offset + channel * plane);
  }
}
