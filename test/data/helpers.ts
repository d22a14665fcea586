/** @file Temporary folders of images, made with sharp. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import sharp, { type Sharp } from "sharp";
import { onTestFinished } from "vitest";

/** A folder that is gone after the test. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "inbetween-data-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Writes a file, with the folders it needs. */
export function put(folder: string, name: string, data: Uint8Array | string): string {
  const path = join(folder, name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, data);
  return path;
}

/** A picture of its own for each `index`: a gradient with noise, so that truncation is noticed. */
export function picture(index: number, width = 40, height = 30): Sharp {
  const data = new Uint8Array(width * height * 3);
  for (let i = 0; i < data.length; i++)
    data[i] = (i * (index + 1) + (Math.imul(i + index, 2654435761) >>> 27)) & 255;
  return sharp(data, { raw: { width, height, channels: 3 } });
}

/** Writes `count` PNG files `00.png`, `01.png`, … */
export async function putPictures(
  folder: string,
  count: number,
  width?: number,
  height?: number,
): Promise<void> {
  for (let i = 0; i < count; i++) {
    put(folder, `${String(i).padStart(2, "0")}.png`, await picture(i, width, height).png().toBuffer());
  }
}
