/**
 * @file Where one sample's pixels come from, as plain data, so that any thread can read it without its data set.
 */

import { closeSync, openSync, readFileSync, readSync, statSync } from "node:fs";
import { renderDeadLeaves } from "./dead-leaves.js";
import { decodeShrunk, type ImageHeader, type Raster, readHeader, type Shrink } from "./image.js";

export type SampleSource =
  | { readonly kind: "file"; readonly path: string }
  /** An image file that lies within another file: a member of a tar archive. Offset and size in bytes. */
  | { readonly kind: "slice"; readonly path: string; readonly offset: number; readonly size: number }
  /** 8-bit planes [3, side, side] at a byte offset of a file: the CIFAR formats. */
  | { readonly kind: "planes"; readonly path: string; readonly offset: number; readonly side: number }
  | { readonly kind: "deadLeaves"; readonly seed: number; readonly index: number; readonly size: number };

/** A sample whose size is known and whose pixels can be had. */
export interface OpenedSource {
  readonly header: ImageHeader;
  /**
   * The pixels at 1 / `shrink` of the size; sources that are not image files are small and come whole.
   * @throws Error when the data are corrupt or incomplete.
   */
  decode(shrink: Shrink): Promise<Raster>;
}

/**
 * Opens a sample; the bytes of a small file or of one within an archive are read once, for header and pixels.
 * @param known The header, where it was read before.
 * @throws Error when the sample is unreadable.
 */
export async function openSource(source: SampleSource, known?: ImageHeader): Promise<OpenedSource> {
  switch (source.kind) {
    case "file": {
      const input = fileInput(source.path);
      const header = known ?? (await readHeader(input));
      return { header, decode: (shrink) => decodeShrunk(input, header, shrink) };
    }
    case "slice": {
      if (source.size === 0) throw new Error("empty file (0 bytes)");
      const bytes = readBytes(source.path, source.offset, source.size);
      const header = known ?? (await readHeader(bytes));
      return { header, decode: (shrink) => decodeShrunk(bytes, header, shrink) };
    }
    case "planes":
      return {
        header: plain(source.side),
        decode: async () => readPlanes(source.path, source.offset, source.side),
      };
    case "deadLeaves":
      return {
        header: plain(source.size),
        decode: async () => renderDeadLeaves(source.seed, source.index, source.size),
      };
  }
}

function plain(side: number): ImageHeader {
  return { width: side, height: side, plainProfile: true, shrinkable: false };
}

/** Files up to this size are read once, for header and pixels: libvips takes twice the time to read a small file itself. */
const LARGEST_READ_BYTES = 2 ** 25;

// Reading blocks this thread, while decoding goes on in others. The promises of node:fs take ten times the processor
// time: a quarter of what a 32 px image takes in all.

/** A file's bytes, or its path when it is large. */
function fileInput(path: string): string | Uint8Array {
  const { size } = statSync(path);
  if (size === 0) throw new Error("empty file (0 bytes)");
  return size > LARGEST_READ_BYTES ? path : readFileSync(path);
}

function readBytes(path: string, offset: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  const file = openSync(path, "r");
  try {
    for (let done = 0; done < size; ) {
      const bytesRead = readSync(file, bytes, done, size - done, offset + done);
      if (bytesRead === 0) throw new Error(`${path} ends inside the image at byte ${offset}`);
      done += bytesRead;
    }
  } finally {
    closeSync(file);
  }
  return bytes;
}

function readPlanes(path: string, offset: number, side: number): Raster {
  const area = side * side;
  const planes = readBytes(path, offset, 3 * area);
  const data = new Uint8Array(3 * area);
  for (let i = 0; i < area; i++) {
    data[3 * i] = planes[i] as number;
    data[3 * i + 1] = planes[area + i] as number;
    data[3 * i + 2] = planes[2 * area + i] as number;
  }
  return { width: side, height: side, channels: 3, data };
}
