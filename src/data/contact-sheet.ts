/** @file Many small images in one picture. */

import { encodePng, type Raster, shrunk } from "./image.js";

export interface ContactSheetOptions {
  /** Images in a row; by default the sheet is about square. */
  readonly columns?: number;
  /** Pixels between images and around them. */
  readonly gap?: number;
  /** Grey level of gaps and empty places, 0 to 255. */
  readonly background?: number;
  /** Each pixel becomes a square of this side, so that small images can be seen. */
  readonly zoom?: number;
  /** Images are resized to a part of their size, one in this many pixels a side, before that. */
  readonly shrink?: number;
  /** Lines of text under each image; those that are wider than it are cut as paths: `fittedPath`. */
  readonly captions?: readonly (readonly string[])[];
}

/** Height of a line of text, and the width of its usual character, in pixels. */
const LINE = 14;
const CHARACTER = 6.2;

/**
 * PNG file of a grid of images, row by row. Places are as large as the largest image; smaller ones lie top left.
 * @throws RangeError without images.
 */
export async function contactSheet(
  originals: readonly Raster[],
  options: ContactSheetOptions = {},
): Promise<Uint8Array> {
  if (originals.length === 0) throw new RangeError("contactSheet: no image given, expected at least one");
  const { gap = 2, background = 255, zoom = 1, shrink = 1 } = options;
  const images = await Promise.all(originals.map((image) => shrunk(image, shrink)));
  const { columns = Math.ceil(Math.sqrt(images.length)) } = options;
  const { captions = [] } = options;
  const lines = Math.max(0, ...captions.map((caption) => caption.length));
  const captionHeight = lines === 0 ? 0 : lines * LINE + 4;
  const cellWidth = Math.max(...images.map((image) => image.width)) * zoom;
  const imageHeight = Math.max(...images.map((image) => image.height)) * zoom;
  const cellHeight = imageHeight + captionHeight;
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
  const text = captions.flatMap((caption, index) => {
    const left = gap + (index % columns) * (cellWidth + gap);
    const top = gap + Math.floor(index / columns) * (cellHeight + gap) + imageHeight;
    return caption.map((line, i) => textElement(line, left, top + (i + 1) * LINE - 2, cellWidth));
  });
  return encodePng(sheet, width, height, text.join(""));
}

/**
 * A path in so many characters: the end of the name, and before it the folder that the file lies in, which is often its class:
 * `dress/…3f2a.jpg`.
 */
export function fittedPath(path: string, most: number): string {
  if (path.length <= most) return path;
  const [name = "", folder] = path.split("/").reverse();
  if (folder === undefined || folder.length + name.length + 2 <= most) return cutStart(path, most);
  const room = Math.max(Math.floor(most / 2) - 1, most - name.length - 1);
  const shown = folder.length > room ? `${folder.slice(0, Math.max(0, room - 1))}…` : folder;
  return `${shown}/${cutStart(name, most - shown.length - 1)}`;
}

function cutStart(text: string, most: number): string {
  return text.length > most ? `…${text.slice(text.length - Math.max(0, most - 1))}` : text;
}

function textElement(line: string, x: number, y: number, width: number): string {
  const most = Math.max(1, Math.floor(width / CHARACTER));
  const escaped = fittedPath(line, most).replace(/[&<>]/g, (c) =>
    c === "&" ? "&amp;" : c === "<" ? "&lt;" : "&gt;",
  );
  return `<text x="${x}" y="${y}">${escaped.replace(/\p{Cc}/gu, "\ufffd")}</text>`;
}
