/** @file Windows that slide over the last two dimensions: their geometry, shared by convolution, pooling and unfold. */

import { GraphError } from "../errors.js";

/** One number for both directions, or `[vertical, horizontal]`. */
export type Pair = number | readonly [vertical: number, horizontal: number];

export interface WindowOptions {
  /** Pixels from one window to the next (default 1). */
  readonly stride?: Pair;
  /** Zeros around the image, on both sides (default 0). */
  readonly padding?: Pair;
  /** Pixels from one element of a window to the next (default 1). */
  readonly dilation?: Pair;
}

type Both = readonly [vertical: number, horizontal: number];

/** Where windows lie; every field is `[vertical, horizontal]`. */
export interface Window {
  readonly kernel: Both;
  readonly stride: Both;
  readonly padding: Both;
  readonly dilation: Both;
}

export function both(pair: Pair): Both {
  return typeof pair === "number" ? [pair, pair] : pair;
}

/** @throws GraphError when a number is not whole, or too small. */
export function makeWindow(operator: string, kernel: Pair, options: WindowOptions): Window {
  const { stride = 1, padding = 0, dilation = 1 } = options;
  const window = {
    kernel: both(kernel),
    stride: both(stride),
    padding: both(padding),
    dilation: both(dilation),
  };
  for (const [name, pair] of Object.entries(window)) {
    const least = name === "padding" ? 0 : 1;
    if (pair.some((value) => !Number.isInteger(value) || value < least)) {
      throw new GraphError(
        `${operator}: ${name} [${pair.join(", ")}] must be whole numbers of at least ${least}`,
      );
    }
  }
  return window;
}

/** Pixels from a window's first element to its last, inclusive. */
export function extent({ kernel, dilation }: Window): Both {
  return [dilation[0] * (kernel[0] - 1) + 1, dilation[1] * (kernel[1] - 1) + 1];
}

/** How many windows fit an image of `size`. @throws GraphError when none does. */
export function windowCounts(operator: string, window: Window, size: Both): Both {
  const span = extent(window);
  const along = (axis: 0 | 1): number =>
    Math.floor((size[axis] + 2 * window.padding[axis] - span[axis]) / window.stride[axis]) + 1;
  const counts = [along(0), along(1)] as const;
  if (counts[0] < 1 || counts[1] < 1) {
    throw new GraphError(
      `${operator}: a window of ${span.join(" x ")} does not fit an image of ${size.join(" x ")} ` +
        `with padding ${window.padding.join(" x ")}; enlarge the image or the padding`,
    );
  }
  return counts;
}

/** Whether windows tile the image without overlap, gap or padding. */
export function tiles({ kernel, stride, padding, dilation }: Window, size: Both): boolean {
  return ([0, 1] as const).every(
    (axis) =>
      kernel[axis] === stride[axis] &&
      padding[axis] === 0 &&
      (dilation[axis] === 1 || kernel[axis] === 1) &&
      size[axis] % kernel[axis] === 0,
  );
}

/** ONNX's attributes of a window. */
export function windowAttributes({ kernel, stride, padding, dilation }: Window) {
  return {
    kernel_shape: { ints: kernel },
    strides: { ints: stride },
    pads: { ints: [...padding, ...padding] },
    dilations: { ints: dilation },
  };
}
