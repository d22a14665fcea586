/**
 * @file Images of another size, as `torch.nn.functional.interpolate`. Interpolation is linear and separable, so it is
 * a product with one constant matrix per direction: PyTorch's coordinates exactly, the gradient (the transposed
 * product) for free, and the same on every provider and dtype.
 */

import { GraphError } from "../errors.js";
import { at, requireFloat, requireRank, type Tensor } from "../tensor.js";
import { matmul } from "./matmul.js";
import { broadcastTo } from "./reduce.js";
import { reshape } from "./reshape.js";
import { constant } from "./source.js";
import { imageShape } from "./unfold.js";
import { both, type Pair } from "./window.js";

export type ResizeMode = "nearest" | "bilinear" | "bicubic";

export interface ResizeOptions {
  /** Height and width of the result. Give this or `scale`. */
  readonly size?: Pair;
  /** Factors; the result's size is rounded down, coordinates follow the factor itself. */
  readonly scale?: Pair;
  readonly mode: ResizeMode;
  /** The centres of the corner pixels keep their place (default false: their outer corners do). */
  readonly alignCorners?: boolean;
  /** Widen the filter when shrinking, as Pillow does (default false). */
  readonly antialias?: boolean;
}

/** One direction of a resize. */
export interface ResampleSpec {
  readonly from: number;
  readonly to: number;
  /** The factor given by the caller, where it is not `to / from`. */
  readonly scale?: number;
  readonly mode: ResizeMode;
  readonly alignCorners: boolean;
  readonly antialias: boolean;
}

/** Keys' cubic convolution kernel. */
function cubic(x: number, a: number): number {
  const d = Math.abs(x);
  if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
  if (d < 2) return (((d - 5) * d + 8) * d - 4) * a;
  return 0;
}

/** Taps and weights of one output pixel; `add` adds a weight to an input pixel. */
type Taps = (pixel: number, add: (source: number, weight: number) => void) => void;

/** The `to x from` matrix (row-major) that resamples one direction. */
export function resampleMatrix(spec: ResampleSpec): Float64Array {
  const { from, to } = spec;
  const matrix = new Float64Array(to * from);
  const taps = spec.antialias ? widenedTaps(spec) : pointTaps(spec);
  for (let pixel = 0; pixel < to; pixel++) {
    taps(pixel, (source, weight) => {
      const place = pixel * from + Math.min(Math.max(source, 0), from - 1);
      matrix[place] = (matrix[place] as number) + weight;
    });
  }
  return matrix;
}

/** Input pixels per output pixel. */
function stepOf({ from, to, scale, alignCorners }: ResampleSpec): number {
  if (alignCorners) return to > 1 ? (from - 1) / (to - 1) : 0;
  return scale === undefined ? from / to : 1 / scale;
}

function pointTaps(spec: ResampleSpec): Taps {
  const step = stepOf(spec);
  const { mode, alignCorners } = spec;
  if (mode === "nearest") {
    const { from, to } = spec;
    // PyTorch ignores a given factor where the size stays or doubles, and computes in single precision otherwise.
    if (to === from || to === 2 * from) return (pixel, add) => add(Math.floor((pixel * from) / to), 1);
    return (pixel, add) => add(Math.floor(Math.fround(pixel * Math.fround(step))), 1);
  }
  const sourceOf = (pixel: number): number => (alignCorners ? pixel * step : (pixel + 0.5) * step - 0.5);
  if (mode === "bilinear") {
    return (pixel, add) => {
      const source = Math.max(sourceOf(pixel), 0);
      const first = Math.floor(source);
      add(first, 1 - (source - first));
      add(first + 1, source - first);
    };
  }
  return (pixel, add) => {
    const source = sourceOf(pixel);
    const first = Math.floor(source);
    for (let tap = -1; tap <= 2; tap++) add(first + tap, cubic(first + tap - source, -0.75));
  };
}

