/** @file Oracle table: convolution, windows, pooling, resizing, sampling. */

import fc from "fast-check";
import {
  avgPool2d,
  conv2d,
  convTranspose2d,
  fold,
  gridSample,
  maxPool2d,
  type ResizeOptions,
  resize,
  unfold,
} from "#src/graph/index.js";
import type { Build, OracleEntry } from "./operator-oracle.js";
import { dim } from "./oracle-arbitraries.js";

const pair = (low: number, high: number) => fc.tuple(dim(low, high), dim(low, high));

/** Random windows on images that they fit. */
const windows = fc
  .record({ kernel: pair(1, 3), stride: pair(1, 3), padding: pair(0, 2), dilation: pair(1, 2) })
  .chain((options) => {
    const least = ([0, 1] as const).map((i) =>
      Math.max(1, options.dilation[i] * (options.kernel[i] - 1) + 1 - 2 * options.padding[i]),
    ) as [number, number];
    const size = fc.tuple(dim(least[0], least[0] + 3), dim(least[1], least[1] + 3));
    return fc.record({ options: fc.constant(options), size, batch: dim(1, 3), channels: dim(1, 3) });
  });

const grouped = fc.tuple(windows, dim(1, 2), dim(1, 3));

const resizes: Readonly<Record<string, ResizeOptions>> = {
  "nearest up": { size: [6, 8], mode: "nearest" },
  "nearest odd": { size: [7, 5], mode: "nearest" },
  "nearest scale": { scale: [2.3, 0.7], mode: "nearest" },
  "bilinear up": { size: [7, 9], mode: "bilinear" },
  "bilinear corners": { size: [7, 9], mode: "bilinear", alignCorners: true },
  "bilinear down": { size: [2, 1], mode: "bilinear" },
  "bilinear scale": { scale: [2.3, 0.7], mode: "bilinear" },
  "bilinear antialias": { size: [2, 9], mode: "bilinear", antialias: true },
  "bicubic up": { size: [7, 9], mode: "bicubic" },
  "bicubic corners": { size: [7, 1], mode: "bicubic", alignCorners: true },
  "bicubic scale": { scale: [2.3, 0.7], mode: "bicubic" },
  "bicubic antialias": { size: [2, 3], mode: "bicubic", antialias: true },
  "bicubic antialias scale": { scale: [0.6, 1.7], mode: "bicubic", antialias: true },
};

const samplings = (["bilinear", "nearest"] as const).flatMap((mode) =>
  (["zeros", "border", "reflection"] as const).flatMap((padding) =>
    [false, true].map((alignCorners) => ({ mode, padding, alignCorners })),
  ),
);

