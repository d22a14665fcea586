/** @file Rotation and translation as one bilinear resampling, in torchvision's convention. */

import {
  add,
  concat,
  constant,
  type DType,
  GraphError,
  gridSample,
  matmul,
  mul,
  neg,
  reshape,
  split,
  sub,
  type Tensor,
} from "../graph/index.js";
import { imageShape, perSample } from "./images.js";
import { sharedConstant } from "./shared-constant.js";
import { cosineAndSine } from "./sine-cosine.js";

/** What lies beyond the border: black, or the image mirrored at its edges. */
export type Padding = "zeros" | "border" | "reflection";

/** A rigid motion per sample, B elements each; what is left out is 0. */
export interface RigidMotion {
  /** Degrees counter-clockwise about the image's centre, in [-180, 180]. */
  readonly angle?: Tensor;
  /** Then to the right, as a fraction of the width. */
  readonly right?: Tensor;
  /** And downwards, as a fraction of the height. */
  readonly down?: Tensor;
}

/**
 * Moves images rigidly: torchvision's `rotate(angle)`, and `affine(-angle, [right W, down H], 1, 0)`, on tensors
 * (bilinear, pixel centres at half-integers, centre of rotation in the middle of the image).
 * @param images `[B, 3, H, W]`
 */
export function rigidWarp(images: Tensor, motion: RigidMotion, padding: Padding = "zeros"): Tensor {
  const { batch, height, width } = imageShape("rigidWarp", images);
  const grid = matmul(pixelOffsets(height, width, images.dtype), inverseMotion(motion, images));
  return gridSample(images, reshape(grid, [batch, height, width, 2]), {
    mode: "bilinear",
    padding,
    alignCorners: false,
  });
}

/**
 * `[B, 3, 2]`: what takes a row (x, y, 1), pixels from the centre, to the place to sample in units of half the image,
 * R(-angle) (p - shift). The y axis points down, so R(-angle) = [[cos, -sin], [sin, cos]].
 */
function inverseMotion({ angle, right, down }: RigidMotion, images: Tensor): Tensor {
  const { batch, height, width } = imageShape("rigidWarp", images);
  const zeros = constant(new Float32Array(batch), [batch, 1], images.dtype);
  const column = (numbers: Tensor | undefined): Tensor =>
    numbers ? reshape(perSample("rigidWarp", numbers, images), [batch, 1]) : zeros;
  const [c, s] = split(cosineAndSine(mul(column(angle), Math.PI / 180)), 1, [1, 1]) as [Tensor, Tensor];
  const x = mul(column(right), width);
  const y = mul(column(down), height);
  const [toX, toY] = [2 / width, 2 / height];
  const entries = [
    ...[mul(c, toX), mul(s, toY)],
    ...[mul(s, -toX), mul(c, toY)],
    ...[mul(sub(mul(s, y), mul(c, x)), toX), mul(neg(add(mul(s, x), mul(c, y))), toY)],
  ];
  return reshape(concat(entries, 1), [batch, 3, 2]);
}

/** `[H W, 3]`: (x, y, 1) of each pixel, in pixels from the image's centre. */
function pixelOffsets(height: number, width: number, dtype: DType): Tensor {
  return sharedConstant(`offsets ${height} ${width} ${dtype}`, () => {
    const offsets = new Float32Array(height * width * 3);
    for (let row = 0, at = 0; row < height; row++) {
      for (let column = 0; column < width; column++, at += 3) {
        offsets.set([column - (width - 1) / 2, row - (height - 1) / 2, 1], at);
      }
    }
    return constant(offsets, [height * width, 3], dtype);
  });
}

/**
 * 1 inside the inscribed circle, 0 outside: a mask `[1, 1, H, W]` to multiply images with. No rotation brings in
 * anything from beyond the border there, so a masked image does not give its angle away by its corners.
 */
export function inscribedDisc(height: number, width: number, dtype: DType = "float32"): Tensor {
  if (!(height >= 1 && width >= 1)) {
    throw new GraphError(`inscribedDisc: expected a positive size, got ${height}x${width}`);
  }
  // Half a pixel less than the half side: all four pixels that a bilinear sample takes are inside the image.
  const radius = (Math.min(height, width) - 1) / 2;
  const mask = Array.from({ length: height * width }, (_, i) => {
    const x = (i % width) - (width - 1) / 2;
    const y = Math.floor(i / width) - (height - 1) / 2;
    return Math.hypot(x, y) <= radius ? 1 : 0;
  });
  return constant(mask, [1, 1, height, width], dtype);
}
