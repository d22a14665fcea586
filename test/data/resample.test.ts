/** @file The resampling kernel: its committed code, and what its way through an image must not change. */

import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import wabt from "wabt";
import type { Raster } from "#src/data/image.js";
import { type Box, type ResampleOptions, resample } from "#src/data/resample.js";
import { RESAMPLE_KERNEL_CODE } from "#src/data/resample-kernel-code.js";
import { randomStream } from "#src/random.js";

function noise(width: number, height: number, seed = 0): Raster {
  const draw = randomStream(seed);
  const data = Uint8Array.from({ length: width * height * 3 }, () => draw.integer(256));
  return { width, height, channels: 3, data };
}

function cut({ width, data }: Raster, box: Box): Raster {
  const rows = Array.from({ length: box.height }, (_, y) => {
    const from = 3 * ((box.top + y) * width + box.left);
    return data.subarray(from, from + 3 * box.width);
  });
  return { width: box.width, height: box.height, channels: 3, data: Buffer.concat(rows) };
}

type Change = Partial<ResampleOptions>;
function resized(
  image: Raster,
  box: Box,
  [width, height]: [number, number],
  change: Change = {},
): Uint8Array {
  const options: ResampleOptions = {
    box,
    columns: { start: 0, length: width, of: width },
    rows: { start: 0, length: height, of: height },
    interpolation: "bicubic",
    ...change,
  };
  const out = new Uint8Array(3 * options.columns.length * options.rows.length);
  resample(image, options, out);
  return out;
}

const whole = ({ width, height }: Raster): Box => ({ left: 0, top: 0, width, height });

it("the kernel's code is that of resample-kernel.wat: node scripts/assemble.mjs makes it", async () => {
  const { parseWat } = await wabt();
  const text = readFileSync(new URL("../../src/data/resample-kernel.wat", import.meta.url), "utf8");
  const code = parseWat("resample-kernel.wat", text).toBinary({}).buffer;
  expect(RESAMPLE_KERNEL_CODE).toBe(Buffer.from(code).toString("base64"));
});

describe("resample", () => {
  it("takes an image of several bands like the part of it that a box shows", () => {
    const image = noise(300, 700);
    const box = { left: 231, top: 7, width: 61, height: 693 };
    const part = cut(image, box);
    expect(resized(image, box, [31, 233])).toEqual(resized(part, whole(part), [31, 233]));
  });

  const side = fc.integer({ min: 1, max: 40 });
  it("mirrors, and computes parts of the result, for any size", () => {
    fc.assert(
      fc.property(side, side, side, side, fc.nat(), (w, h, width, height, seed) => {
        const image = noise(w, h, seed);
        const full = resized(image, whole(image), [width, height]);
        const mirrored = resized(image, whole(image), [width, height], { flip: true });
        const at = (y: number, x: number, c: number) => full[(c * height + y) * width + x];
        const [x0, y0] = [seed % width, seed % height];
        const part = resized(image, whole(image), [width, height], {
          columns: { start: x0, length: width - x0, of: width },
          rows: { start: y0, length: height - y0, of: height },
        });
        const expectedMirrored: (number | undefined)[] = [];
        const expectedPart: (number | undefined)[] = [];
        for (let c = 0; c < 3; c++) {
          for (let y = 0; y < height; y++) {
            for (let x = 0; x < width; x++) {
              expectedMirrored.push(at(y, width - 1 - x, c));
              if (y >= y0 && x >= x0) expectedPart.push(at(y, x, c));
            }
          }
        }
        expect([...mirrored]).toEqual(expectedMirrored);
        expect([...part]).toEqual(expectedPart);
      }),
      { numRuns: 50 },
    );
  });

  it("writes nothing but its planes", () => {
    const image = noise(9, 9);
    const out = new Uint8Array(3 * 5 * 5 + 10).fill(77);
    const window = { start: 0, length: 5, of: 5 };
    const options = { box: whole(image), columns: window, rows: window, interpolation: "bilinear" } as const;
    resample(image, options, out, 4);
    expect([...out.subarray(0, 4), ...out.subarray(-6)]).toEqual(Array(10).fill(77));
    expect(out.subarray(4, -6)).toEqual(resized(image, whole(image), [5, 5], options));
  });
});
