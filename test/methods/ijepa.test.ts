/** @file I-JEPA: a whole step against PyTorch, filled up and not; its teacher; its masks as inputs; what is refused. */

import { describe, expect, test } from "vitest";
import { grad, hostArray, type Tensor } from "#src/graph/index.js";
import { type IjepaOptions, ijepa, ijepaEncoder, ijepaOptions } from "#src/methods/index.js";
import { randomStream } from "#src/random.js";
import { prefixed } from "#src/records.js";
import { type HostValue, hostValue } from "#src/runtime/index.js";
import { parameterSpecs } from "#src/training/index.js";
import { StoredModel } from "../models/helpers.js";
import { evaluate, expectClose, get } from "../nn/helpers.js";
import { plainViews, smallEncoder, traceStages } from "./helpers.js";

const stored = await StoredModel.open("ijepa", "methods");
const { imageSize, depth, predictorDim, predictorDepth, predictorHeads } = stored.config as {
  readonly [Key in "imageSize" | "depth" | "predictorDim" | "predictorDepth" | "predictorHeads"]: number;
};

function method(options: Partial<IjepaOptions> = {}, encoder = {}) {
  const complete = ijepaOptions.parse({
    minKeep: 4,
    predictorDim,
    predictorDepth,
    predictorHeads,
    ...options,
  });
  return ijepa(smallEncoder({ ...ijepaEncoder, imageSize, depth, ...encoder }), plainViews, complete);
}

/** Stored places `[…, K]`, each row filled up by `extra` places that name patches which must not matter. */
function filled(name: string, extra: number): [places: HostValue, padding: HostValue] {
  const { shape, data } = stored.get(name);
  const length = shape.at(-1) as number;
  const wide = [...shape.slice(0, -1), length + extra];
  const rows = data.length / length;
  const places: number[] = [];
  const padding: number[] = [];
  for (let row = 0; row < rows; row++) {
    places.push(
      ...data.subarray(row * length, (row + 1) * length),
      ...Array.from({ length: extra }, (_, i) => 7 * i),
    );
    padding.push(...Array.from({ length: length + extra }, (_, i) => Number(i >= length)));
  }
  return [
    hostValue("int64", hostArray("int64", places) as BigInt64Array<ArrayBuffer>, wide),
    hostValue("bool", Uint8Array.from(padding), wide),
  ];
}

test.each([
  ["as they are", 0, 0],
  ["filled up", 9, 3],
])("a whole step is PyTorch's, the loss and every gradient: masks %s", async (_, moreContext, moreTarget) => {
  const tested = method();
  const parameters = stored.under("parameters.");
  const names = Object.keys(parameterSpecs(tested));
  expect([...names].sort()).toEqual(Object.keys(parameters).sort());
  const [context, contextPadding] = filled("context", moreContext);
  const [targets, targetPadding] = filled("targets", moreTarget);
  const blocks = { context, contextPadding, targets, targetPadding };
  const feeds = {
    ...parameters,
    ...prefixed(stored.under("teacher."), "teacher/encoder."),
    ...blocks,
    v1: stored.get("v1"),
  };
  const results = await evaluate(feeds, (inputs) => {
    const places = Object.fromEntries(Object.keys(blocks).map((name) => [name, get(inputs, name)]));
    const { losses } = traceStages(tested, inputs, { blocks: places });
    const loss = losses.prediction?.value as Tensor;
    const gradients = grad(
      loss,
      names.map((name) => get(inputs, name)),
    );
    return {
      loss,
      ...Object.fromEntries(names.map((name, i) => [`gradients.${name}`, gradients[i] as Tensor])),
    };
  });
  expectClose(results.loss, stored.stored("loss"), 1e-5, "loss");
  for (const name of names) {
    expectClose(results[`gradients.${name}`], stored.stored(`gradients.${name}`), 1e-4, name);
  }
});

test("the teacher is the encoder alone; its momentum grows linearly over the run", () => {
  const { teacher, evaluated } = method();
  expect(Object.keys(teacher?.parameters ?? {})).toEqual(["encoder"]);
  const momentum = teacher?.momentum({ totalSteps: 1000, stepsPerEpoch: 10 });
  expect([0, 250, 1000].map((step) => momentum?.(step))).toEqual([0.996, 0.997, 1]);
  expect(evaluated).toEqual({ weights: "teacher", feature: "mean" });
  expect(method({ evaluate: "student" }).evaluated.weights).toBe("student");
});

test("masks as inputs: rows hold what was drawn, then filling; each (micro-)batch has its own sizes", () => {
  const draw = get(method().draws, "blocks");
  if (!("types" in draw)) throw new Error("drawn for a batch");
  const types = draw.types(8);
  const values = draw.drawBatch(randomStream(1, "masks"), 8);
  const { context, targets } = types;
  expect(targets?.shape).toEqual([8, 4, 12]);
  for (const [name, type] of Object.entries(types)) {
    expect(values[name]).toHaveLength(type.shape.reduce((a, b) => a * b, 1));
  }
  const width = context?.shape[1] as number;
  const kept = (row: number) =>
    (values.context ?? [])
      .slice(row * width, (row + 1) * width)
      .filter((_, i) => values.contextPadding?.[row * width + i] === 0);
  const lengths = new Set(Array.from({ length: 8 }, (_, row) => kept(row).length));
  expect(lengths.size).toBe(1);
  const ofTargets = new Set(targetsOf(values, 12));
  expect(ofTargets.size).toBe(1);
  // A larger batch needs less room, as its shortest context is shorter.
  expect(draw.types(128).context?.shape[1]).toBeLessThan(width);
  expect(draw.types(1).context?.shape[1]).toBe(40);
  const sizes = Array.from({ length: 20 }, (_, i) => {
    const [first = 0] = targetsOf(draw.drawBatch(randomStream(i, "masks"), 2), 12);
    return first;
  });
  expect(new Set(sizes).size).toBeGreaterThan(1);
});

/** How many places of each target block are not filling. */
function targetsOf(values: Readonly<Record<string, readonly number[]>>, width: number): number[] {
  const padding = values.targetPadding ?? [];
  return Array.from({ length: padding.length / width }, (_, block) =>
    padding.slice(block * width, (block + 1) * width).reduce((count, isFilling) => count + 1 - isFilling, 0),
  );
}

describe("bad input is refused with the fix", () => {
  test.each([
    [{ minKeep: 10 }, {}, /a target block can have 9 of the 8x8 patches .* use minKeep 8 or less/],
    [{ predictorHeads: 5 }, {}, /the predictor: 5 heads do not divide its width 12/],
    [{}, { classToken: true }, /I-JEPA: its encoder has no class token; leave out "encoder.classToken"/],
    [{}, { registers: 2 }, /no place for registers/],
    [{}, { dropPath: 0.1 }, /leave out "encoder.dropPath"/],
  ])("%j %j", (options, encoder, message) => {
    expect(() => method(options, encoder)).toThrow(message);
  });

  test.each([
    [{ momentum: [0.9, 1.1] }],
    [{ targetScale: [0.2, 0.1] }],
    [{ targetScale: [0.5, 1.5] }],
    [{ targetAspect: [0, 1] }],
    [{ targets: 0 }],
  ])("%j does not fit the schema", (options) => {
    expect(() => ijepaOptions.parse(options)).toThrow();
  });
});
