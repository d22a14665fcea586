/**
 * @file Images in and out, by sharp (libvips): decoding to 8-bit sRGB, encoding to PNG. The only file that knows sharp.
 *
 * Every decoded image is 8-bit sRGB with three channels: EXIF orientation applied, grey repeated, 16-bit scaled down,
 * CMYK and embedded profiles converted, alpha composited on black (what the transformations fill with as well),
 * the first frame of an animation, the first page of a document.
 */

import sharp, { type Sharp } from "sharp";
import { plainJpegSize } from "./image-header.js";

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

/** What the header of an image says. */
export interface ImageHeader extends ImageSize {
  /** True when the pixels need no conversion by an embedded profile: there is none, or it is sRGB itself. */
  readonly plainProfile: boolean;
  /** True for formats whose decoder can leave resolution out (JPEG). */
  readonly shrinkable: boolean;
}

/** Factors by which an image can be decoded smaller: what a JPEG decoder does while it decodes. */
export type Shrink = 1 | 2 | 4 | 8;
const SHRINKS: readonly Shrink[] = [8, 4, 2];

/** Declared pixels above which a file is refused before anything is decoded: a 20,000 x 10,000 panorama passes. */
export const MAX_INPUT_PIXELS = 2 ** 28;

/** Decoded pixels held at once for one image (48 MB); a larger image is decoded shrunk. */
const MAX_DECODED_PIXELS = 2 ** 24;

/** Width or height under which an image holds nothing to crop. */
const MIN_SIDE = 2;

function open(input: string | Uint8Array, ignoreIcc = false): Sharp {
  // Warnings are normal in photographs from the wild; errors and missing data are not.
  return sharp(input, { failOn: "error", limitInputPixels: MAX_INPUT_PIXELS, ignoreIcc });
}

/** Whether an ICC profile calls itself sRGB: converting from sRGB to sRGB would double the time of a large decode. */
function isSrgb(profile: Uint8Array): boolean {
  // Descriptions are ASCII in version 2 and UTF-16 in version 4.
  const text = Buffer.from(profile).toString("latin1").replaceAll("\0", "");
  return text.includes("sRGB");
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
 * Size of an image after its EXIF orientation, and its kind of profile, without decoding it.
 * @throws Error when it is no readable image, declares more than 2^28 pixels, or is smaller than 2x2.
 */
export async function readHeader(input: string | Uint8Array): Promise<ImageHeader> {
  const plain = typeof input === "string" ? undefined : plainJpegSize(input);
  const header = plain ? { ...plain, plainProfile: true, shrinkable: true } : await decoderHeader(input);
  const { width, height } = header;
  if (width * height > MAX_INPUT_PIXELS) {
    throw new Error(`${width}x${height} pixels: more than the ${MAX_INPUT_PIXELS} an image may have`);
  }
  if (width < MIN_SIDE || height < MIN_SIDE) {
    throw new Error(`${width}x${height} pixels: too small, an image needs at least ${MIN_SIDE}x${MIN_SIDE}`);
  }
  return header;
}

async function decoderHeader(input: string | Uint8Array): Promise<ImageHeader> {
  configure();
  const { autoOrient, format, icc, space } = await open(input).metadata();
  const plainProfile = icc === undefined || (space === "srgb" && isSrgb(icc));
  const { width, height } = autoOrient;
  return { width, height, plainProfile, shrinkable: format === "jpeg" };
}

/** Whether a JPEG side shrinks to whole decoded pixels, so that it is known which part of it they show. */
function shrinksWell(side: number, shrink: Shrink): boolean {
  // libvips drops a remainder under half a decoded pixel; a larger one is resampled, at displaced positions.
  return 2 * (side % shrink) < shrink;
}

/**
 * How much smaller to decode an image.
 * @param ratio How much smaller it may be without losing resolution that is needed.
 * @returns The largest shrink up to `ratio` that keeps positions exact, or what the memory for one image demands.
 */
export function shrinkFor(header: ImageHeader, ratio: number): Shrink {
  const { width, height } = header;
  const fits = ([1, 2, 4] as const).find((s) => width * height <= MAX_DECODED_PIXELS * s * s) ?? 8;
  const exact = SHRINKS.find((s) => s <= ratio && shrinksWell(width, s) && shrinksWell(height, s)) ?? 1;
  const wanted = header.shrinkable ? exact : 1;
  return Math.max(wanted, fits) as Shrink;
}

/** The part of the full image, from its top left, that is shown when it is decoded at 1 / `shrink`. */
export function coveredSize({ width, height, shrinkable }: ImageHeader, shrink: Shrink): ImageSize {
  const covered = (side: number) =>
    shrinkable && shrinksWell(side, shrink) ? Math.floor(side / shrink) * shrink : side;
  return { width: covered(width), height: covered(height) };
}

/**
 * Decodes at 1 / `shrink` of the size, rounded down but never to nothing.
 * @param header What `readHeader` said.
 * @throws Error when the data are corrupt or incomplete.
 */
export async function decodeShrunk(
  input: string | Uint8Array,
  header: ImageHeader,
  shrink: Shrink,
): Promise<Raster> {
  configure();
  let image = open(input, header.plainProfile).autoOrient();
  if (shrink > 1) {
    const width = Math.max(1, Math.floor(header.width / shrink));
    const height = Math.max(1, Math.floor(header.height / shrink));
    image = image.resize(width, height, { fit: "fill", kernel: "cubic" });
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

/** How much smaller than its size an image may be decoded. */
export function sideRatio({ width, height }: ImageSize, { minSize }: DecodeOptions): number {
  return minSize === undefined ? 1 : Math.min(width, height) / minSize;
}

/**
 * Decodes one image to 8-bit sRGB.
 * @throws Error when it is no readable image, too large (2^28 pixels), smaller than 2x2, corrupt or incomplete.
 */
export async function decodeImage(input: string | Uint8Array, options: DecodeOptions = {}): Promise<Raster> {
  const header = await readHeader(input);
  return decodeShrunk(input, header, shrinkFor(header, sideRatio(header, options)));
}

/** An image at 1 / `factor` of its width and height, rounded down. */
export async function shrunk(image: Raster, factor: number): Promise<Raster> {
  if (factor === 1) return image;
  configure();
  const [width, height] = [Math.floor(image.width / factor), Math.floor(image.height / factor)];
  const raw = { width: image.width, height: image.height, channels: 3 } as const;
  const data = await sharp(image.data, { raw }).resize(width, height, { fit: "fill" }).raw().toBuffer();
  return { width, height, channels: 3, data };
}

/**
 * PNG file of pixels [height, width, 3].
 * @param text SVG `text` elements to be drawn over them, in dark small letters.
 */
export async function encodePng(
  data: Uint8Array,
  width: number,
  height: number,
  text = "",
): Promise<Uint8Array> {
  if (data.length !== width * height * 3) {
    throw new RangeError(
      `encodePng: ${data.length} bytes given, expected ${width * height * 3} (${height} x ${width} x 3)`,
    );
  }
  configure();
  const image = sharp(data, { raw: { width, height, channels: 3 } });
  if (text === "") return image.png().toBuffer();
  const style = `font-family="DejaVu Sans, Arial, sans-serif" font-size="10.5" fill="#1c1f24"`;
  const overlay = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" ${style}>${text}</svg>`;
  return image
    .composite([{ input: Buffer.from(overlay) }])
    .removeAlpha()
    .png()
    .toBuffer();
}

/** Versions of what decodes images. */
export function imageLibraries(): { sharp: string; libvips: string } {
  const { sharp: own = "unknown", vips } = sharp.versions;
  return { sharp: own, libvips: vips };
}
