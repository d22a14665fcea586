/** @file Convolution and transposed convolution of images, and their gradients. */

import { GraphError } from "../errors.js";
import type { Emitter } from "../onnx/emitter.js";
import { applyOne, at, type Operator, requireFloat, requireRank, type Tensor } from "../tensor.js";
import { matmul } from "./matmul.js";
import { sum } from "./reduce.js";
import { reshape, transpose } from "./reshape.js";
import { imageShape, lowerFold, lowerUnfold, unfoldWindows } from "./unfold.js";
import {
  both,
  extent,
  makeWindow,
  type Pair,
  type Window,
  type WindowOptions,
  windowAttributes,
  windowCounts,
} from "./window.js";

export interface ConvOptions extends WindowOptions {
  /** Channels are cut into this many groups that do not see each other (default 1). */
  readonly groups?: number;
}

export interface ConvTransposeOptions extends ConvOptions {
  /** Rows and columns added at the bottom and the right, less than the stride (default 0). */
  readonly outputPadding?: Pair;
}

interface ConvAttributes {
  readonly window: Window;
  readonly groups: number;
}

interface ConvTransposeAttributes extends ConvAttributes {
  readonly outputPadding: readonly [number, number];
}

function requireGroups(operator: string, groups: number, channels: number, tensor: Tensor): void {
  if (!Number.isInteger(groups) || groups < 1 || channels % groups !== 0) {
    throw new GraphError(
      `${operator}: ${channels} channels of ${tensor} do not divide into ${groups} groups`,
    );
  }
}

/**
 * The products `a[b, g] b[b, g]^T` summed over the batch: `[B, G, M, L], [B, G, N, L] -> [G, M, N]`.
 * One product over `B * L` needs copies of the operands with the batch inside, batched products are summed
 * afterwards: takes what moves less memory.
 */
function contract(a: Tensor, b: Tensor): Tensor {
  const [batch, groups, rows, length] = imageShape(a);
  const columns = at(b.shape, 2);
  if (rows * columns <= (rows + columns) * length) return sum(matmul(a, b, { transposeB: true }), [0]);
  const batchInside = (x: Tensor): Tensor =>
    reshape(transpose(x, [1, 2, 0, 3]), [groups, -1, batch * length]);
  return matmul(batchInside(a), batchInside(b), { transposeB: true });
}

/** `[B, C, …] -> [B, groups, C / groups, L]` */
function grouped(x: Tensor, groups: number): Tensor {
  return reshape(x, [at(x.shape, 0), groups, at(x.shape, 1) / groups, -1]);
}

const convOperator: Operator<ConvAttributes> = {
  name: "conv2d",
  infer: (inputs, { window, groups }) => {
    const [x, weight] = [at(inputs, 0), at(inputs, 1)];
    const [batch, channels, height, width] = imageShape(x);
    if (at(weight.shape, 1) * groups !== channels) {
      const per = groups === 1 ? "" : ` in ${groups} groups`;
      throw new GraphError(
        `conv2d: weight ${weight} takes ${at(weight.shape, 1) * groups} channels${per}, ` +
          `the image ${x} has ${channels}; weight is [O, C / groups, kh, kw]`,
      );
    }
    requireGroups("conv2d", groups, at(weight.shape, 0), weight);
    return {
      dtype: x.dtype,
      shape: [batch, at(weight.shape, 0), ...windowCounts("conv2d", window, [height, width])],
    };
  },
  lower: (emit, [x, weight], { inputs, outputs, attributes: { window, groups } }) => {
    const image = at(inputs, 0);
    if (image.dtype !== "float64") {
      const attributes = { ...windowAttributes(window), group: { int: groups } };
      return emit.node("Conv", [x as string, weight as string], attributes);
    }
    // Without a float64 kernel: the product with the columns.
    const [batch, channels] = imageShape(image);
    const [, filters, rows, columns] = imageShape(at(outputs, 0));
    const elements = (channels / groups) * window.kernel[0] * window.kernel[1];
    const product = emit.node("MatMul", [
      emit.node("Reshape", [weight as string, emit.ints([1, groups, filters / groups, elements])]),
      emit.node("Reshape", [
        lowerUnfold(emit, x as string, image, window),
        emit.shape([batch, groups, elements, rows * columns]),
      ]),
    ]);
    return emit.node("Reshape", [product, emit.shape(at(outputs, 0).shape)]);
  },
  vjp: ({ inputs, outputs, attributes: { window, groups } }, [g]) => {
    if (!g) return [];
    const [x, weight] = [at(inputs, 0), at(inputs, 1)];
    const [, , height, width] = imageShape(x);
    const [, , rows, columns] = imageShape(at(outputs, 0));
    const span = extent(window);
    const restOf = (axis: 0 | 1, size: number, count: number): number =>
      size - ((count - 1) * window.stride[axis] - 2 * window.padding[axis] + span[axis]);
    const outputPadding = [restOf(0, height, rows), restOf(1, width, columns)] as const;
    return [
      applyOne(convTransposeOperator, [g, weight], { window, groups, outputPadding }),
      reshape(contract(grouped(g, groups), grouped(unfoldWindows(x, window), groups)), weight.shape),
    ];
  },
};

