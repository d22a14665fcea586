/**
 * @file How a view is cut out of a decoded image. Plain data: the loader crops and flips on bytes, before the graph
 * sees the view. Semantics are torchvision's RandomResizedCrop and RandomHorizontalFlip.
 */

export interface CropSpec {
  readonly kind: "randomResizedCrop";
  /** Side of the square view in pixels. */
  readonly size: number;
  /** Share of the image's area, lowest and highest. */
  readonly scale: readonly [number, number];
  /** Width over height of the part that is cut, lowest and highest. */
  readonly ratio: readonly [number, number];
  readonly interpolation: "bilinear" | "bicubic";
  /** Probability of mirroring left to right. */
  readonly flip: number;
  /** Views with the same group take the same draw: the same part of the image, mirrored or not. */
  readonly group?: string;
}

/** A random resized crop of aspect 3/4 to 4/3, bicubic, flipped half of the time. */
export function randomResizedCrop(
  size: number,
  scale: readonly [number, number],
  changes: Partial<Pick<CropSpec, "ratio" | "interpolation" | "flip">> = {},
): CropSpec {
  return {
    kind: "randomResizedCrop",
    size,
    scale,
    ratio: [3 / 4, 4 / 3],
    interpolation: "bicubic",
    flip: 0.5,
    ...changes,
  };
}

/**
 * The whole of a square image, and the largest central square of any other (no crop of the full area has ratio 1
 * there, which is when RandomResizedCrop falls back to the centre).
 */
export function wholeImage(size: number): CropSpec {
  return randomResizedCrop(size, [1, 1], { ratio: [1, 1], flip: 0 });
}
