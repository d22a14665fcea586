/** @file Oracle table: convolution, windows, pooling, resizing, sampling. */

import fc from "fast-check";
import { conv2d, convTranspose2d, fold, unfold } from "#src/graph/index.js";
import type { OracleEntry } from "./operator-oracle.js";

const dim = (low: number, high: number) => fc.integer({ min: low, max: high });
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
];
