/**
 * @file The oracle of every operator: PyTorch's stored values and gradients (float32), and central differences along
 * random directions in float64, over random shapes.
 */

import { readFileSync } from "node:fs";
import fc from "fast-check";
import { expect } from "vitest";
import {
  add,
  constant,
  type DType,
  grad,
  hostArray,
  isFloat,
  mul,
  type PassName,
  reshape,
  type Shape,
  sizeOf,
  sum,
  type Tensor,
} from "#src/graph/index.js";
import { type Device, type HostValue, hostValue } from "#src/runtime/index.js";

/** The inputs of a case. A case reads only those that its fixture or its specs hold. */
export type Inputs = readonly [Tensor, Tensor, Tensor, Tensor];

/** An operator under test: its outputs from its inputs. */
export type Build = (inputs: Inputs) => Tensor | readonly Tensor[];

/** What a random input holds. */
export interface InputSpec {
  readonly shape: Shape;
  readonly dtype?: "float" | "int64" | "bool";
  /** Values lie in [low, high), default [-1, 1). */
  readonly low?: number;
  readonly high?: number;
  /** Round values to multiples of this, to make ties. */
  readonly step?: number;
}

/** One random case: inputs and the function of them. */
export interface Example {
  readonly inputs: readonly InputSpec[];
  readonly build: Build;
}

/** All that is checked of one operator. */
export interface OracleEntry {
  /** The name under which the graph exports it. */
  readonly operator: string;
  /** By the name of a case in fixtures/graph/operators.json. */
  readonly torch: Readonly<Record<string, Build>>;
  /** Random cases for central differences, or why there are none. */
  readonly differences: fc.Arbitrary<Example> | string;
}

interface StoredArray {
  readonly dtype: "float32" | "int64" | "bool";
  readonly shape: readonly number[];
  readonly data: string;
}

export interface StoredCase {
  readonly inputs: readonly StoredArray[];
  readonly outputs: readonly StoredArray[];
  readonly gradients: readonly (StoredArray | null)[];
}

export const storedCases = JSON.parse(
  readFileSync(new URL("../fixtures/graph/operators.json", import.meta.url), "utf8"),
) as Readonly<Record<string, StoredCase>>;

/** The stored cases of an operator, named `operator` or `operator/…`, all with the same function. */
export function casesOf(operator: string, build: Build): Record<string, Build> {
  const names = Object.keys(storedCases).filter(
    (name) => name === operator || name.startsWith(`${operator}/`),
  );
  return Object.fromEntries(names.map((name) => [name, build]));
}

/** Why an operator has no central differences. */
export function noKernel(type: string): string {
  return `${type} has no float64 kernel on the CPU; PyTorch's gradient checks it in float32`;
}

function decoded({ dtype, shape, data }: StoredArray): HostValue {
  const { buffer } = Uint8Array.from(Buffer.from(data, "base64"));
  const views = {
    float32: () => hostValue("float32", new Float32Array(buffer), shape),
    int64: () => hostValue("int64", new BigInt64Array(buffer), shape),
    bool: () => hostValue("bool", new Uint8Array(buffer), shape),
  };
  return views[dtype]();
}

/** Traces a function of the given values and runs it once. */
export async function runOnce(
  device: Device,
  values: readonly HostValue[],
  trace: (...inputs: Tensor[]) => Readonly<Record<string, Tensor>>,
  passes?: readonly PassName[],
): Promise<Record<string, HostValue>> {
  const named = Object.fromEntries(values.map((value, i) => [`x${i}`, value]));
  const program = await device.compile({
    name: "check",
    inputs: named,
    trace: (inputs) => ({ outputs: trace(...values.map((_, i) => inputs[`x${i}`] as Tensor)) }),
    ...(passes ? { passes } : {}),
  });
  return program.run(named);
}

/** Numbers of a value of any dtype but float16. */
export function numbers(value: HostValue | undefined): number[] {
  if (!value) throw new Error("the program gave no such output");
  return Array.from(value.data as ArrayLike<number | bigint>, Number);
}

function asList(outputs: Tensor | readonly Tensor[]): readonly Tensor[] {
  return Array.isArray(outputs) ? outputs : [outputs as Tensor];
}

/** sum(output[i] cos(i)) over the elements of all floating point outputs: a loss that tells elements apart. */
export function cosineLoss(outputs: readonly Tensor[]): Tensor {
  return outputs
    .filter(({ dtype }) => isFloat(dtype))
    .map((output) => {
      const weights = Float64Array.from({ length: output.size }, (_, i) => Math.cos(i));
      return sum(mul(reshape(output, [output.size]), constant(weights, [output.size], output.dtype)));
    })
    .reduce((total, part) => add(total, part));
}

/** Outputs, and gradients `g<i>` for each floating point input i when an output is floating point. */
function differentiated(build: Build, inputs: Inputs) {
  const outputs = asList(build(inputs));
  const wrt = inputs.flatMap((input, i) => (isFloat(input.dtype) ? [i] : []));
  if (!outputs.some(({ dtype }) => isFloat(dtype))) return { outputs, gradients: {} };
  const gradients = grad(
    cosineLoss(outputs),
    wrt.map((i) => inputs[i] as Tensor),
  );
  return { outputs, gradients: Object.fromEntries(wrt.map((i, j) => [`g${i}`, gradients[j] as Tensor])) };
}

