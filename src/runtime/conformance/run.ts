/** @file Runs conformance cases on a device and compares two devices' results. */

import type { Tensor, TensorType } from "../../graph/index.js";
import * as graph from "../../graph/index.js";
import type { Device } from "../device.js";
import { type HostValue, showType } from "../host-value.js";
import type { ProgramDefinition } from "../program.js";
import type { ConformanceCase, Operators } from "./case.js";

/** Results agree when they differ by at most this much, relative to 1 + the larger magnitude. */
export const TOLERANCE = 1e-4;

/** The result of a case on one device: `y0`, `y1`, … and the gradients `d x`, … of a weighted sum of them. */
export type Results = Readonly<Record<string, HostValue>>;

/** A case as a program: its results and, where it has any, the gradients of its float inputs. */
export function programOf(item: ConformanceCase, operators: Operators = graph): ProgramDefinition {
  return {
    name: item.name,
    inputs: Object.fromEntries(
      Object.entries(item.inputs).map(([name, { dtype, shape }]): [string, TensorType] => [
        name,
        { dtype, shape },
      ]),
    ),
    trace: (inputs) => {
      const traced = item.trace(operators, Object.values(inputs));
      const results = Array.isArray(traced) ? (traced as readonly Tensor[]) : [traced as Tensor];
      const outputs = Object.fromEntries(results.map((result, i): [string, Tensor] => [`y${i}`, result]));
      return { outputs: { ...outputs, ...gradients(item, inputs, results) } };
    },
  };
}

/** Gradients of Σ cos(i + 1) y_i, which gives every element of a result a weight of its own. */
function gradients(
  { differentiate = true }: ConformanceCase,
  inputs: Readonly<Record<string, Tensor>>,
  results: readonly Tensor[],
): Record<string, Tensor> {
  const wrt = Object.entries(inputs).filter(([, { dtype }]) => graph.isFloat(dtype));
  const outputs = results.filter(({ dtype }) => graph.isFloat(dtype));
  if (!differentiate || wrt.length === 0 || outputs.length === 0) return {};
  const weights = outputs.map(({ shape, size, dtype }) =>
    graph.constant(
      Float32Array.from({ length: size }, (_, i) => Math.cos(i + 1)),
      shape,
      dtype,
    ),
  );
  const found = graph.vjp(
    outputs,
    weights,
    wrt.map(([, tensor]) => tensor),
  );
  return Object.fromEntries(wrt.map(([name], i): [string, Tensor] => [`d ${name}`, graph.at(found, i)]));
}

/** @param exact Lower exactly what was traced: no passes, no optimiser of the runtime. */
export async function runCase(
  device: Device,
  item: ConformanceCase,
  { exact = false } = {},
): Promise<Results> {
  const definition = programOf(item);
  const program = await device.compile(exact ? { ...definition, passes: [] } : definition, {
    optimize: !exact,
  });
  try {
    return await program.run(item.inputs);
  } finally {
    await program.release();
  }
}

/** How results differ from the expected ones; empty when they agree. */
export function differences(found: Results, expected: Results, tolerance = TOLERANCE): string[] {
  return Object.entries(expected).flatMap(([name, value]) => {
    const other = found[name];
    if (!other) return [`${name} is missing`];
    if (showType(other) !== showType(value)) return [`${name} is ${showType(other)}, not ${showType(value)}`];
    const place = worst(other, value, tolerance);
    if (place === undefined) return [];
    return [`${name}[${place}] is ${other.data[place]}, expected ${value.data[place]}`];
  });
}

/** The flat index of the largest difference beyond the tolerance. */
function worst(found: HostValue, expected: HostValue, tolerance: number): number | undefined {
  let place: number | undefined;
  let largest = tolerance;
  for (let i = 0; i < expected.data.length; i++) {
    const [a, b] = [Number(found.data[i]), Number(expected.data[i])];
    const difference =
      Object.is(a, b) || a === b ? 0 : Math.abs(a - b) / (1 + Math.max(Math.abs(a), Math.abs(b)));
    if (difference <= largest) continue; // NaN goes on
    place = i;
    if (Number.isNaN(difference)) return place;
    largest = difference;
  }
  return place;
}
