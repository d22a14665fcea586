/** @file Many small images in one picture. */

import { encodePng, type Raster } from "./image.js";

export interface ContactSheetOptions {
  /** Images in a row; by default the sheet is about square. */
  readonly columns?: number;
  /** Pixels between images and around them. */
  readonly gap?: number;
  /** Grey level of gaps and empty places, 0 to 255. */
  readonly background?: number;
  /** Each pixel becomes a square of this side, so that small images can be seen. */
  readonly zoom?: number;
}

/**
 * PNG file of a grid of images, row by row. Places are as large as the largest image; smaller ones lie top left.
 * @throws RangeError without images.
 */
export async function contactSheet(
  images: readonly Raster[],
  options: ContactSheetOptions = {},
): Promise<Uint8Array> {
  if (images.length === 0) throw new RangeError("contactSheet: no image given, expected at least one");
  const { columns = Math.ceil(Math.sqrt(images.length)), gap = 2, background = 255, zoom = 1 } = options;
  const cellWidth = Math.max(...images.map((image) => image.width)) * zoom;
  const cellHeight = Math.max(...images.map((image) => image.height)) * zoom;
  const width = gap + columns * (cellWidth + gap);
  const height = gap + Math.ceil(images.length / columns) * (cellHeight + gap);
  const sheet = new Uint8Array(width * height * 3).fill(background);
  for (const [index, image] of images.entries()) {
    const left = gap + (index % columns) * (cellWidth + gap);
    const top = gap + Math.floor(index / columns) * (cellHeight + gap);
    for (let y = 0; y < image.height * zoom; y++) {
      const source = Math.floor(y / zoom) * image.width;
      let target = ((top + y) * width + left) * 3;
      for (let x = 0; x < image.width * zoom; x++) {
        const pixel = (source + Math.floor(x / zoom)) * 3;
        sheet[target++] = image.data[pixel] as number;
        sheet[target++] = image.data[pixel + 1] as number;
        sheet[target++] = image.data[pixel + 2] as number;
      }
    }
  }
  return encodePng(sheet, width, height);
}
