/** @file ColorJitter: all 24 orders against torchvision's functional transforms applied in that order. */

import { expect, test } from "vitest";
import type { Tensor } from "#src/graph/index.js";
import { randomStream } from "#src/random.js";
import { colorJitter, drawBatch, jitterParameters } from "#src/transforms/index.js";
import {
  expectBinomial,
  largestDifference,
  readFixture,
  type StoredArray,
  stored,
  useDevice,
} from "./helpers.js";

interface JitterFixture {
  readonly images: StoredArray;
  readonly factors: Readonly<Record<"brightness" | "contrast" | "saturation" | "hue", readonly number[]>>;
  readonly orders: readonly { readonly order: readonly number[]; readonly output: StoredArray }[];
}

const fixture = readFixture<JitterFixture>("jitter.json");
const images = stored(fixture.images);
const evaluate = useDevice();
const jitter = colorJitter({ brightness: 0.4, contrast: 0.4, saturation: 0.2, hue: 0.1, probability: 0.8 });

/** The given plans as a batch, through the same packing as drawn ones. */
function batchOf(plans: readonly Parameters<typeof jitterParameters>[0][]) {
  let next = 0;
  const streams = plans.map((_, i) => randomStream(i));
  return drawBatch(
    { ...jitter, draw: () => jitterParameters(plans[next++] as (typeof plans)[number]) },
    streams,
  );
}

const applyJitter = (t: Readonly<Record<string, Tensor>>) => jitter.apply(t.images as Tensor, t);

test("all 24 orders, in one graph", async () => {
  expect(fixture.orders).toHaveLength(24);
  const { brightness, contrast, saturation, hue } = fixture.factors;
  for (const { order, output } of fixture.orders) {
    const plans = [0, 1].map((i) => ({
      order,
      factors: [brightness[i] as number, contrast[i] as number, saturation[i] as number] as const,
      hue: hue[i] as number,
    }));
    const result = await evaluate({ images, ...batchOf(plans) }, applyJitter);
    expect(largestDifference(result, stored(output)), `order ${order.join()}`).toBeLessThan(5e-6);
  }
});

test("each sample has its own order", async () => {
  const { brightness, contrast, saturation, hue } = fixture.factors;
  const chosen = [fixture.orders[3], fixture.orders[20]] as const;
  const plans = chosen.map((item, i) => ({
    order: item?.order ?? [],
    factors: [brightness[i] as number, contrast[i] as number, saturation[i] as number] as const,
    hue: hue[i] as number,
  }));
  const result = await evaluate({ images, ...batchOf(plans) }, applyJitter);
  const size = images.data.length / 2;
  chosen.forEach((item, i) => {
    const expected = stored((item as NonNullable<typeof item>).output);
    const part = (data: Float32Array) => ({
      ...expected,
      shape: [size],
      data: data.slice(i * size, (i + 1) * size),
    });
    expect(largestDifference(part(result.data), part(expected.data))).toBeLessThan(5e-6);
  });
});

test("a sample that is not jittered stays as it is, up to rounding", async () => {
  const plan = { order: [2, 3, 0, 1], factors: [1, 1, 1] as const, hue: 0 };
  const result = await evaluate({ images, ...batchOf([plan, plan]) }, applyJitter);
  expect(largestDifference(result, images)).toBeLessThan(5e-7);
});

/** The operations that a draw holds, in their order: b, c, s, h; checks their ranges. */
function operationsOf(slots: readonly number[], hue: number): string {
  let operations = "";
  for (let slot = 0; slot < 6; slot++) {
    const [image, gray, mean] = slots.slice(3 * slot, 3 * slot + 3) as [number, number, number];
    if (slot === 3 && hue !== 0) operations += "h";
    const operation = gray !== 0 ? "s" : mean !== 0 ? "c" : image !== 1 ? "b" : "";
    operations += operation;
    const isInRange = Math.abs(image - 1) <= (operation === "s" ? 0.2 : 0.4) + 1e-12;
    const isBlend = operation === "b" || operation === "" || Math.abs(image + gray + mean - 1) < 1e-12;
    if (!isInRange || !isBlend) throw new Error(`slot ${slot}: ${image}, ${gray}, ${mean}`);
  }
  return operations;
}

test("draws: probability, ranges, all orders alike, the same from the same stream", () => {
  const n = 10_000;
  const orders = new Map<string, number>();
  let jittered = 0;
  let largestHue = 0;
  for (let i = 0; i < n; i++) {
    const draw = jitter.draw(randomStream(1, "jitter", i));
    if (i % 500 === 0) expect(jitter.draw(randomStream(1, "jitter", i))).toEqual(draw);
    const hue = draw.hue?.[0] as number;
    largestHue = Math.max(largestHue, Math.abs(hue));
    const operations = operationsOf(draw.slots as readonly number[], hue);
    if (operations === "") continue;
    jittered++;
    orders.set(operations, (orders.get(operations) ?? 0) + 1);
  }
  expectBinomial(jittered, n, 0.8);
  expect(largestHue).toBeGreaterThan(0.099);
  expect(largestHue).toBeLessThanOrEqual(0.1);
  expect(orders.size).toBe(24);
  for (const [order, count] of orders) {
    expect([...order].sort().join("")).toBe("bchs");
    expectBinomial(count, jittered, 1 / 24);
  }
});
