/** @file Average and maximum over windows of an image. */

import { hostArray } from "../dtype.js";
import type { Emitter } from "../onnx/emitter.js";
import type { Shape } from "../shape.js";
import { apply, applyOne, at, type Operator, requireFloat, requireRank, type Tensor } from "../tensor.js";
import { mul } from "./elementwise.js";
import { scatterRows } from "./gather.js";
import { broadcastTo } from "./reduce.js";
import { reshape } from "./reshape.js";
import { constant } from "./source.js";
import { foldWindows, imageShape, lowerUnfold } from "./unfold.js";
import {
  makeWindow,
  type Pair,
  type Window,
  type WindowOptions,
  windowAttributes,
  windowCounts,
} from "./window.js";

function pooledType(operator: string, x: Tensor, window: Window) {
  requireRank(operator, x, 4);
  requireFloat(operator, x);
  const [batch, channels, height, width] = imageShape(x);
  return { dtype: x.dtype, shape: [batch, channels, ...windowCounts(operator, window, [height, width])] };
}

const avgPoolOperator: Operator<Window> = {
  name: "avgPool2d",
  infer: (inputs, window) => pooledType("avgPool2d", at(inputs, 0), window),
  lower: (emit, [x], { inputs, outputs, attributes: window }) => {
    const image = at(inputs, 0);
    if (image.dtype !== "float64") {
      const { kernel_shape, strides, pads } = windowAttributes(window);
      const count_include_pad = { int: 1 };
      return emit.node("AveragePool", [x as string], { kernel_shape, strides, pads, count_include_pad });
    }
    const [batch, channels, rows, columns] = imageShape(at(outputs, 0));
    const shape = emit.shape([batch, channels, window.kernel[0] * window.kernel[1], rows, columns]);
    const windows = emit.node("Reshape", [lowerUnfold(emit, x as string, image, window), shape]);
    return emit.node("ReduceMean", [windows, emit.ints([2])], { keepdims: { int: 0 } });
  },
  vjp: ({ inputs, attributes: window }, [g]) => {
    if (!g) return [];
    const [batch, channels, height, width] = imageShape(at(inputs, 0));
    const elements = window.kernel[0] * window.kernel[1];
    const share = reshape(mul(g, 1 / elements), [batch, channels, 1, -1]);
    const shares = broadcastTo(share, [batch, channels, elements, at(share.shape, 3)]);
    return [foldWindows(reshape(shares, [batch, channels * elements, -1]), [height, width], window)];
  },
};

export interface PoolOptions extends Pick<WindowOptions, "stride" | "padding"> {
  readonly kernel: Pair;
  /** Pixels from one window to the next (default: the kernel, windows side by side). */
  readonly stride?: Pair;
}

/**
 * The mean of every window, as `torch.nn.functional.avg_pool2d`.
 * @param x `[B, C, H, W]`
 * @param options `countIncludePad`: the zeros of the padding count in the divisor (default true).
 */
export function avgPool2d(
  x: Tensor,
  {
    kernel,
    stride = kernel,
    padding = 0,
    countIncludePad = true,
  }: PoolOptions & { readonly countIncludePad?: boolean },
): Tensor {
  const window = makeWindow("avgPool2d", kernel, { stride, padding });
  const pooled = applyOne(avgPoolOperator, [x], window);
  if (countIncludePad || window.padding[0] + window.padding[1] === 0) return pooled;
  const [, , rows, columns] = imageShape(pooled);
  const [vertical, horizontal] = [0, 1].map((i) => {
    const axis = i as 0 | 1;
    const [size, count] = [at(x.shape, 2 + axis), axis === 0 ? rows : columns];
    return Array.from({ length: count }, (_, place) => {
      const start = place * window.stride[axis] - window.padding[axis];
      const inside = Math.min(start + window.kernel[axis], size) - Math.max(start, 0);
      return window.kernel[axis] / inside;
    });
  }) as [number[], number[]];
  const factors = vertical.flatMap((down) => horizontal.map((across) => down * across));
  return mul(pooled, constant(factors, [rows, columns], x.dtype));
}

