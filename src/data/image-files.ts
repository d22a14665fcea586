/** @file Single image files as a data set, and small square pictures of samples. */

import { statSync } from "node:fs";
import { applyCrop, planCrop } from "./crop.js";
import { DataError, reasonOf } from "./data-error.js";
import { type Dataset, makeDataset } from "./dataset.js";
import type { Raster } from "./image.js";

/** @throws DataError naming the file that is none. */
export function openImageFiles(paths: readonly string[]): Dataset {
  for (const path of paths) {
    let isFile: boolean;
    try {
      isFile = statSync(path).isFile();
    } catch (error) {
      throw new DataError(`The image ${path} cannot be read: ${reasonOf(error)}`);
    }
    if (!isFile) throw new DataError(`${path} is no file: give the path of an image.`);
  }
  return makeDataset({
    name: paths.length === 1 ? (paths[0] as string) : `${paths.length} images`,
    length: paths.length,
    sampleName: (index) => paths[index] as string,
    source: (index) => ({ kind: "file", path: paths[index] as string }),
    identity: paths.map((path) => `${path}\0`),
  });
}

/** The middle square of a sample at `size` pixels, as an encoder sees it. @throws Error when it cannot be decoded. */
export async function centerSquare(
  dataset: Dataset,
  index: number,
  size: number,
  resize = size,
): Promise<Raster> {
  const image = await dataset.decode(index, { minSize: resize });
  const noDraws = { uniform: () => 0, integer: () => 0 };
  const plan = planCrop({ kind: "resizeCenterCrop", resize, size }, image, noDraws);
  const planes = new Uint8Array(3 * size * size);
  applyCrop(image, image, plan, planes);
  return { width: size, height: size, channels: 3, data: interleaved(planes, size * size) };
}

/** Planes `[3, area]` as pixels `[area, 3]`. */
function interleaved(planes: Uint8Array, area: number): Uint8Array {
  const pixels = new Uint8Array(3 * area);
  for (let i = 0; i < area; i++) {
    for (let c = 0; c < 3; c++) pixels[3 * i + c] = planes[c * area + i] as number;
  }
  return pixels;
}
