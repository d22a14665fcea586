/** @file What is known of a parameter before it has a value, and the drawing of initial values. */

import { type Shape, sizeOf, type TensorType } from "../graph/index.js";
import { randomStream } from "../random.js";
import type { Initializer } from "./initializers.js";
import { flattenTree, type LeafOf } from "./tree.js";

/** A parameter's type and how it starts. Parameters are float32. */
export interface ParameterSpec extends TensorType {
  readonly dtype: "float32";
  readonly initializer: Initializer;
}

export function parameter(shape: Shape, initializer: Initializer): ParameterSpec {
  return { dtype: "float32", shape, initializer };
}

/** A parameter's value on the host, row-major. */
export interface ParameterValue extends TensorType {
  readonly dtype: "float32";
  readonly data: Float32Array;
}

/**
 * Initial values by name. Each parameter has its own random stream, named by the seed and the parameter's name, so
 * its values do not depend on which others there are.
 */
export function initialize<Specs extends object>(
  specs: LeafOf<Specs> extends ParameterSpec ? Specs : never,
  seed: number,
): Record<string, ParameterValue> {
  const values: Record<string, ParameterValue> = {};
  for (const [name, spec] of Object.entries(flattenTree(specs) as Record<string, ParameterSpec>)) {
    const { shape, initializer } = spec;
    values[name] = { dtype: "float32", shape, data: initializer(shape, randomStream(seed, "init", name)) };
  }
  return values;
}

/** The number of elements of all leaves. */
export function parameterCount(tree: object): number {
  return Object.values<{ readonly shape: Shape }>(flattenTree(tree)).reduce(
    (total, { shape }) => total + sizeOf(shape),
    0,
  );
}