/** The antialiased filters: triangle, and the cubic with Pillow's a = -0.5, stretched by the shrinking factor. */
function widenedTaps(spec: ResampleSpec): Taps {
  const step = stepOf(spec);
  const stretch = Math.max(step, 1);
  const radius = (spec.mode === "bilinear" ? 1 : 2) * stretch;
  const filter =
    spec.mode === "bilinear"
      ? (x: number): number => Math.max(0, 1 - Math.abs(x))
      : (x: number): number => cubic(x, -0.5);
  return (pixel, add) => {
    const centre = step * (pixel + 0.5);
    const start = Math.max(Math.trunc(centre - radius + 0.5), 0);
    const end = Math.min(Math.trunc(centre + radius + 0.5), spec.from);
    const weights = Array.from({ length: end - start }, (_, i) =>
      filter((start + i - centre + 0.5) / stretch),
    );
    const total = weights.reduce((a, b) => a + b, 0);
    weights.forEach((weight, i) => {
      add(start + i, weight / total);
    });
  };
}

function specsOf(x: Tensor, options: ResizeOptions): [vertical: ResampleSpec, horizontal: ResampleSpec] {
  const { size, scale, mode, alignCorners = false, antialias = false } = options;
  if ((size === undefined) === (scale === undefined)) {
    throw new GraphError("resize: give either size or scale");
  }
  if (mode === "nearest" && (alignCorners || antialias)) {
    throw new GraphError("resize: alignCorners and antialias are for bilinear and bicubic, not for nearest");
  }
  const along = (axis: 0 | 1): ResampleSpec => {
    const from = at(x.shape, 2 + axis);
    const factor = scale === undefined ? undefined : both(scale)[axis];
    const to = size === undefined ? Math.floor(from * (factor as number)) : both(size)[axis];
    if (!Number.isInteger(to) || to < 1) {
      throw new GraphError(
        `resize: a side of ${x} would become ${to} pixels; sizes are whole and at least 1`,
      );
    }
    return { from, to, mode, alignCorners, antialias, ...(factor === undefined ? {} : { scale: factor }) };
  };
  return [along(0), along(1)];
}

function isIdentity(spec: ResampleSpec): boolean {
  return spec.from === spec.to && (spec.mode === "nearest" || spec.alignCorners || stepOf(spec) === 1);
}

/**
 * Resizes images as `torch.nn.functional.interpolate`: bicubic with a = -0.75 (antialiased: Pillow's -0.5).
 * @param x `[B, C, H, W]` @returns `[B, C, H', W']`
 * @throws GraphError when neither or both of `size` and `scale` are given.
 */
export function resize(x: Tensor, options: ResizeOptions): Tensor {
  requireRank("resize", x, 4);
  requireFloat("resize", x);
  const [vertical, horizontal] = specsOf(x, options);
  const repeats = [vertical, horizontal].map(({ from, to }) => to / from);
  const isRepeat = [vertical, horizontal].every(
    (spec, i) => Number.isInteger(repeats[i]) && (at(repeats, i) <= 2 || spec.scale === undefined),
  );
  if (options.mode === "nearest" && isRepeat) return repeated(x, at(repeats, 0), at(repeats, 1));
  const matrix = (spec: ResampleSpec): Tensor =>
    constant(resampleMatrix(spec), [spec.to, spec.from], x.dtype);
  const down = (image: Tensor): Tensor => (isIdentity(vertical) ? image : matmul(matrix(vertical), image));
  const across = (image: Tensor): Tensor =>
    isIdentity(horizontal) ? image : matmul(image, matrix(horizontal), { transposeB: true });
  // The direction that shrinks more goes first: it leaves the other less work.
  return at(repeats, 0) < at(repeats, 1) ? across(down(x)) : down(across(x));
}

/** Every pixel repeated a whole number of times. */
function repeated(x: Tensor, vertical: number, horizontal: number): Tensor {
  const [batch, channels, height, width] = imageShape(x);
  const cells = broadcastTo(reshape(x, [batch, channels, height, 1, width, 1]), [
    batch,
    channels,
    height,
    vertical,
    width,
    horizontal,
  ]);
  return reshape(cells, [batch, channels, height * vertical, width * horizontal]);
}
