/** @file Windows as columns (im2col) and the sum of columns back into an image (col2im): each other's transpose. */

import { type DType, hostArray } from "../dtype.js";
import { GraphError } from "../errors.js";
import type { Emitter } from "../onnx/emitter.js";
import type { Shape } from "../shape.js";
import {
  applyOne,
  at,
  type Operator,
  requireFloat,
  requireRank,
  type Tensor,
  type TensorType,
} from "../tensor.js";
import { reshape, transpose } from "./reshape.js";
import {
  both,
  extent,
  makeWindow,
  type Pair,
  tiles,
  type Window,
  type WindowOptions,
  windowAttributes,
  windowCounts,
} from "./window.js";

export interface UnfoldOptions extends WindowOptions {
  readonly kernel: Pair;
}

export interface FoldOptions extends UnfoldOptions {
  /** Height and width of the image. */
  readonly size: Pair;
}

/** The four dimensions of a batch of images. */
export function imageShape({ shape }: TensorType): readonly [number, number, number, number] {
  return [at(shape, 0), at(shape, 1), at(shape, 2), at(shape, 3)];
}

/** A convolution kernel that copies: output channel t is element t of the window. */
function copyingKernel(
  emit: Emitter,
  dtype: DType,
  [height, width]: readonly [number, number],
  shape: Shape,
): string {
  const count = height * width;
  const identity = Array.from({ length: count * count }, (_, i) => (i % (count + 1) === 0 ? 1 : 0));
  return emit.constant(dtype, shape, hostArray(dtype, identity));
}

/**
 * Emits the columns `[B, C*kh*kw, L]` of an image. Measured on two cores at decoder sizes (8 x 32 x 112 x 112, kernel 4,
 * stride 2): a convolution with a copying kernel takes 8 ms, contiguous row copies with strided column slices 14 ms,
 * one slice per element of the window 52 ms, a gather of single elements over 100 ms. With stride 1 every copy
 * is contiguous, and the copies are as fast or faster (5x5: 31 against 48 ms).
 */
export function lowerUnfold(emit: Emitter, image: string, type: TensorType, window: Window): string {
  const [batch, channels, height, width] = imageShape(type);
  const { kernel, stride, padding, dilation } = window;
  const counts = windowCounts("unfold", window, [height, width]);
  const columns = emit.shape([batch, channels * kernel[0] * kernel[1], counts[0] * counts[1]]);
  if (type.dtype !== "float64" && stride[0] * stride[1] > 1) {
    const single = emit.node("Reshape", [image, emit.shape([batch * channels, 1, height, width])]);
    const filter = copyingKernel(emit, type.dtype, kernel, [kernel[0] * kernel[1], 1, ...kernel]);
    return emit.node("Reshape", [emit.node("Conv", [single, filter], windowAttributes(window)), columns]);
  }
  const pads = emit.ints([0, 0, ...padding, 0, 0, ...padding]);
  const isPadded = padding[0] + padding[1] > 0;
  const padded = isPadded ? emit.node("Pad", [image, pads, emit.scalar(type.dtype, 0)]) : image;
  const rows = Array.from({ length: kernel[0] * counts[0] }, (_, i) => {
    const [tap, row] = [Math.floor(i / counts[0]), i % counts[0]];
    return tap * dilation[0] + row * stride[0];
  });
  const paddedWidth = width + 2 * padding[1];
  const taken = emit.node("Reshape", [
    emit.node("Gather", [padded, emit.ints(rows)], { axis: { int: 2 } }),
    emit.shape([batch * channels * kernel[0], 1, counts[0], paddedWidth]),
  ]);
  const parts = Array.from({ length: kernel[1] }, (_, tap) => {
    const start = tap * dilation[1];
    const end = start + (counts[1] - 1) * stride[1] + 1;
    return emit.node("Slice", [
      taken,
      emit.ints([start]),
      emit.ints([end]),
      emit.ints([3]),
      emit.ints([stride[1]]),
    ]);
  });
  const joined = parts.length === 1 ? at(parts, 0) : emit.node("Concat", parts, { axis: { int: 1 } });
  return emit.node("Reshape", [joined, columns]);
}

/** Emits the image of type `image` (`[B, C, H, W]`) that columns `[B, C*kh*kw, L]` sum to. */
export function lowerFold(emit: Emitter, columns: string, image: TensorType, window: Window): string {
  const [batch, channels, height, width] = imageShape(image);
  const { kernel, stride, padding } = window;
  const counts = windowCounts("fold", window, [height, width]);
  const shape = emit.shape(image.shape);
  if (image.dtype === "float64") return lowerFoldByTable(emit, columns, image, window);
  if (emit.target.provider === "cpu") {
    const { strides, pads, dilations } = windowAttributes(window);
    const operands = [columns, emit.ints([height, width]), emit.ints(kernel)];
    return emit.node("Reshape", [emit.node("Col2Im", operands, { strides, pads, dilations }), shape]);
  }
  const single = emit.node("Reshape", [
    columns,
    emit.shape([batch * channels, kernel[0] * kernel[1], ...counts]),
  ]);
  const filter = copyingKernel(emit, image.dtype, kernel, [kernel[0] * kernel[1], 1, ...kernel]);
  const span = extent(window);
  const rest = (axis: 0 | 1, size: number): number =>
    size - ((counts[axis] - 1) * stride[axis] + span[axis] - 2 * padding[axis]);
  const folded = emit.node("ConvTranspose", [single, filter], {
    ...windowAttributes(window),
    output_padding: { ints: [rest(0, height), rest(1, width)] },
  });
  return emit.node("Reshape", [folded, shape]);
}

