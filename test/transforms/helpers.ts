/** @file Runs graph functions on fixtures. */

import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect } from "vitest";
import type { Tensor } from "#src/graph/index.js";
import { Device, float32, type HostValue } from "#src/runtime/index.js";

/** An array as make_transforms.py writes it. */
export interface StoredArray {
  readonly shape: readonly number[];
  readonly float32: string;
}

export function readFixture<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../fixtures/transforms/${name}`, import.meta.url), "utf8")) as T;
}

/** A stored array as a value to feed. */
export function stored({ shape, float32: text }: StoredArray): HostValue<"float32"> {
  const bytes = Uint8Array.from(Buffer.from(text, "base64"));
  return float32(new Float32Array(bytes.buffer), shape);
}

/** Opens a device for the tests of a file and returns a function that evaluates graph functions on it. */
export function useDevice() {
  let device: Device | undefined;
  beforeAll(async () => {
    device = await Device.open({ threads: 1 });
  });
  afterAll(() => device?.close());
  return async (
    inputs: Readonly<Record<string, HostValue>>,
    fn: (inputs: Readonly<Record<string, Tensor>>) => Tensor,
  ): Promise<HostValue<"float32">> => {
    if (!device) throw new Error("no device");
    const program = await device.compile({
      name: "transform",
      inputs,
      trace: (tensors) => ({ outputs: { result: fn(tensors) } }),
    });
    const { result } = await program.run(inputs);
    return result as HostValue<"float32">;
  };
}

/** The largest absolute difference of two values of one shape. */
export function largestDifference(a: HostValue<"float32">, b: HostValue<"float32">): number {
  expect(a.shape).toEqual(b.shape);
  return a.data.reduce((worst, value, i) => {
    const difference = Math.abs(value - (b.data[i] as number));
    return Number.isNaN(difference) ? Number.POSITIVE_INFINITY : Math.max(worst, difference);
  }, 0);
}

/** |count - n p| within 5 standard deviations: a false alarm has a chance below 1e-6. */
export function expectBinomial(count: number, n: number, p: number): void {
  expect(Math.abs(count - n * p)).toBeLessThanOrEqual(5 * Math.sqrt(n * p * (1 - p)));
}
