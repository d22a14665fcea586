/** @file Conformance cases: convolution, pooling, resizing, sampling. */

import type { Tensor } from "../../graph/index.js";
import { type ConformanceCase, type Operators, wave } from "./case.js";

const image = wave([2, 4, 6, 7]);

type Conv = NonNullable<Parameters<Operators["conv2d"]>[2]>;
type ConvTranspose = NonNullable<Parameters<Operators["convTranspose2d"]>[2]>;

function conv(name: string, weight: readonly number[], options: Conv): ConformanceCase {
  return {
    name: `conv2d, ${name}`,
    inputs: { x: image, weight: wave(weight, { scale: 0.3, phase: 1 }) },
    trace: (g, [x, w]) => g.conv2d(x as Tensor, w as Tensor, options),
  };
}

function convTranspose(name: string, weight: readonly number[], options: ConvTranspose): ConformanceCase {
  return {
    name: `convTranspose2d, ${name}`,
    inputs: { x: image, weight: wave(weight, { scale: 0.3, phase: 1 }) },
    trace: (g, [x, w]) => g.convTranspose2d(x as Tensor, w as Tensor, options),
  };
}

const resizing = (["nearest", "bilinear", "bicubic"] as const).flatMap((mode) =>
  [
    [12, 14],
    [4, 9],
  ].map(
    ([height = 1, width = 1]): ConformanceCase => ({
      name: `resize, ${mode} to ${height} x ${width}`,
      inputs: { x: image },
      trace: (g, [x]) => g.resize(x as Tensor, { size: [height, width], mode }),
    }),
  ),
);

/** Places inside and outside the image, none on a pixel's edge. */
const grid = wave([2, 5, 4, 2], { scale: 1.23, phase: 0.2 });

const sampling = (["zeros", "border", "reflection"] as const).flatMap((padding) =>
  (["bilinear", "nearest"] as const).map(
    (mode): ConformanceCase => ({
      name: `gridSample, ${mode}, ${padding}`,
      inputs: { x: image, grid },
      trace: (g, [x, places]) => g.gridSample(x as Tensor, places as Tensor, { mode, padding }),
    }),
  ),
);

export const imageCases: readonly ConformanceCase[] = [
  conv("3 x 3", [5, 4, 3, 3], { padding: 1 }),
  conv("1 x 1", [5, 4, 1, 1], {}),
  conv("stride 2", [5, 4, 3, 3], { padding: 1, stride: 2 }),
  conv("dilated", [5, 4, 3, 3], { padding: 2, dilation: 2 }),
  conv("grouped", [6, 2, 3, 3], { padding: 1, groups: 2 }),
  conv("depthwise", [4, 1, 3, 3], { padding: 1, groups: 4 }),
  convTranspose("stride 2", [4, 3, 4, 4], { stride: 2, padding: 1 }),
  convTranspose("stride 1", [4, 3, 3, 3], { padding: 1 }),
  convTranspose("output padding", [4, 3, 3, 3], { stride: 2, padding: 1, outputPadding: 1 }),
  {
    name: "unfold",
    inputs: { x: image },
    trace: (g, [x]) => g.unfold(x as Tensor, { kernel: 3, stride: 2, padding: 1 }),
  },
  {
    name: "unfold, patches",
    inputs: { x: wave([2, 3, 8, 8]) },
    trace: (g, [x]) => g.unfold(x as Tensor, { kernel: 4, stride: 4 }),
  },
  {
    name: "fold",
    inputs: { x: wave([2, 2 * 9, 12]) },
    trace: (g, [x]) => g.fold(x as Tensor, { size: [6, 7], kernel: 3, stride: 2, padding: 1 }),
  },
  { name: "avgPool2d", inputs: { x: image }, trace: (g, [x]) => g.avgPool2d(x as Tensor, { kernel: 2 }) },
  {
    name: "avgPool2d, overlapping",
    inputs: { x: image },
    trace: (g, [x]) => g.avgPool2d(x as Tensor, { kernel: 3, stride: 2, padding: 1, countIncludePad: false }),
  },
  { name: "maxPool2d", inputs: { x: image }, trace: (g, [x]) => g.maxPool2d(x as Tensor, { kernel: 2 }) },
  {
    name: "maxPool2d, overlapping",
    inputs: { x: image },
    trace: (g, [x]) => g.maxPool2d(x as Tensor, { kernel: 3, stride: 2, padding: 1 }),
  },
  ...resizing,
  ...sampling,
];