const convTransposeOperator: Operator<ConvTransposeAttributes> = {
  name: "convTranspose2d",
  infer: (inputs, { window, groups, outputPadding }) => {
    const [x, weight] = [at(inputs, 0), at(inputs, 1)];
    const [batch, channels, rows, columns] = imageShape(x);
    if (at(weight.shape, 0) !== channels) {
      throw new GraphError(
        `convTranspose2d: weight ${weight} takes ${at(weight.shape, 0)} channels, the image ${x} has ${channels}; ` +
          "weight is [C, O / groups, kh, kw]",
      );
    }
    requireGroups("convTranspose2d", groups, channels, x);
    const span = extent(window);
    const sizeOf = (axis: 0 | 1, count: number): number =>
      (count - 1) * window.stride[axis] - 2 * window.padding[axis] + span[axis] + outputPadding[axis];
    const size = [sizeOf(0, rows), sizeOf(1, columns)] as const;
    if (size[0] < 1 || size[1] < 1) {
      throw new GraphError(`convTranspose2d: padding ${window.padding.join(" x ")} leaves nothing of ${x}`);
    }
    return { dtype: x.dtype, shape: [batch, at(weight.shape, 1) * groups, ...size] };
  },
  lower: (emit, [x, weight], { inputs, outputs, attributes }) => {
    const { window, groups, outputPadding } = attributes;
    const [image, filter, result] = [at(inputs, 0), at(inputs, 1), at(outputs, 0)];
    const span = extent(window);
    const isDense = window.stride[0] * window.stride[1] === 1 && groups === 1;
    const fits = span[0] > window.padding[0] && span[1] > window.padding[1];
    if (result.dtype !== "float64") {
      if (isDense && fits) return lowerAsConv(emit, [x as string, weight as string], filter, attributes);
      if (emit.target.provider !== "cpu") {
        return emit.node("ConvTranspose", [x as string, weight as string], {
          ...windowAttributes(window),
          group: { int: groups },
          output_padding: { ints: outputPadding },
        });
      }
    }
    // One product to columns, summed into the image: 0.6 to 0.9 of the time of the CPU's ConvTranspose kernel.
    const [batch, channels, rows, columns] = imageShape(image);
    const elements = at(filter.shape, 1) * window.kernel[0] * window.kernel[1];
    const flat = emit.node("Reshape", [
      weight as string,
      emit.ints([1, groups, channels / groups, elements]),
    ]);
    const turned = emit.node("Transpose", [flat], { perm: { ints: [0, 1, 3, 2] } });
    const pixels = emit.node("Reshape", [
      x as string,
      emit.shape([batch, groups, channels / groups, rows * columns]),
    ]);
    const product = emit.node("MatMul", [turned, pixels]);
    const cols = emit.node("Reshape", [product, emit.shape([batch, groups * elements, rows * columns])]);
    return lowerFold(emit, cols, result, window);
  },
  vjp: ({ inputs, attributes: { window, groups } }, [g]) => {
    if (!g) return [];
    const [x, weight] = [at(inputs, 0), at(inputs, 1)];
    const [batch, channels, rows, columns] = imageShape(x);
    // The windows of g serve both: g is folded from columns W^T x, so dx = W columns(g) and dW = x columns(g)^T.
    const windows = grouped(unfoldWindows(g, window), groups);
    const flat = reshape(weight, [1, groups, channels / groups, -1]);
    return [
      reshape(matmul(flat, windows), [batch, channels, rows, columns]),
      reshape(contract(grouped(x, groups), windows), weight.shape),
    ];
  },
};

