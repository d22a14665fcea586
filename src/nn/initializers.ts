/** @file How parameters start: functions of a shape and a random stream. */

import { type Shape, sizeOf } from "../graph/index.js";
import type { RandomStream } from "../random.js";

/** Draws the initial values of a parameter, row-major. */
export type Initializer = (shape: Shape, random: RandomStream) => Float32Array;

/** Every element is `value`. */
export function constantInitializer(value: number): Initializer {
  return (shape) => new Float32Array(sizeOf(shape)).fill(value);
}

export const zerosInitializer = constantInitializer(0);
export const onesInitializer = constantInitializer(1);

function drawn(draw: (random: RandomStream) => number): Initializer {
  return (shape, random) => {
    const values = new Float32Array(sizeOf(shape));
    for (let i = 0; i < values.length; i++) values[i] = draw(random);
    return values;
  };
}

/** Normal with the given standard deviation. */
export function normalInitializer(std: number, mean = 0): Initializer {
  return drawn((random) => mean + std * random.normal());
}

/**
 * Normal, drawn again outside [-2, 2]. The cut is absolute, not in standard deviations, as in PyTorch's
 * `trunc_normal_(std=…)`, so for the usual 0.02 it is practically a normal.
 */
export function truncatedNormalInitializer(std: number, limit = 2): Initializer {
  return drawn((random) => {
    for (;;) {
      const value = std * random.normal();
      if (Math.abs(value) <= limit) return value;
    }
  });
}

/** Uniform in [-bound, bound). */
export function uniformInitializer(bound: number): Initializer {
  return drawn((random) => random.uniform(-bound, bound));
}

/** Inputs and outputs of one unit of a weight `[out, in, …kernel]`; kernel elements count on both sides. */
export function fansOf(shape: Shape): { readonly fanIn: number; readonly fanOut: number } {
  const [outputs, inputs, ...kernel] = shape;
  if (outputs === undefined || inputs === undefined) {
    throw new RangeError(`a weight of shape [${shape.join(", ")}] has no fan-in; two dimensions are needed`);
  }
  const area = sizeOf(kernel);
  return { fanIn: inputs * area, fanOut: outputs * area };
}

export interface XavierOptions {
  /** Rows hold this many matrices, initialised separately (3 for a joint query, key and value weight). */
  readonly parts?: number;
  /** Take a convolution's weight as the matrix [out, in * kernel], as is usual for patch projections. */
  readonly asMatrix?: boolean;
}

/** Uniform with bound sqrt(6 / (fanIn + fanOut)) (Glorot & Bengio 2010). */
export function xavierUniformInitializer({ parts = 1, asMatrix = false }: XavierOptions = {}): Initializer {
  return (shape, random) => {
    const matrix = asMatrix ? [shape[0] ?? 0, sizeOf(shape.slice(1))] : shape;
    const { fanIn, fanOut } = fansOf(matrix);
    return uniformInitializer(Math.sqrt(6 / (fanIn + fanOut / parts)))(shape, random);
  };
}

/** Uniform with bound 1 / sqrt(fanIn): PyTorch's default for the weights of linear and convolution layers. */
export const kaimingUniformInitializer: Initializer = (shape, random) =>
  uniformInitializer(1 / Math.sqrt(fansOf(shape).fanIn))(shape, random);

/** Rows of normal numbers, each of length 1: directions, uniformly. @throws RangeError unless the shape is `[R, D]`. */
export const unitRowsInitializer: Initializer = (shape, random) => {
  const [rows, width] = shape;
  if (rows === undefined || width === undefined || shape.length !== 2) {
    throw new RangeError(`unit rows need a shape [rows, width], got [${shape.join(", ")}]`);
  }
  const values = normalInitializer(1)(shape, random);
  for (let start = 0; start < values.length; start += width) {
    const row = values.subarray(start, start + width);
    const length = Math.hypot(...row);
    for (let i = 0; i < width; i++) row[i] = (row[i] as number) / length;
  }
  return values;
};
