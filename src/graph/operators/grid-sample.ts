/** @file Images sampled at given points, as `torch.nn.functional.grid_sample`. */

import { stopGradient, vjp } from "../autodiff.js";
import { GraphError } from "../errors.js";
import { applyOne, at, type Operator, requireFloat, requireRank, type Tensor } from "../tensor.js";
import {
  abs,
  add,
  cast,
  clamp,
  floor,
  greater,
  greaterEqual,
  less,
  lessEqual,
  logicalAnd,
  mul,
  round,
  sub,
  where,
} from "./elementwise.js";
import { gather } from "./gather.js";
import { expandDims, reshape, squeeze, transpose } from "./reshape.js";
import { slice } from "./slice.js";
import { constant } from "./source.js";
import { imageShape } from "./unfold.js";

export interface GridSampleOptions {
  /** Default bilinear. */
  readonly mode?: "bilinear" | "nearest";
  /** What lies outside the image: zeros, its border pixels, or its mirror image (default zeros). */
  readonly padding?: "zeros" | "border" | "reflection";
  /** -1 and 1 are the centres of the corner pixels (default false: their outer edges). */
  readonly alignCorners?: boolean;
}

type GridSampleAttributes = Required<GridSampleOptions>;

const gridSampleOperator: Operator<GridSampleAttributes> = {
  name: "gridSample",
  infer: (inputs) => {
    const [x, grid] = [at(inputs, 0), at(inputs, 1)];
    requireRank("gridSample", x, 4);
    requireFloat("gridSample", x, grid);
    if (grid.rank !== 4 || grid.shape[0] !== x.shape[0] || grid.shape[3] !== 2) {
      throw new GraphError(
        `gridSample: the grid ${grid} must be [${x.shape[0]}, height, width, 2]: one (x, y) per output pixel of ${x}`,
      );
    }
    const [batch, height, width] = imageShape(grid);
    return { dtype: x.dtype, shape: [batch, at(x.shape, 1), height, width] };
  },
  lower: (emit, inputs, { attributes: { mode, padding, alignCorners } }) =>
    emit.node("GridSample", inputs, {
      mode: { string: mode === "bilinear" ? "linear" : mode },
      padding_mode: { string: padding },
      align_corners: { int: alignCorners ? 1 : 0 },
    }),
  // The gradient is that of the same sampling written with gathers.
  vjp: ({ inputs, attributes }, [g]) => {
    if (!g) return [];
    const [x, grid] = [at(inputs, 0), at(inputs, 1)];
    return vjp([sampleByGather(x, grid, attributes)], [g], [x, grid]);
  },
};

/** Pixel coordinates along one direction: `points` in [-1, 1], folded into the image as the padding asks. */
function coordinates(points: Tensor, size: number, { padding, alignCorners }: GridSampleAttributes): Tensor {
  const pixels = alignCorners
    ? mul(add(points, 1), (size - 1) / 2)
    : mul(sub(mul(add(points, 1), size), 1), 0.5);
  if (padding === "zeros") return pixels;
  if (padding === "border") return limited(pixels, size - 1);
  const low = alignCorners ? 0 : -0.5;
  const span = alignCorners ? size - 1 : size;
  if (span === 0) return mul(pixels, 0);
  const distance = abs(sub(pixels, low));
  const flips = floor(mul(distance, 1 / span));
  const rest = sub(distance, mul(flips, span));
  const isOdd = greater(sub(flips, mul(floor(mul(flips, 0.5)), 2)), 0.5);
  return limited(add(where(isOdd, sub(span, rest), rest), low), size - 1);
}

/** Clamps to [0, high]; no gradient at or beyond the limits, as in PyTorch. */
function limited(pixels: Tensor, high: number): Tensor {
  const isInside = logicalAnd(greater(pixels, 0), less(pixels, high));
  return where(isInside, pixels, stopGradient(clamp(pixels, 0, high)));
}

/** Sampling composed of differentiable operators. */
function sampleByGather(x: Tensor, grid: Tensor, options: GridSampleAttributes): Tensor {
  const [batch, channels, height, width] = imageShape(x);
  const [, rows, columns] = imageShape(grid);
  const [across, down] = [width, height].map((size, i) =>
    coordinates(squeeze(slice(grid, 3, i, i + 1), 3), size, options),
  ) as [Tensor, Tensor];
  const pixels = reshape(transpose(x, [0, 2, 3, 1]), [batch * height * width, channels]);
  const starts = constant(
    Array.from({ length: batch }, (_, i) => i * height * width),
    [batch, 1, 1],
    "int64",
  );
  const isMasked = options.padding === "zeros";
  /** The pixels at whole coordinates times a weight (all `[B, H', W']`), 0 outside the image: `[B, H', W', C]`. */
  const pick = (row: Tensor, column: Tensor, weight: Tensor): Tensor => {
    const inside = (value: Tensor, size: number): Tensor =>
      logicalAnd(greaterEqual(value, 0), lessEqual(value, size - 1));
    const whole = (value: Tensor, size: number): Tensor => cast(clamp(value, 0, size - 1), "int64");
    const places = add(add(mul(whole(row, height), width), whole(column, width)), starts);
    const share = isMasked
      ? where(logicalAnd(inside(row, height), inside(column, width)), weight, 0)
      : weight;
    return mul(gather(pixels, 0, places), expandDims(share, -1));
  };
  const result =
    options.mode === "nearest"
      ? pick(round(down), round(across), constant([1], [1, 1, 1], x.dtype))
      : bilinear(down, across, pick);
  return transpose(reshape(result, [batch, rows, columns, channels]), [0, 3, 1, 2]);
}

function bilinear(
  down: Tensor,
  across: Tensor,
  pick: (row: Tensor, column: Tensor, weight: Tensor) => Tensor,
): Tensor {
  const [top, left] = [floor(down), floor(across)];
  const [bottom, right] = [add(top, 1), add(left, 1)];
  const [low, far] = [sub(down, top), sub(across, left)];
  const [high, near] = [sub(1, low), sub(1, far)];
  return add(
    add(pick(top, left, mul(high, near)), pick(top, right, mul(high, far))),
    add(pick(bottom, left, mul(low, near)), pick(bottom, right, mul(low, far))),
  );
}

/**
 * Samples images at points, as `torch.nn.functional.grid_sample`; differentiable in both.
 * @param x `[B, C, H, W]`
 * @param grid `[B, H', W', 2]`: for each output pixel (x, y), where -1 and 1 are the image's sides.
 * @returns `[B, C, H', W']`
 * @throws GraphError when the grid does not fit.
 */
export function gridSample(
  x: Tensor,
  grid: Tensor,
  { mode = "bilinear", padding = "zeros", alignCorners = false }: GridSampleOptions = {},
): Tensor {
  return applyOne(gridSampleOperator, [x, grid], { mode, padding, alignCorners });
}