/** Fails unless every number lies within `tolerance` of its own size plus the average size. */
export function expectClose(
  got: readonly number[],
  wanted: readonly number[],
  tolerance: number,
  name: string,
): void {
  expect(got.length, `${name}: count`).toBe(wanted.length);
  const finite = wanted.filter(Number.isFinite);
  const average = finite.reduce((total, value) => total + Math.abs(value), 0) / Math.max(1, finite.length);
  wanted.forEach((value, i) => {
    const other = got[i] as number;
    if (Object.is(value, other) || value === other) return;
    const limit = tolerance * (Math.abs(value) + average + 1e-3);
    // Written so that NaN fails.
    if (!(Math.abs(value - other) <= limit)) {
      expect.fail(`${name}[${i}]: got ${other}, expected ${value} within ${limit}`);
    }
  });
}

/**
 * Compares outputs and gradients with PyTorch's of a stored case.
 * @param slack Factor on the tolerances, for functions that a provider computes less exactly.
 */
export async function checkAgainstTorch(
  device: Device,
  name: string,
  build: Build,
  slack = 1,
): Promise<void> {
  const stored = storedCases[name];
  if (!stored)
    throw new Error(`fixtures/graph/operators.json has no case "${name}"; add it to make_operators.py`);
  const results = await runOnce(device, stored.inputs.map(decoded), (...inputs) => {
    const { outputs, gradients } = differentiated(build, inputs as unknown as Inputs);
    return { ...gradients, ...Object.fromEntries(outputs.map((output, i) => [`y${i}`, output])) };
  });
  stored.outputs.forEach((output, i) => {
    const got = results[`y${i}`];
    expect(got?.shape, `${name}: shape of output ${i}`).toEqual(output.shape);
    expectClose(numbers(got), numbers(decoded(output)), 1e-5 * slack, `${name}: output ${i}`);
  });
  stored.gradients.forEach((gradient, i) => {
    const got = results[`g${i}`];
    if (gradient === null || !got) return;
    expect(got.shape, `${name}: shape of gradient ${i}`).toEqual(gradient.shape);
    expectClose(numbers(got), numbers(decoded(gradient)), 2e-5 * slack, `${name}: gradient ${i}`);
  });
}

/** Uniform numbers in [0, 1) from a seed (mulberry32). */
export function uniform(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = state;
    z = Math.imul(z ^ (z >>> 15), z | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Random values for an input; floating point ones in `float`. */
export function sample(
  { shape, dtype = "float", low = -1, high = 1, step }: InputSpec,
  random: () => number,
  float: DType = "float64",
): HostValue {
  const values = Array.from({ length: sizeOf(shape) }, () => {
    const value = low + (high - low) * random();
    if (dtype === "int64") return Math.floor(value);
    if (dtype === "bool") return value < (low + high) / 2 ? 0 : 1;
    return step === undefined ? value : Math.round(value / step) * step;
  });
  const type = dtype === "float" ? float : dtype;
  return hostValue(type, hostArray(type, values) as never, shape);
}

const STEP = 1e-5;

/** Central differences of the cosine loss along two random directions against the gradient, in float64. */
export async function checkDifferences(
  device: Device,
  { inputs, build }: Example,
  seed: number,
): Promise<void> {
  const random = uniform(seed);
  const values = inputs.map((spec) => sample(spec, random));
  const named = Object.fromEntries(values.map((value, i) => [`x${i}`, value]));
  const tensorsOf = (record: Readonly<Record<string, Tensor>>) =>
    values.map((_, i) => record[`x${i}`] as Tensor);
  const program = await device.compile({
    name: "differences",
    inputs: named,
    trace: (record) => {
      const tensors = tensorsOf(record) as unknown as Inputs;
      const { outputs, gradients } = differentiated(build, tensors);
      return { outputs: { loss: cosineLoss(outputs), ...gradients } };
    },
  });
  const gradients = await program.run(named);
  const loss = async (record: Record<string, HostValue>): Promise<number> =>
    numbers((await program.run(record)).loss)[0] as number;
  for (let direction = 0; direction < 2; direction++) {
    let expected = 0;
    let size = 1e-3;
    const moved: Record<"up" | "down", Record<string, HostValue>> = { up: { ...named }, down: { ...named } };
    values.forEach((value, i) => {
      if (value.dtype !== "float64") return;
      const way = Float64Array.from({ length: value.data.length }, () => 2 * random() - 1);
      const gradient = numbers(gradients[`g${i}`]);
      const data = numbers(value);
      gradient.forEach((slope, j) => {
        expected += slope * (way[j] as number);
        size += Math.abs(slope * (way[j] as number));
      });
      const shifted = (sign: number) =>
        hostValue(
          "float64",
          Float64Array.from(data, (v, j) => v + sign * STEP * (way[j] as number)),
          value.shape,
        );
      moved.up[`x${i}`] = shifted(1);
      moved.down[`x${i}`] = shifted(-1);
    });
    const measured = ((await loss(moved.up)) - (await loss(moved.down))) / (2 * STEP);
    if (!(Math.abs(measured - expected) <= 1e-5 * size)) {
      const shapes = inputs.map(({ shape }) => `[${shape.join(", ")}]`).join(", ");
      expect.fail(`inputs ${shapes}: the gradient says ${expected}, central differences say ${measured}`);
    }
  }
}

/** Runs `checkDifferences` on random cases. */
export async function checkDifferencesOf(
  device: Device,
  examples: fc.Arbitrary<Example>,
  numRuns = 8,
): Promise<void> {
  await fc.assert(
    fc.asyncProperty(examples, fc.nat(), (example, seed) => checkDifferences(device, example, seed)),
    { numRuns, seed: 1 },
  );
}
