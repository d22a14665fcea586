/**
 * @file The crops of training and evaluation, with the semantics of torchvision's RandomResizedCrop, Resize,
 * CenterCrop and RandomHorizontalFlip on PIL images. A crop is planned from the image's size alone, so that a large
 * image can be decoded just as large as its crops need it.
 */

import { DataError } from "./data-error.js";
import type { ImageSize, Raster } from "./image.js";
import { type Box, type Interpolation, resample } from "./resample.js";

export interface RandomResizedCrop {
  readonly kind: "randomResizedCrop";
  /** Side of the square view in pixels. */
  readonly size: number;
  /** Share of the image's area, lowest and highest. Default [0.08, 1]. */
  readonly scale?: readonly [number, number];
  /** Width over height, lowest and highest. Default [3/4, 4/3]. */
  readonly ratio?: readonly [number, number];
  /** Default bicubic. */
  readonly interpolation?: Interpolation;
  /** Probability of mirroring left to right. Default 0.5. */
  readonly flip?: number;
  /** Views with the same group take the same draw: the same part of the image, mirrored or not. */
  readonly group?: string;
}

export interface ResizeCenterCrop {
  readonly kind: "resizeCenterCrop";
  /** The shorter side becomes this long. */
  readonly resize: number;
  /** Side of the square that is cut from the middle; at most `resize`. */
  readonly size: number;
  /** Default bicubic. */
  readonly interpolation?: Interpolation;
}

export type CropSpec = RandomResizedCrop | ResizeCenterCrop;

/** Where random numbers come from; `RandomStream` is one. */
export interface Draws {
  uniform(low: number, high: number): number;
  /** Uniform integer in [0, below). */
  integer(below: number): number;
}

/** One view of one image: resize `box` to `width` x `height` and take the square of `size` at (`left`, `top`). */
export interface CropPlan {
  readonly box: Box;
  readonly width: number;
  readonly height: number;
  readonly left: number;
  readonly top: number;
  readonly size: number;
  readonly flip: boolean;
  readonly interpolation: Interpolation;
}

/** Rounds halves to even, as Python does. */
function roundHalfEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}

/**
 * A random part of the image, `RandomResizedCrop.get_params` of torchvision/transforms/transforms.py: ten tries,
 * then the largest central part whose ratio is allowed.
 */
export function randomResizedBox(
  { width, height }: ImageSize,
  scale: readonly [number, number],
  ratio: readonly [number, number],
  draws: Draws,
): Box {
  const area = width * height;
  const logRatio = [Math.log(ratio[0]), Math.log(ratio[1])] as const;
  for (let attempt = 0; attempt < 10; attempt++) {
    const targetArea = area * draws.uniform(scale[0], scale[1]);
    const aspect = Math.exp(draws.uniform(logRatio[0], logRatio[1]));
    const w = roundHalfEven(Math.sqrt(targetArea * aspect));
    const h = roundHalfEven(Math.sqrt(targetArea / aspect));
    if (w > 0 && w <= width && h > 0 && h <= height) {
      const top = draws.integer(height - h + 1);
      const left = draws.integer(width - w + 1);
      return { left, top, width: w, height: h };
    }
  }
  const whole = width / height;
  let w = width;
  let h = height;
  if (whole < ratio[0]) h = roundHalfEven(w / ratio[0]);
  else if (whole > ratio[1]) w = roundHalfEven(h * ratio[1]);
  // A very long strip would round to nothing.
  w = Math.max(1, w);
  h = Math.max(1, h);
  return { left: Math.floor((width - w) / 2), top: Math.floor((height - h) / 2), width: w, height: h };
}

/** The view of an image of this size under this spec. */
export function planCrop(spec: CropSpec, image: ImageSize, draws: Draws): CropPlan {
  const { size, interpolation = "bicubic" } = spec;
  if (spec.kind === "randomResizedCrop") {
    const { scale = [0.08, 1], ratio = [3 / 4, 4 / 3], flip = 0.5 } = spec;
    const box = randomResizedBox(image, scale, ratio, draws);
    const flipped = draws.uniform(0, 1) < flip;
    return { box, width: size, height: size, left: 0, top: 0, size, flip: flipped, interpolation };
  }
  const short = Math.min(image.width, image.height);
  const long = Math.trunc((spec.resize * Math.max(image.width, image.height)) / short);
  const [width, height] = image.width <= image.height ? [spec.resize, long] : [long, spec.resize];
  return {
    box: { left: 0, top: 0, width: image.width, height: image.height },
    width,
    height,
    left: roundHalfEven((width - size) / 2),
    top: roundHalfEven((height - size) / 2),
    size,
    flip: false,
    interpolation,
  };
}

/** How much smaller the image may be decoded so that this view is not enlarged by it. */
export function reductionOf(plan: CropPlan): number {
  return Math.min(plan.box.width / plan.width, plan.box.height / plan.height);
}

/**
 * Writes the view as planes [3, size, size] into `out` at `offset`.
 * @param image The image, or a smaller version of it.
 * @param covered Size of what `image` shows, in the pixels that the plan was made for: the image's own size if it is whole.
 */
export function applyCrop(
  image: Raster,
  covered: ImageSize,
  plan: CropPlan,
  out: Uint8Array,
  offset = 0,
): void {
  const x = image.width / covered.width;
  const y = image.height / covered.height;
  const { left, top, width, height } = plan.box;
  resample(
    image,
    {
      box: { left: left * x, top: top * y, width: width * x, height: height * y },
      columns: { start: plan.left, length: plan.size, of: plan.width },
      rows: { start: plan.top, length: plan.size, of: plan.height },
      interpolation: plan.interpolation,
      flip: plan.flip,
    },
    out,
    offset,
  );
}

function isRange(range: readonly [number, number], low: number, high: number): boolean {
  return range[0] > low && range[0] <= range[1] && range[1] <= high;
}

/** @throws DataError that names the value when a spec cannot be meant. */
export function checkCropSpec(spec: CropSpec): void {
  const given = (key: string, value: unknown, expected: string) =>
    new DataError(`Crop ${spec.kind}: ${key} is ${JSON.stringify(value)}, expected ${expected}`);
  if (!Number.isInteger(spec.size) || spec.size < 1) throw given("size", spec.size, "a positive integer");
  if (spec.kind === "resizeCenterCrop") {
    if (!Number.isInteger(spec.resize) || spec.resize < spec.size) {
      throw given("resize", spec.resize, `an integer of at least size (${spec.size})`);
    }
    return;
  }
  const { scale = [0.08, 1], ratio = [3 / 4, 4 / 3], flip = 0.5 } = spec;
  if (!isRange(scale, 0, 1)) throw given("scale", scale, "[low, high] with 0 < low <= high <= 1");
  if (!isRange(ratio, 0, Infinity)) throw given("ratio", ratio, "[low, high] with 0 < low <= high");
  if (!(flip >= 0 && flip <= 1)) throw given("flip", flip, "a probability from 0 to 1");
}
