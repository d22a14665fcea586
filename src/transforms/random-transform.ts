/**
 * @file What every transform of a batch of images is: numbers drawn per sample on the host, and a graph function that
 * applies them. Randomness thereby is an input of the graph, never an operator in it.
 */

import type { Shape, Tensor } from "../graph/index.js";
import type { RandomStream } from "../random.js";

/** One sample's numbers by parameter name, row-major. */
export type Draw = Readonly<Record<string, readonly number[]>>;

export interface RandomTransform {
  /** The shape of one sample's numbers by parameter name; empty for a transform without randomness. */
  readonly parameters: Readonly<Record<string, Shape>>;
  /**
   * One sample's numbers. It takes the same number of words from the stream whatever comes out, so that switching one
   * probability does not change the draws that follow.
   */
  draw(random: RandomStream): Draw;
  /**
   * @param images `[B, 3, H, W]` in [0, 1] @param parameters `[B, …parameters[name]]` by name
   * @returns `[B, 3, H, W]` in [0, 1]
   */
  apply(images: Tensor, parameters: Readonly<Record<string, Tensor>>): Tensor;
}

/** A batch's numbers of one parameter, ready to be fed. */
export interface ParameterBatch {
  readonly dtype: "float32";
  /** `[B, …]` */
  readonly shape: Shape;
  readonly data: Float32Array;
}

/**
 * Draws a whole batch, one stream a sample, for the inputs of a program.
 * @throws RangeError when a transform draws other numbers than it declares.
 */
export function drawBatch(
  transform: Pick<RandomTransform, "parameters" | "draw">,
  streams: readonly RandomStream[],
): Record<string, ParameterBatch> {
  const draws = streams.map((stream) => transform.draw(stream));
  return Object.fromEntries(
    Object.entries(transform.parameters).map(([name, shape]) => {
      const width = shape.reduce((product, dim) => product * dim, 1);
      const data = new Float32Array(streams.length * width);
      draws.forEach((draw, sample) => {
        const numbers = draw[name];
        if (numbers?.length !== width) {
          throw new RangeError(
            `a transform drew ${numbers?.length ?? "no"} numbers for "${name}", whose shape is [${shape.join(", ")}]`,
          );
        }
        data.set(numbers, sample * width);
      });
      return [name, { dtype: "float32", shape: [streams.length, ...shape], data }];
    }),
  );
}

/**
 * Transforms one after the other; no steps leave images as they are. The parameter `p` of the step `s` is named
 * `s/p`; draws are taken from the one stream in the order of the steps.
 */
export function sequence(steps: Readonly<Record<string, RandomTransform>>): RandomTransform {
  const entries = Object.entries(steps);
  const prefixed = <T>(step: string, record: Readonly<Record<string, T>>): [string, T][] =>
    Object.entries(record).map(([name, value]) => [`${step}/${name}`, value]);
  return {
    parameters: Object.fromEntries(entries.flatMap(([step, { parameters }]) => prefixed(step, parameters))),
    draw: (random) =>
      Object.fromEntries(entries.flatMap(([step, transform]) => prefixed(step, transform.draw(random)))),
    apply: (images, parameters) =>
      entries.reduce((current, [step, transform]) => {
        const own = Object.keys(transform.parameters).map((name) => [
          name,
          parameterOf(parameters, `${step}/${name}`),
        ]);
        return transform.apply(current, Object.fromEntries(own) as Record<string, Tensor>);
      }, images),
  };
}

/** A named parameter. @throws RangeError when it was not given. */
export function parameterOf(parameters: Readonly<Record<string, Tensor>>, name: string): Tensor {
  const tensor = parameters[name];
  if (!tensor) {
    throw new RangeError(
      `the parameter "${name}" was not given (given: ${Object.keys(parameters).join(", ")})`,
    );
  }
  return tensor;
}
