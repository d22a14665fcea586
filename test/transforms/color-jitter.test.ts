/** @file ColorJitter: all 24 orders against torchvision's functional transforms applied in that order. */

import type { Tensor } from "#src/graph/index.js";
import { randomStream } from "#src/random.js";
import { colorJitter, drawBatch, jitterParameters } from "#src/transforms/index.js";
import { expect, test } from "vitest";
import { largestDifference, readFixture, type StoredArray, stored, useDevice } from "./helpers.js";

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
  return drawBatch({ ...jitter, draw: () => jitterParameters(plans[next++] as (typeof plans)[number]) }, streams);
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
    const part = (data: Float32Array) => ({ ...expected, shape: [size], data: data.slice(i * size, (i + 1) * size) });
    expect(largestDifference(part(result.data), part(expected.data))).toBeLessThan(5e-6);
  });
});

test("a sample that is not jittered stays as it is, up to rounding", async () => {
  const plan = { order: [2, 3, 0, 1], factors: [1, 1, 1] as const, hue: 0 };
  const result = await evaluate({ images, ...batchOf([plan, plan]) }, applyJitter);
  expect(largestDifference(result, images)).toBeLessThan(5e-7);
});

/** |count - n p| within 5 standard deviations: chance of a false alarm below 1e-6. */
function expectBinomial(count: number, n: number, p: number): void {
  expect(Math.abs(count - n * p)).toBeLessThan(5 * Math.sqrt(n * p * (1 - p)));
}

test("draws: probability, ranges, all orders alike, the same from the same stream", () => {
  const n = 10_000;
  let jittered = 0;
  const orders = new Map<string, number>();
  for (let i = 0; i < n; i++) {
    const draw = jitter.draw(randomStream(1, "jitter", i));
    expect(jitter.draw(randomStream(1, "jitter", i))).toEqual(draw);
    const slots = draw.slots as readonly number[];
    expect(slots).toHaveLength(18);
    const hue = draw.hue?.[0] as number;
    expect(Math.abs(hue)).toBeLessThanOrEqual(0.1);
    const kinds: string[] = [];
    for (let slot = 0; slot < 6; slot++) {
      const [image, gray, mean] = slots.slice(3 * slot, 3 * slot + 3) as [number, number, number];
      if (slot === 3 && hue !== 0) kinds.push("h");
      const kind = gray !== 0 ? "s" : mean !== 0 ? "c" : image !== 1 ? "b" : "";
      if (kind === "") continue;
      kinds.push(kind);
      const strength = kind === "s" ? 0.2 : 0.4;
      expect(Math.abs(image - 1)).toBeLessThanOrEqual(strength + 1e-12);
      expect(image + gray + mean).toBeCloseTo(kind === "b" ? image : 1, 12);
    }
    if (hue === 0) {
      expect(kinds).toEqual([]);
      continue;
    }
    jittered++;
    orders.set(kinds.join(""), (orders.get(kinds.join("")) ?? 0) + 1);
  }
  expectBinomial(jittered, n, 0.8);
  expect(orders.size).toBe(24);
  for (const [order, count] of orders) {
    expect([...order].sort().join("")).toBe("bchs");
    expectBinomial(count, jittered, 1 / 24);
  }
});
