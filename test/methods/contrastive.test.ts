/** @file Contrastive losses and their gradients against PyTorch; batches that have no negatives. */

import { expect, test } from "vitest";
import { grad, input, type Tensor } from "#src/graph/index.js";
import { infoNceInBatch, infoNceWithQueue, ntXent } from "#src/methods/index.js";
import { StoredModel } from "../models/helpers.js";
import { evaluate, expectClose, get, largestOf, type Traced } from "../nn/helpers.js";

const stored = await StoredModel.open("contrastive", "methods");
const temperatures = stored.config.temperatures as Record<string, number>;

const losses = {
  ntXent: ({ x, y }: Traced, temperature: number) => ntXent(x as Tensor, y as Tensor, temperature),
  queue: ({ x, y, memory }: Traced, temperature: number) =>
    infoNceWithQueue(x as Tensor, y as Tensor, memory as Tensor, temperature),
  inBatch: ({ x, y }: Traced, temperature: number) => infoNceInBatch(x as Tensor, y as Tensor, temperature),
} as const;

test.each(Object.keys(temperatures))("value and gradients are PyTorch's: %s", async (name) => {
  const values = stored.under(`${name}.`);
  const kind = name.split(".")[0] as keyof typeof losses;
  const feeds = { x: get(values, "x"), y: get(values, "y"), memory: get(values, "memory") };
  const results = await evaluate(feeds, (inputs) => {
    const { loss, accuracy } = losses[kind](inputs, get(temperatures, name));
    const [dx, dy] = grad(loss, [inputs.x as Tensor, inputs.y as Tensor]);
    return { loss, accuracy, dx: dx as Tensor, dy: dy as Tensor };
  });
  const of = (key: string) => stored.stored(`${name}.${key}`);
  // At T = 0.01 similarities are multiplied by 100, and so is their rounding.
  const factor = name.endsWith("sharp") ? 10 : 1;
  expectClose(results.loss, of("loss"), 1e-5 * factor, "loss", 0.1);
  expectClose(results.accuracy, of("accuracy"), 1e-6, "accuracy");
  expectClose(results.dx, of("xGradient"), 1e-4 * factor, "gradient of x");
  if (kind === "ntXent") expectClose(results.dy, of("yGradient"), 1e-4 * factor, "gradient of y");
  else expect(largestOf(results.dy?.data as Float32Array)).toBe(0);
});

test("batches without negatives and unequal ones are refused", () => {
  const rows = (count: number, width = 4) => input("x", [count, width]);
  expect(() => ntXent(rows(1), rows(1), 0.1)).toThrow("a batch of 1 has no negatives; use at least 2");
  expect(() => infoNceInBatch(rows(1), rows(1), 0.1)).toThrow("a batch of 1 has no negatives");
  expect(() => infoNceInBatch(rows(3), rows(2), 0.1)).toThrow("two batches [B, D] of one shape");
  expect(() => ntXent(rows(3), rows(3, 5), 0.1)).toThrow("two batches [B, D] of one shape");
  expect(infoNceWithQueue(rows(1), rows(1), rows(7), 0.1).loss.shape).toEqual([]);
});