/** For float64, which has no kernel: every pixel gathers the columns' elements that fall on it, and sums them. */
function lowerFoldByTable(emit: Emitter, columns: string, image: TensorType, window: Window): string {
  const [batch, channels, height, width] = imageShape(image);
  const { kernel, stride, padding, dilation } = window;
  const counts = windowCounts("fold", window, [height, width]);
  const elements = kernel[0] * kernel[1] * counts[0] * counts[1];
  const sources: number[][] = Array.from({ length: height * width }, () => []);
  for (let element = 0; element < elements; element++) {
    const [tap, place] = [Math.floor(element / (counts[0] * counts[1])), element % (counts[0] * counts[1])];
    const row =
      Math.floor(place / counts[1]) * stride[0] + Math.floor(tap / kernel[1]) * dilation[0] - padding[0];
    const column = (place % counts[1]) * stride[1] + (tap % kernel[1]) * dilation[1] - padding[1];
    if (row >= 0 && row < height && column >= 0 && column < width)
      sources[row * width + column]?.push(element);
  }
  const most = Math.max(1, ...sources.map((list) => list.length));
  const table = Array.from({ length: most }, (_, i) => sources.map((list) => list[i] ?? elements)).flat();
  const flat = emit.node("Reshape", [columns, emit.shape([batch, channels, elements])]);
  const withZero = emit.node("Pad", [flat, emit.ints([0, 0, 0, 0, 0, 1]), emit.scalar(image.dtype, 0)]);
  const gathered = emit.node("Gather", [withZero, emit.ints(table)], { axis: { int: 2 } });
  const stacked = emit.node("Reshape", [gathered, emit.shape([batch, channels, most, height, width])]);
  return emit.node("ReduceSum", [stacked, emit.ints([2])], { keepdims: { int: 0 } });
}

const unfoldOperator: Operator<Window> = {
  name: "unfold",
  infer: (inputs, window) => {
    const x = at(inputs, 0);
    requireRank("unfold", x, 4);
    requireFloat("unfold", x);
    const [batch, channels, height, width] = imageShape(x);
    const counts = windowCounts("unfold", window, [height, width]);
    return {
      dtype: x.dtype,
      shape: [batch, channels * window.kernel[0] * window.kernel[1], counts[0] * counts[1]],
    };
  },
  lower: (emit, [x], { inputs, attributes }) => lowerUnfold(emit, x as string, at(inputs, 0), attributes),
  vjp: ({ inputs, attributes }, [g]) => {
    const [, , height, width] = imageShape(at(inputs, 0));
    return [g && foldWindows(g, [height, width], attributes)];
  },
};

interface FoldAttributes {
  readonly size: readonly [number, number];
  readonly window: Window;
}

const foldOperator: Operator<FoldAttributes> = {
  name: "fold",
  infer: (inputs, { size, window }) => {
    const x = at(inputs, 0);
    requireRank("fold", x, 3);
    requireFloat("fold", x);
    const counts = windowCounts("fold", window, size);
    const elements = window.kernel[0] * window.kernel[1];
    const [batch, rows, places] = [at(x.shape, 0), at(x.shape, 1), at(x.shape, 2)];
    if (rows % elements !== 0 || places !== counts[0] * counts[1]) {
      throw new GraphError(
        `fold: ${x} is not [B, C * ${elements}, ${counts[0] * counts[1]}], the columns of ` +
          `${counts.join(" x ")} windows of ${window.kernel.join(" x ")} in an image of ${size.join(" x ")}`,
      );
    }
    return { dtype: x.dtype, shape: [batch, rows / elements, ...size] };
  },
  lower: (emit, [x], { outputs, attributes: { window } }) =>
    lowerFold(emit, x as string, at(outputs, 0), window),
  vjp: ({ attributes: { window } }, [g]) => [g && unfoldWindows(g, window)],
};

/** `unfold` for a window that was checked before. */
export function unfoldWindows(x: Tensor, window: Window): Tensor {
  if (x.rank !== 4 || !tiles(window, [at(x.shape, 2), at(x.shape, 3)]))
    return applyOne(unfoldOperator, [x], window);
  // Patches without overlap are the same elements in another order.
  const [batch, channels, height, width] = imageShape(x);
  const [rows, columns] = [height / window.kernel[0], width / window.kernel[1]];
  const cut = reshape(x, [batch, channels, rows, window.kernel[0], columns, window.kernel[1]]);
  const elements = window.kernel[0] * window.kernel[1];
  return reshape(transpose(cut, [0, 1, 3, 5, 2, 4]), [batch, channels * elements, rows * columns]);
}

/** `fold` for a window that was checked before. */
export function foldWindows(x: Tensor, size: readonly [number, number], window: Window): Tensor {
  return applyOne(foldOperator, [x], { size, window });
}

/**
 * The windows of an image as columns (im2col), as `torch.nn.Unfold`.
 * @param x `[B, C, H, W]` @returns `[B, C * kh * kw, L]`, L windows in row-major order.
 * @throws GraphError when no window fits.
 */
export function unfold(x: Tensor, { kernel, ...options }: UnfoldOptions): Tensor {
  return unfoldWindows(x, makeWindow("unfold", kernel, options));
}

/**
 * The sum of columns into an image (col2im), as `torch.nn.Fold`: the transpose of `unfold`.
 * @param x `[B, C * kh * kw, L]` @returns `[B, C, H, W]`
 * @throws GraphError when the columns are not those of an image of `size`.
 */
export function fold(x: Tensor, { kernel, size, ...options }: FoldOptions): Tensor {
  return foldWindows(x, both(size), makeWindow("fold", kernel, options));
}
