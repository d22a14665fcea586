/** @file Every operator of the graph against its oracle: PyTorch's values, and central differences. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as graph from "#src/graph/index.js";
import { Device } from "#src/runtime/index.js";
import { checkAgainstTorch, checkDifferencesOf, storedCases } from "./operator-oracle.js";
import { elementwiseEntries } from "./oracle-elementwise.js";
import { indexingEntries } from "./oracle-indexing.js";
import { shapeEntries } from "./oracle-shape.js";
import { spatialEntries } from "./oracle-spatial.js";

const entries = [...elementwiseEntries, ...shapeEntries, ...indexingEntries, ...spatialEntries];

let device: Device;
beforeAll(async () => {
  // One thread: these graphs are tiny, and sessions start faster.
  device = await Device.open({ threads: 1 });
});
afterAll(() => device.close());

describe.each(entries)("$operator", ({ torch, differences }) => {
  it.each(Object.entries(torch))("agrees with PyTorch: %s", (name, build) =>
    checkAgainstTorch(device, name, build),
  );

  if (typeof differences === "string") it.skip(`central differences: ${differences}`);
  else it("agrees with central differences", () => checkDifferencesOf(device, differences));
});

/** What the graph exports besides operators. */
const others = [
  // Making, walking and writing graphs.
  ...["apply", "applyOne", "at", "only", "nextNodeId", "Node", "Tensor", "GraphError", "showShape"],
  ...[
    "makeGraph",
    "nodesOf",
    "writingOrder",
    "rewrite",
    "printGraph",
    "writeOnnx",
    "writeOnnxFiles",
    "joinedFile",
  ],
  ...["countFlops", "countMovedBytes", "peakActivationBytes"],
  ...["input", "inputName", "constant", "scalar"],
  ...["requireFloat", "requireRank", "requireSameDType"],
  // Types and shapes.
  ...["bytesPerElement", "hostArray", "isFloat", "fromFloat16Bits", "toFloat16Bits", "zeros"],
  ...["broadcastShapes", "normalizeAxes", "normalizeAxis", "sameShape", "sizeOf", "resampleMatrix"],
  // Differentiation and passes, which have test files of their own.
  ...["grad", "vjp", "customVjp", "checkpoint"],
  ...["passes", "runPasses", "simplify", "eliminateCommonSubexpressions", "tile"],
  ...["foldConstants", "toHalfPrecision"],
];

describe("the oracle table", () => {
  it("has an entry for every operator that the graph exports", () => {
    const operators = Object.keys(graph).filter((name) => !others.includes(name));
    expect(entries.map(({ operator }) => operator).sort()).toEqual(operators.sort());
  });

  it("has PyTorch's values for every entry, and uses every stored case", () => {
    const used = [...new Set(entries.flatMap(({ torch }) => Object.keys(torch)))];
    expect(entries.filter(({ torch }) => Object.keys(torch).length === 0)).toEqual([]);
    expect(used.sort()).toEqual(Object.keys(storedCases).sort());
  });
});