/** The WebGPU kernel gives no indices: they are those of the largest element of each window's column. */
function lowerMaxPoolByArgMax(
  emit: Emitter,
  x: string,
  image: Tensor,
  { shape }: Tensor,
  window: Window,
): readonly string[] {
  const [batch, channels, height, width] = imageShape(image);
  const [, , rows, columns] = imageShape({ dtype: image.dtype, shape });
  const { kernel, stride, padding, dilation } = window;
  const pads = emit.ints([0, 0, ...padding, 0, 0, ...padding]);
  const lowest = image.dtype === "float16" ? -65504 : -3e38;
  const padded = {
    dtype: image.dtype,
    shape: [batch, channels, height + 2 * padding[0], width + 2 * padding[1]],
  };
  const bare = { ...window, padding: [0, 0] } as const;
  const filled = emit.node("Pad", [x, pads, emit.scalar(image.dtype, lowest)]);
  const windows = emit.node("Reshape", [
    lowerUnfold(emit, filled, padded, bare),
    emit.shape([batch, channels, kernel[0] * kernel[1], rows, columns]),
  ]);
  const tap = emit.node("ArgMax", [windows], { axis: { int: 2 }, keepdims: { int: 0 } });
  const table = (dims: Shape, values: readonly number[]): string =>
    emit.constant("int64", dims, hostArray("int64", values));
  const places = (
    down: number,
    across: number,
    offsetAt: (row: number, column: number) => number,
  ): number[] =>
    Array.from({ length: down * across }, (_, i) => offsetAt(Math.floor(i / across), i % across));
  const tapOffsets = places(
    kernel[0],
    kernel[1],
    (row, column) => row * dilation[0] * width + column * dilation[1],
  );
  const windowOffsets = places(
    rows,
    columns,
    (row, column) => (row * stride[0] - padding[0]) * width + column * stride[1] - padding[1],
  );
  const planeOffsets = places(
    batch,
    channels,
    (image, channel) => (image * channels + channel) * height * width,
  );
  const offset = emit.node("Gather", [table([tapOffsets.length], tapOffsets), tap], { axis: { int: 0 } });
  const inPlane = emit.node("Add", [offset, table([rows, columns], windowOffsets)]);
  const indices = emit.node("Add", [inPlane, table([batch, channels, 1, 1], planeOffsets)]);
  return [emit.node("MaxPool", [x], windowAttributes(window)), indices];
}

const maxPoolOperator: Operator<Window> = {
  name: "maxPool2d",
  infer: (inputs, window) => {
    const pooled = pooledType("maxPool2d", at(inputs, 0), window);
    return [pooled, { dtype: "int64", shape: pooled.shape }];
  },
  // The second output holds each maximum's index in the flattened input; the first of several.
  lower: (emit, names, { inputs, outputs, attributes }) =>
    emit.target.provider === "webgpu"
      ? lowerMaxPoolByArgMax(emit, at(names, 0), at(inputs, 0), at(outputs, 0), attributes)
      : emit.nodes("MaxPool", names, windowAttributes(attributes), { outputs: 2 }),
  vjp: ({ inputs, outputs }, [g]) => {
    if (!g) return [];
    const [x, places] = [at(inputs, 0), at(outputs, 1)];
    return [reshape(scatterRows(reshape(places, [g.size]), reshape(g, [g.size, 1]), x.size), x.shape)];
  },
};

/**
 * The maximum of every window, as `torch.nn.functional.max_pool2d`; the gradient goes to the first of equal ones.
 * @param x `[B, C, H, W]`
 */
export function maxPool2d(
  x: Tensor,
  { kernel, stride = kernel, padding = 0, dilation = 1 }: PoolOptions & Pick<WindowOptions, "dilation">,
): Tensor {
  return at(apply(maxPoolOperator, [x], makeWindow("maxPool2d", kernel, { stride, padding, dilation })), 0);
}
