/** @file Conformance cases: gathering, scattering, ordering, running sums, padding modes. */

import type { Tensor } from "../../graph/index.js";
import { type ConformanceCase, int64, wave } from "./case.js";

const table = wave([5, 4]);
/** Places along the last dimension of a [2, 4] tensor, one of them twice. */
const places = int64([2, 3], [3, 0, 0, 1, 2, 3]);

export const indexCases: readonly ConformanceCase[] = [
  {
    name: "gather",
    inputs: { x: table, rows: int64([3], [4, 0, 4]) },
    trace: (g, [x, rows]) => g.gather(x as Tensor, 0, rows as Tensor),
  },
  {
    name: "gather, last axis",
    inputs: { x: table, columns: int64([2], [3, 1]) },
    trace: (g, [x, columns]) => g.gather(x as Tensor, 1, columns as Tensor),
  },
  {
    name: "gatherElements",
    inputs: { x: wave([2, 4]), places },
    trace: (g, [x, indices]) => g.gatherElements(x as Tensor, 1, indices as Tensor),
  },
  {
    name: "scatterElements",
    inputs: {
      x: wave([2, 4]),
      places: int64([2, 3], [3, 0, 1, 1, 2, 3]),
      updates: wave([2, 3], { phase: 1 }),
    },
    trace: (g, [x, indices, updates]) =>
      g.scatterElements(x as Tensor, 1, indices as Tensor, updates as Tensor),
  },
  {
    name: "scatterAdd",
    inputs: { x: wave([2, 4]), places, updates: wave([2, 3], { phase: 1 }) },
    trace: (g, [x, indices, updates]) => g.scatterAdd(x as Tensor, 1, indices as Tensor, updates as Tensor),
  },
  {
    name: "scatterRows",
    inputs: { rows: int64([3], [4, 0, 4]), updates: wave([3, 4]) },
    trace: (g, [rows, updates]) => g.scatterRows(rows as Tensor, updates as Tensor, 6),
  },
  {
    name: "topK",
    inputs: { x: table },
    trace: (g, [x]) => {
      const [largest, smallest] = [
        g.topK(x as Tensor, 2),
        g.topK(x as Tensor, 3, { axis: 0, largest: false }),
      ];
      return [largest.values, largest.indices, smallest.values, smallest.indices];
    },
  },
  {
    name: "sort",
    inputs: { x: table },
    trace: (g, [x]) => {
      const { values, indices } = g.sort(x as Tensor, { axis: 0, descending: true });
      return [values, indices];
    },
  },
  {
    name: "argmax",
    inputs: { x: table },
    trace: (g, [x]) => [g.argmax(x as Tensor, 0), g.argmax(x as Tensor, 1)],
  },
  {
    name: "argmin",
    inputs: { x: table },
    trace: (g, [x]) => [g.argmin(x as Tensor, 0), g.argmin(x as Tensor, 1)],
  },
  {
    name: "oneHot",
    inputs: { labels: int64([4], [2, 0, 5, 1]) },
    trace: (g, [labels]) => g.oneHot(labels as Tensor, 4),
  },
  { name: "cumsum", inputs: { x: table }, trace: (g, [x]) => g.cumsum(x as Tensor, 0) },
  {
    name: "cumsum, exclusive from the end",
    inputs: { x: table },
    trace: (g, [x]) => g.cumsum(x as Tensor, 1, { exclusive: true, reverse: true }),
  },
  {
    name: "pad, reflect",
    inputs: { x: table },
    trace: (g, [x]) => g.pad(x as Tensor, { axis: 1, before: 2, after: 3, mode: "reflect" }),
  },
  {
    name: "pad, edge",
    inputs: { x: table },
    trace: (g, [x]) => g.pad(x as Tensor, { axis: 0, before: 2, after: 1, mode: "edge" }),
  },
];