/** With stride 1 a transposed convolution is a convolution with the kernel turned by 180° (2 to 5 times as fast). */
function lowerAsConv(
  emit: Emitter,
  [x, weight]: readonly [string, string],
  filter: Tensor,
  { window }: ConvTransposeAttributes,
): string {
  const swapped = emit.node("Transpose", [weight], { perm: { ints: [1, 0, 2, 3] } });
  const isPoint = at(filter.shape, 2) * at(filter.shape, 3) === 1;
  const last = emit.ints([-1, -1]);
  const turned = isPoint
    ? swapped
    : emit.node("Slice", [swapped, last, emit.ints([-(2 ** 31), -(2 ** 31)]), emit.ints([2, 3]), last]);
  const span = extent(window);
  const pads = [span[0] - 1 - window.padding[0], span[1] - 1 - window.padding[1]] as const;
  return emit.node("Conv", [x, turned], {
    ...windowAttributes(window),
    pads: { ints: [...pads, ...pads] },
  });
}

function checkedWindow(operator: string, x: Tensor, weight: Tensor, options: WindowOptions): Window {
  requireRank(operator, x, 4);
  requireRank(operator, weight, 4);
  requireFloat(operator, x, weight);
  const [, , height, width] = imageShape(weight);
  return makeWindow(operator, [height, width], options);
}

/**
 * Convolution (cross-correlation) of images, as `torch.nn.functional.conv2d` without bias.
 * @param x `[B, C, H, W]` @param weight `[O, C / groups, kh, kw]` @returns `[B, O, H', W']`
 * @throws GraphError when channels, groups or sizes do not fit.
 */
export function conv2d(x: Tensor, weight: Tensor, { groups = 1, ...options }: ConvOptions = {}): Tensor {
  return applyOne(convOperator, [x, weight], { window: checkedWindow("conv2d", x, weight, options), groups });
}

/**
 * Transposed convolution of images, as `torch.nn.functional.conv_transpose2d` without bias.
 * H' = (H - 1) stride - 2 padding + dilation (kh - 1) + 1 + outputPadding.
 * @param x `[B, C, H, W]` @param weight `[C, O / groups, kh, kw]` @returns `[B, O, H', W']`
 * @throws GraphError when channels, groups or sizes do not fit.
 */
export function convTranspose2d(x: Tensor, weight: Tensor, options: ConvTransposeOptions = {}): Tensor {
  const { groups = 1, outputPadding = 0, ...rest } = options;
  const window = checkedWindow("convTranspose2d", x, weight, rest);
  const extra = both(outputPadding);
  for (const axis of [0, 1] as const) {
    if (!Number.isInteger(extra[axis]) || extra[axis] < 0 || extra[axis] >= window.stride[axis]) {
      throw new GraphError(
        `convTranspose2d: outputPadding ${extra.join(" x ")} must be whole and less than ` +
          `the stride ${window.stride.join(" x ")}`,
      );
    }
  }
  return applyOne(convTransposeOperator, [x, weight], { window, groups, outputPadding: extra });
}
