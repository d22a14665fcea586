/** @file The transformations g and their paths from the identity: what the in-between images are images of. */

import { add, constant, mul, slice, type Tensor } from "../graph/index.js";
import { gaussianBlur } from "./blur.js";
import { adjustBrightness, adjustContrast, adjustSaturation } from "./color.js";
import { adjustHue } from "./hue.js";
import { parameterOf, type RandomTransform } from "./random-transform.js";
import { type Padding, rigidWarp } from "./warp.js";

/** One number of theta: 0 is the identity. It is drawn uniformly from [low, high). */
export interface Component {
  readonly name: string;
  readonly unit: string;
  readonly low: number;
  readonly high: number;
}

/** g(u, theta), batched. Its only parameter `theta`, `[B, n]`, has a row per sample and a column per component. */
export interface Transformation extends RandomTransform {
  readonly name: TransformationName;
  readonly components: readonly Component[];
  /**
   * The image at a fraction of the way from u to g(u, theta): g(u, fraction theta), always one resampling of u.
   * The in-between images are those at k / (K + 1). 0 is the identity (up to rounding), 1 is `apply`.
   * @param images u, `[B, 3, H, W]` in [0, 1] @param parameters `theta`, `[B, n]`
   */
  path(images: Tensor, parameters: Readonly<Record<string, Tensor>>, fraction: number): Tensor;
}

export interface TransformationOptions {
  /** Other ranges by component name. */
  readonly ranges?: Readonly<Record<string, readonly [low: number, high: number]>>;
  /** What lies beyond the border of an image that moves (default zeros, as in the paper). */
  readonly padding?: Padding;
}

interface Settings {
  readonly padding: Padding;
  /** With their ranges. */
  readonly components: readonly Component[];
}

interface Definition {
  readonly components: readonly Component[];
  /** @param theta `[B, n]` */
  warp(images: Tensor, theta: Tensor, settings: Settings): Tensor;
}

/** A definition whose warp gets each component's numbers, `[B, 1]`, by name. */
function define<Name extends string>(
  components: Readonly<Record<Name, Omit<Component, "name">>>,
  warp: (images: Tensor, theta: Readonly<Record<Name, Tensor>>, settings: Settings) => Tensor,
): Definition {
  const names = Object.keys(components) as Name[];
  return {
    components: names.map((name) => ({ name, ...components[name] })),
    warp: (images, theta, settings) => {
      const columns = names.map((name, i) => [name, slice(theta, 1, i, i + 1)]);
      return warp(images, Object.fromEntries(columns) as Record<Name, Tensor>, settings);
    },
  };
}

// Ranges: paper, Table 1. Its translation of 10 pixels is at 224.
const angle = { unit: "degrees counter-clockwise", low: -45, high: 45 };
const right = { unit: "fraction of the width", low: -10 / 224, high: 10 / 224 };
const down = { unit: "fraction of the height", low: -10 / 224, high: 10 / 224 };

/** The blur's kernel reaches this many of the largest sigma; the two tails beyond weigh 6e-5. */
const BLUR_REACH = 4;

const definitions = {
  rotation: define({ angle }, (u, motion, { padding }) => rigidWarp(u, motion, padding)),
  translation: define({ right, down }, (u, motion, { padding }) => rigidWarp(u, motion, padding)),
  se2: define({ angle, right, down }, (u, motion, { padding }) => rigidWarp(u, motion, padding)),
  color: define(
    {
      brightness: { unit: "factor - 1", low: -0.4, high: 0.4 },
      contrast: { unit: "factor - 1", low: -0.4, high: 0.4 },
      saturation: { unit: "factor - 1", low: -0.1, high: 0.1 },
      hue: { unit: "turns", low: -0.1, high: 0.1 },
    },
    (u, { brightness, contrast, saturation, hue }) => {
      const brightened = adjustBrightness(u, add(brightness, 1));
      const contrasted = adjustContrast(brightened, add(contrast, 1));
      return adjustHue(adjustSaturation(contrasted, add(saturation, 1)), hue);
    },
  ),
  blur: define({ sigma: { unit: "pixels", low: 0.1, high: 2 } }, (u, { sigma }, { components }) => {
    const largest = Math.max(...components.map(({ high }) => high));
    return gaussianBlur(u, sigma, 2 * Math.ceil(BLUR_REACH * largest) + 1);
  }),
} as const satisfies Record<string, Definition>;

export type TransformationName = keyof typeof definitions;

/** The names of all transformations. */
export const transformationNames = Object.keys(definitions) as readonly TransformationName[];

/**
 * A transformation g.
 * @throws RangeError when `ranges` names a component that it does not have, or a range that is none.
 */
export function transformation(
  name: TransformationName,
  { ranges = {}, padding = "zeros" }: TransformationOptions = {},
): Transformation {
  const { components: defaults, warp }: Definition = definitions[name];
  const components = withRanges(name, defaults, ranges);
  const path: Transformation["path"] = (images, parameters, fraction) => {
    const theta = parameterOf(parameters, "theta");
    return warp(images, fraction === 1 ? theta : mul(theta, fraction), { padding, components });
  };
  return {
    name,
    components,
    parameters: { theta: [components.length] },
    draw: (random) => ({ theta: components.map(({ low, high }) => random.uniform(low, high)) }),
    apply: (images, parameters) => path(images, parameters, 1),
    path,
  };
}

function withRanges(
  transformationName: string,
  components: readonly Component[],
  ranges: NonNullable<TransformationOptions["ranges"]>,
): Component[] {
  for (const [name, [low, high]] of Object.entries(ranges)) {
    if (!components.some((component) => component.name === name)) {
      const known = components.map((component) => component.name).join(", ");
      throw new RangeError(`${transformationName} has no component "${name}"; it has ${known}`);
    }
    if (!(low <= high))
      throw new RangeError(`${transformationName}: the range of ${name}, ${low} to ${high}, is empty`);
  }
  return components.map((component) => {
    const [low, high] = ranges[component.name] ?? [component.low, component.high];
    return { ...component, low, high };
  });
}

/** What maps a component's range to [-1, 1]: value * factor + shift; an empty range goes to 0. */
function unitMap({ low, high }: Component): { factor: number; shift: number } {
  return high > low
    ? { factor: 2 / (high - low), shift: -(low + high) / (high - low) }
    : { factor: 0, shift: 0 };
}

/** As `normalizeTheta`, in a graph. @param theta `[B, n]` @returns `[B, n]` */
export function scaleTheta({ components }: Transformation, theta: Tensor): Tensor {
  const maps = components.map(unitMap);
  const row = (values: readonly number[]) => constant(values, [1, components.length], theta.dtype);
  return add(mul(theta, row(maps.map(({ factor }) => factor))), row(maps.map(({ shift }) => shift)));
}

/**
 * Rows of theta with each component's range mapped to [-1, 1], as the targets of a regression.
 * @param theta `[N, n]`, row-major @throws RangeError when it is not a whole number of rows
 */
export function normalizeTheta({ name, components }: Transformation, theta: ArrayLike<number>): Float32Array {
  const width = components.length;
  if (theta.length % width !== 0) {
    throw new RangeError(
      `normalizeTheta: ${theta.length} numbers are no rows of ${name}'s ${width} components`,
    );
  }
  return Float32Array.from(theta, (value, i) => {
    const { factor, shift } = unitMap(components[i % width] as Component);
    return value * factor + shift;
  });
}
