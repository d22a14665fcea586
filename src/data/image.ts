/**
 * @file Images in and out, by sharp (libvips): decoding to 8-bit sRGB, encoding to PNG. The only file that knows sharp.
 *
 * Every decoded image is 8-bit sRGB with three channels: EXIF orientation applied, grey repeated, 16-bit scaled down,
 * CMYK and embedded profiles converted, alpha composited on black (what the transformations fill with as well),
 * the first frame of an animation, the first page of a document.
 */

import sharp, { type Sharp } from "sharp";

/** Pixels, 8-bit sRGB, [height, width, 3]. */
export interface Raster {
  readonly width: number;
  readonly height: number;
  readonly channels: 3;
  readonly data: Uint8Array;
}

export interface ImageSize {
  readonly width: number;
  readonly height: number;
}

/** Factors at which an image can be decoded: what the JPEG decoder does at nearly no cost. */
export type Shrink = 1 | 2 | 4 | 8;
const SHRINKS: readonly Shrink[] = [8, 4, 2];

/** Declared pixels above which a file is refused before anything is decoded: a 20,000 x 10,000 panorama passes. */
export const MAX_INPUT_PIXELS = 2 ** 28;

/** Decoded pixels held at once for one image (48 MB); a larger image is decoded shrunk. */
const MAX_DECODED_PIXELS = 2 ** 24;

/** Width or height under which an image holds nothing to crop. */
const MIN_SIDE = 2;

function open(input: string | Uint8Array): Sharp {
  // Warnings are normal in photographs from the wild; errors and missing data are not.
  return sharp(input, { failOn: "error", limitInputPixels: MAX_INPUT_PIXELS });
}

/** The process-wide settings: without them libvips keeps decoded pixels of past files. */
let configured = false;
function configure(): void {
  if (configured) return;
  configured = true;
  sharp.cache(false);
  // One thread an image, several images at a time: less overhead, and training wants the cores.
  sharp.concurrency(1);
}

/**
 * Size of an image after its EXIF orientation, from its header alone.
 * @throws Error when it is no readable image, declares more than 2^28 pixels, or is smaller than 2x2.
 */
export async function imageSize(input: string | Uint8Array): Promise<ImageSize> {
  configure();
  const { width, height } = (await open(input).metadata()).autoOrient;
  if (width * height > MAX_INPUT_PIXELS) {
    throw new Error(`${width}x${height} pixels: more than the ${MAX_INPUT_PIXELS} an image may have`);
  }
  if (width < MIN_SIDE || height < MIN_SIDE) {
    throw new Error(`${width}x${height} pixels: too small, an image needs at least ${MIN_SIDE}x${MIN_SIDE}`);
  }
  return { width, height };
}

/** The shrink that leaves at least `1 / ratio` of the resolution and fits into the memory for one image. */
export function shrinkFor(size: ImageSize, ratio: number): Shrink {
  const wanted = SHRINKS.find((s) => s <= ratio) ?? 1;
  const pixels = size.width * size.height;
  const needed = ([1, 2, 4] as const).find((s) => pixels <= MAX_DECODED_PIXELS * s * s) ?? 8;
  const limit = SHRINKS.find((s) => s <= Math.min(size.width, size.height)) ?? 1;
  return Math.min(Math.max(wanted, needed), limit) as Shrink;
}

/**
 * Decodes at 1 / `shrink` of the size (rounded down). JPEG and WebP shrink while they decode.
 * @param size What `imageSize` said.
 * @throws Error when the data are corrupt or incomplete.
 */
export async function decodeShrunk(
  input: string | Uint8Array,
  size: ImageSize,
  shrink: Shrink,
): Promise<Raster> {
  configure();
  let image = open(input).autoOrient();
  if (shrink > 1) {
    const width = Math.max(1, Math.floor(size.width / shrink));
    const height = Math.max(1, Math.floor(size.height / shrink));
    image = image.resize(width, height, { fit: "fill", kernel: "linear" });
  }
  const { data, info } = await image
    .flatten({ background: "#000000" })
    .toColourspace("srgb")
    .raw({ depth: "uchar" })
    .toBuffer({ resolveWithObject: true });
  if (info.channels !== 3) throw new Error(`decoded to ${info.channels} channels, expected 3`);
  return { width: info.width, height: info.height, channels: 3, data };
}

export interface DecodeOptions {
  /** The shorter side may be decoded down to this many pixels, which is faster; full size without it. */
  readonly minSize?: number;
}

/**
 * Decodes one image to 8-bit sRGB.
 * @throws Error when it is no readable image, too large (2^28 pixels), smaller than 2x2, corrupt or incomplete.
 */
export async function decodeImage(input: string | Uint8Array, options: DecodeOptions = {}): Promise<Raster> {
  const size = await imageSize(input);
  const ratio = options.minSize === undefined ? 1 : Math.min(size.width, size.height) / options.minSize;
  return decodeShrunk(input, size, shrinkFor(size, ratio));
}

/** PNG file of pixels [height, width, 3]. */
export async function encodePng(data: Uint8Array, width: number, height: number): Promise<Uint8Array> {
  if (data.length !== width * height * 3) {
    throw new RangeError(
      `encodePng: ${data.length} bytes given, expected ${width * height * 3} (${height} x ${width} x 3)`,
    );
  }
  configure();
  return sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
}
