/**
 * @file Where one sample's pixels come from, as plain data, so that any thread can read it without its data set.
 */

import { open } from "node:fs/promises";
import { renderDeadLeaves } from "./dead-leaves.js";
import { decodeShrunk, type ImageHeader, type Raster, readHeader, type Shrink } from "./image.js";

export type SampleSource =
  | { readonly kind: "file"; readonly path: string }
  /** 8-bit planes [3, side, side] at a byte offset of a file: the CIFAR binary format. */
  | { readonly kind: "planes"; readonly path: string; readonly offset: number; readonly side: number }
  | { readonly kind: "deadLeaves"; readonly seed: number; readonly index: number; readonly size: number };

/** Size of a sample, without decoding it where it is a file. @throws Error when it is unreadable. */
export async function sourceHeader(source: SampleSource): Promise<ImageHeader> {
  switch (source.kind) {
    case "file":
      return readHeader(source.path);
    case "planes":
      return { width: source.side, height: source.side, plainProfile: true, shrinkable: false };
    case "deadLeaves":
      return { width: source.size, height: source.size, plainProfile: true, shrinkable: false };
  }
}

async function readPlanes(path: string, offset: number, side: number): Promise<Raster> {
  const area = side * side;
  const planes = new Uint8Array(3 * area);
  const file = await open(path);
  try {
    const { bytesRead } = await file.read(planes, 0, planes.length, offset);
    if (bytesRead < planes.length) throw new Error(`the file ends inside the image at byte ${offset}`);
  } finally {
    await file.close();
  }
  const data = new Uint8Array(3 * area);
  for (let i = 0; i < area; i++) {
    data[3 * i] = planes[i] as number;
    data[3 * i + 1] = planes[area + i] as number;
    data[3 * i + 2] = planes[2 * area + i] as number;
  }
  return { width: side, height: side, channels: 3, data };
}

/**
 * The pixels of a sample at 1 / `shrink` of its size; sources that are not files are small and come whole.
 * @throws Error when the file is corrupt or incomplete.
 */
export async function decodeSource(
  source: SampleSource,
  header: ImageHeader,
  shrink: Shrink,
): Promise<Raster> {
  switch (source.kind) {
    case "file":
      return decodeShrunk(source.path, header, shrink);
    case "planes":
      return readPlanes(source.path, source.offset, source.side);
    case "deadLeaves":
      return renderDeadLeaves(source.seed, source.index, source.size);
  }
}
