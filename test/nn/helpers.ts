/** @file Runs traced functions, and compares them with stored values of PyTorch. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect } from "vitest";
import { grad, mul, sum, type Tensor } from "#src/graph/index.js";
import { Device, type HostValue, hostValue } from "#src/runtime/index.js";

/** A stored tensor. */
export interface Stored {
  readonly shape: readonly number[];
  readonly data: readonly number[];
}

/** A function's stored output, a cotangent, and the gradients of its inputs. */
export interface Case {
  readonly inputs: Readonly<Record<string, Stored>>;
  readonly output: Stored;
  readonly cotangent: Stored;
  readonly gradients: Readonly<Record<string, Stored>>;
}

interface Fixture {
  readonly layers: Readonly<Record<string, Case>>;
  readonly optimizers: readonly {
    readonly optimizer: string;
    readonly weightDecay: number;
    readonly start: Readonly<Record<string, Stored>>;
    readonly steps: readonly {
      readonly learningRate: number;
      readonly gradients: Readonly<Record<string, Stored>>;
      readonly parameters: Readonly<Record<string, Stored>>;
    }[];
  }[];
  readonly clipping: {
    readonly maximum: number;
    readonly gradients: Readonly<Record<string, Stored>>;
    readonly norms: Readonly<Record<string, number>>;
    readonly clipped: Readonly<Record<string, Stored>>;
  };
  readonly bounds: Readonly<Record<"xavierUniform" | "linearDefault" | "convTransposeDefault", number>>;
}

/** Reads a JSON file of test/fixtures; its type is what the script beside it writes. */
export function readFixture<T>(name: string): T {
  return JSON.parse(readFileSync(join(import.meta.dirname, "../fixtures", name), "utf8")) as T;
}

/** Values made by test/fixtures/nn/make_nn.py. */
export const fixture = readFixture<Fixture>("nn/nn.json");

export type Feeds = Readonly<Record<string, HostValue>>;
export type Traced = Readonly<Record<string, Tensor>>;

export function feed({ shape, data }: Stored): HostValue<"float32"> {
  return hostValue("float32", Float32Array.from(data), shape);
}

export function feedAll(record: Readonly<Record<string, Stored>>): Record<string, HostValue> {
  return Object.fromEntries(Object.entries(record).map(([name, stored]) => [name, feed(stored)]));
}

/** Looks up a name that must be there. */
export function get<T>(record: Readonly<Record<string, T>>, name: string): T {
  const value = record[name];
  if (value === undefined) throw new Error(`nothing is named "${name}"`);
  return value;
}

/** One device for all the functions of a test file. */
let shared: Promise<Device> | undefined;
afterAll(async () => (await shared)?.close());

/** Traces, compiles and runs a function once. */
export async function evaluate(
  feeds: Feeds,
  trace: (inputs: Traced) => Traced,
): Promise<Record<string, HostValue>> {
  shared ??= Device.open({ threads: 1 });
  const device = await shared;
  const program = await device.compile({
    name: "test",
    inputs: feeds,
    trace: (inputs) => ({ outputs: trace(inputs) }),
  });
  return program.run(feeds);
}

/**
 * Expects |actual - expected| <= tolerance * max |expected| for each element: an error relative to the tensor's own
 * size (at least `floor`), so that elements near zero do not decide.
 */
export function expectClose(
  actual: HostValue | undefined,
  expected: Stored,
  tolerance: number,
  name: string,
  floor = 0,
): void {
  if (!actual) throw new Error(`there is no "${name}"`);
  expect(actual.shape, name).toEqual(expected.shape);
  const error = relativeError(actual.data as ArrayLike<number>, expected.data, floor);
  expect(error, `relative error of ${name}`).toBeLessThan(tolerance);
}

/** max |values| */
export function largestOf(values: ArrayLike<number>): number {
  let largest = 0;
  for (let i = 0; i < values.length; i++) largest = Math.max(largest, Math.abs(values[i] as number));
  return largest;
}

/** max |a - b| / max(max |b|, floor) */
export function relativeError(actual: ArrayLike<number>, expected: ArrayLike<number>, floor = 0): number {
  const difference = Float64Array.from(expected, (b, i) => (actual[i] as number) - b);
  if (difference.some(Number.isNaN)) return Number.POSITIVE_INFINITY;
  return largestOf(difference) / Math.max(largestOf(expected), floor, Number.MIN_VALUE);
}

/** Expects output (to 1e-5) and every gradient (to 1e-4) of a stored case. */
export async function expectCase(
  { inputs, output, cotangent, gradients }: Case,
  fn: (inputs: Traced) => Tensor,
): Promise<void> {
  const names = Object.keys(inputs);
  const results = await evaluate({ ...feedAll(inputs), cotangent: feed(cotangent) }, (traced) => {
    const result = fn(traced);
    const tensors = names.map((name) => get(traced, name));
    const ofInputs = grad(sum(mul(result, get(traced, "cotangent"))), tensors);
    return {
      output: result,
      ...Object.fromEntries(names.map((name, i) => [`d ${name}`, ofInputs[i] as Tensor])),
    };
  });
  expectClose(results.output, output, 1e-5, "output");
  for (const name of names)
    expectClose(results[`d ${name}`], get(gradients, name), 1e-4, `gradient of ${name}`);
}