export const spatialEntries: readonly OracleEntry[] = [
  {
    operator: "conv2d",
    torch: {
      conv2d: ([x, w]) => conv2d(x, w),
      "conv2d/stride": ([x, w]) => conv2d(x, w, { stride: 2, padding: 1 }),
      "conv2d/groups": ([x, w]) =>
        conv2d(x, w, { stride: [1, 2], padding: [2, 1], dilation: [2, 1], groups: 2 }),
      "conv2d/depthwise": ([x, w]) => conv2d(x, w, { padding: 1, groups: 3 }),
      "conv2d/patches": ([x, w]) => conv2d(x, w, { stride: 3 }),
      "conv2d/point": ([x, w]) => conv2d(x, w),
    },
    // float64 is lowered to unfold and a product: this checks the gradient's formula; float32 is PyTorch's to check.
    differences: grouped.map(
      ([
        {
          options: { kernel, ...options },
          size,
          batch,
          channels,
        },
        groups,
        filters,
      ]) => ({
        inputs: [
          { shape: [batch, channels * groups, ...size] },
          { shape: [filters * groups, channels, ...kernel] },
        ],
        build: ([x, w]) => conv2d(x, w, { ...options, groups }),
      }),
    ),
  },
  {
    operator: "convTranspose2d",
    torch: {
      convTranspose2d: ([x, w]) => convTranspose2d(x, w),
      "convTranspose2d/double": ([x, w]) => convTranspose2d(x, w, { stride: 2, padding: 1 }),
      "convTranspose2d/groups": ([x, w]) =>
        convTranspose2d(x, w, {
          stride: [2, 3],
          padding: [1, 0],
          outputPadding: [1, 2],
          groups: 2,
          dilation: [1, 2],
        }),
      "convTranspose2d/crop": ([x, w]) => convTranspose2d(x, w, { padding: 1 }),
    },
    differences: grouped.map(
      ([
        {
          options: { kernel, ...options },
          batch,
          channels,
        },
        groups,
        filters,
      ]) => ({
        inputs: [
          { shape: [batch, channels * groups, 5, 6] },
          { shape: [channels * groups, filters, ...kernel] },
        ],
        build: ([x, w]) => {
          const outputPadding = [options.stride[0] - 1, 0] as const;
          return convTranspose2d(x, w, { ...options, outputPadding, groups });
        },
      }),
    ),
  },
  {
    operator: "unfold",
    torch: {
      unfold: ([x]) => unfold(x, { kernel: 3, padding: 1 }),
      "unfold/stride": ([x]) =>
        unfold(x, { kernel: [2, 3], stride: [2, 1], padding: [1, 0], dilation: [2, 1] }),
      "unfold/patches": ([x]) => unfold(x, { kernel: 2, stride: 2 }),
    },
    differences: windows.map(({ options, size, batch, channels }) => ({
      inputs: [{ shape: [batch, channels, ...size] }],
      build: ([x]) => unfold(x, options),
    })),
  },
  {
    operator: "fold",
    torch: {
      fold: ([x]) => fold(x, { kernel: 3, padding: 1, size: [4, 5] }),
      "fold/stride": ([x]) =>
        fold(x, { kernel: [2, 3], stride: [2, 1], padding: [1, 0], dilation: [2, 1], size: [7, 6] }),
    },
    differences: windows.map(({ options, size, batch, channels }) => {
      const { kernel, stride, padding, dilation } = options;
      const along = (i: 0 | 1) =>
        Math.floor((size[i] + 2 * padding[i] - dilation[i] * (kernel[i] - 1) - 1) / stride[i]) + 1;
      return {
        inputs: [{ shape: [batch, channels * kernel[0] * kernel[1], along(0) * along(1)] }],
        build: ([x]) => fold(x, { ...options, size }),
      };
    }),
  },
  {
    operator: "avgPool2d",
    torch: {
      avgPool2d: ([x]) => avgPool2d(x, { kernel: 2 }),
      "avgPool2d/padding": ([x]) => avgPool2d(x, { kernel: [3, 2], stride: [2, 1], padding: 1 }),
      "avgPool2d/exclude": ([x]) =>
        avgPool2d(x, { kernel: [3, 2], stride: [2, 1], padding: 1, countIncludePad: false }),
    },
    // float64 is lowered to unfold and a mean.
    differences: fc
      .tuple(pair(1, 3), pair(1, 3), pair(3, 6), fc.boolean())
      .map(([kernel, stride, size, countIncludePad]) => ({
        inputs: [{ shape: [2, 2, ...size] }],
        build: ([x]) =>
          avgPool2d(x, { kernel, stride, padding: kernel[0] > 1 ? [1, 0] : 0, countIncludePad }),
      })),
  },
  {
    operator: "maxPool2d",
    torch: {
      maxPool2d: ([x]) => maxPool2d(x, { kernel: 2 }),
      "maxPool2d/padding": ([x]) =>
        maxPool2d(x, { kernel: [3, 2], stride: [2, 1], padding: 1, dilation: [1, 2] }),
      "maxPool2d/ties": ([x]) => maxPool2d(x, { kernel: 3, stride: 1, padding: 1 }),
    },
    differences: fc.tuple(pair(1, 3), pair(1, 3), pair(3, 6)).map(([kernel, stride, size]) => ({
      inputs: [{ shape: [2, 2, ...size] }],
      build: ([x]) => maxPool2d(x, { kernel, stride, padding: kernel[0] > 1 ? [1, 0] : 0 }),
    })),
  },
  {
    operator: "resize",
    torch: Object.fromEntries(
      Object.entries(resizes).map(([name, options]): [string, Build] => [
        `resize/${name}`,
        ([x]) => resize(x, options),
      ]),
    ),
    differences: fc
      .tuple(pair(1, 5), pair(1, 7), fc.constantFrom(...Object.values(resizes)))
      .map(([from, size, { mode, alignCorners = false, antialias = false }]) => ({
        inputs: [{ shape: [2, 2, ...from] }],
        build: ([x]) => resize(x, { size, mode, alignCorners, antialias }),
      })),
  },
  {
    operator: "gridSample",
    torch: Object.fromEntries(
      samplings.map((options): [string, Build] => {
        const { mode, padding, alignCorners } = options;
        const name = `gridSample/${mode} ${padding} ${alignCorners ? "corners" : "edges"}`;
        return [name, ([x, grid]) => gridSample(x, grid, options)];
      }),
    ),
    differences: fc
      .tuple(pair(1, 5), pair(1, 4), dim(1, 3), fc.constantFrom(...samplings))
      .map(([from, to, channels, options]) => ({
        inputs: [{ shape: [2, channels, ...from] }, { shape: [2, ...to, 2], low: -1.7, high: 1.7 }],
        build: ([x, grid]) => gridSample(x, grid, options),
      })),
  },
];
