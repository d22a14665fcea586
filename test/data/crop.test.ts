/** @file Crops against torchvision on PIL images: the resampling to the last bit, boxes for the same random numbers. */

import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  applyCrop,
  type CropPlan,
  checkCropSpec,
  planCrop,
  randomResizedBox,
  reductionOf,
} from "#src/data/crop.js";
import { coveredSize, decodeShrunk, type Raster, readHeader, shrinkFor } from "#src/data/image.js";
import { randomStream } from "#src/random.js";

interface Case {
  readonly source: [number, number];
  readonly pixels: string;
  readonly size: number;
  readonly interpolation: "bicubic" | "bilinear";
  readonly expected: string;
}

interface Fixture {
  readonly resized_crops: (Case & { box: [number, number, number, number]; flip: boolean })[];
  readonly center_crops: (Case & { resize: number })[];
  readonly random_boxes: {
    source: [number, number];
    scale: [number, number];
    ratio: [number, number];
    draws: number[];
    box: [number, number, number, number];
  }[];
  readonly shrunk: {
    jpeg: string;
    source: [number, number];
    cases: { box: [number, number, number, number]; size: number; expected: string }[];
  };
}

const fixture: Fixture = JSON.parse(
  readFileSync(new URL("../fixtures/data/crops.json", import.meta.url), "utf8"),
);

const bytes = (base64: string) => new Uint8Array(Buffer.from(base64, "base64"));

function raster([width, height]: [number, number], base64: string): Raster {
  return { width, height, channels: 3, data: bytes(base64) };
}

/** [H, W, 3] to [3, H, W]. */
function toPlanes(pixels: Uint8Array): Uint8Array {
  const area = pixels.length / 3;
  return Uint8Array.from(
    { length: pixels.length },
    (_, i) => pixels[(i % area) * 3 + Math.floor(i / area)] ?? 0,
  );
}

function planOf([left, top, width, height]: number[], size: number): CropPlan {
  const box = { left: left ?? 0, top: top ?? 0, width: width ?? 0, height: height ?? 0 };
  return { box, width: size, height: size, left: 0, top: 0, size, flip: false, interpolation: "bicubic" };
}

describe("resized crops equal torchvision's, every bit", () => {
  it.each(fixture.resized_crops.map((c, i) => [i, c] as const))("case %i", (_, test) => {
    const image = raster(test.source, test.pixels);
    const plan = { ...planOf(test.box, test.size), flip: test.flip, interpolation: test.interpolation };
    const out = new Uint8Array(3 * test.size ** 2);
    applyCrop(image, image, plan, out);
    expect(out).toEqual(toPlanes(bytes(test.expected)));
  });
});

describe("Resize and CenterCrop equal torchvision's, every bit", () => {
  it.each(fixture.center_crops.map((c, i) => [i, c] as const))("case %i", (_, test) => {
    const image = raster(test.source, test.pixels);
    const { resize, size, interpolation } = test;
    const plan = planCrop({ kind: "resizeCenterCrop", resize, size, interpolation }, image, randomStream(0));
    const out = new Uint8Array(3 * size ** 2);
    applyCrop(image, image, plan, out);
    expect(out).toEqual(toPlanes(bytes(test.expected)));
  });
});

describe("random boxes equal torchvision's for the same random numbers", () => {
  it.each(fixture.random_boxes.map((c, i) => [i, c] as const))(
    "case %i",
    (_, { source, scale, ratio, draws, box }) => {
      const left = [...draws];
      const take = () => left.shift() ?? Number.NaN;
      const [width, height] = source;
      const found = randomResizedBox({ width, height }, scale, ratio, { uniform: take, integer: take });
      expect([found.left, found.top, found.width, found.height]).toEqual(box);
      expect(left).toEqual([]);
    },
  );
});

describe("crops of an image that was decoded smaller", () => {
  const jpeg = bytes(fixture.shrunk.jpeg);
  it.each(fixture.shrunk.cases.map((c) => [c.box, c] as const))(
    "box %j",
    async (_, { box, size, expected }) => {
      const header = await readHeader(jpeg);
      expect([header.width, header.height]).toEqual(fixture.shrunk.source);
      const plan = planOf(box, size);
      const shrink = shrinkFor(header, reductionOf(plan));
      expect(shrink).toBeGreaterThan(1);
      const image = await decodeShrunk(jpeg, header, shrink);
      const wanted = toPlanes(bytes(expected));
      const meanDifference = (shift: number) => {
        const out = new Uint8Array(3 * size ** 2);
        const left = plan.box.left + (shift * plan.box.width) / size;
        applyCrop(image, coveredSize(header, shrink), { ...plan, box: { ...plan.box, left } }, out);
        return out.reduce((sum, value, i) => sum + Math.abs(value - (wanted[i] ?? 0)), 0) / out.length;
      };
      // The decoder averages blocks where Pillow's filter overlaps: texture near the limit differs a little,
      expect(meanDifference(0)).toBeLessThan(2.5);
      // but nothing is displaced: a quarter of an output pixel to either side would be worse.
      expect(meanDifference(0)).toBeLessThan(meanDifference(0.25));
      expect(meanDifference(0)).toBeLessThan(meanDifference(-0.25));
    },
  );
});

describe("planned crops", () => {
  const side = fc.integer({ min: 1, max: 3000 });
  it("lie in the image and keep their resolution, for any size", () => {
    fc.assert(
      fc.property(side, side, fc.nat(), (width, height, seed) => {
        const size = { width, height, plainProfile: true, shrinkable: true };
        const plan = planCrop({ kind: "randomResizedCrop", size: 32 }, size, randomStream(seed));
        const { box } = plan;
        expect(box.left).toBeGreaterThanOrEqual(0);
        expect(box.top).toBeGreaterThanOrEqual(0);
        expect(box.width).toBeGreaterThanOrEqual(1);
        expect(box.height).toBeGreaterThanOrEqual(1);
        expect(box.left + box.width).toBeLessThanOrEqual(width);
        expect(box.top + box.height).toBeLessThanOrEqual(height);
        const shrink = shrinkFor(size, reductionOf(plan));
        if (shrink > 1) expect(Math.min(box.width, box.height) / shrink).toBeGreaterThanOrEqual(32);
      }),
      { numRuns: 300 },
    );
  });

  it("mirrors with the given probability", () => {
    const size = { width: 40, height: 40 };
    const flips = (flip: number) =>
      Array.from({ length: 400 }, (_, i) =>
        planCrop({ kind: "randomResizedCrop", size: 8, flip }, size, randomStream(1, i)),
      ).filter((plan) => plan.flip).length;
    expect(flips(0)).toBe(0);
    expect(flips(1)).toBe(400);
    // Four standard deviations of a binomial.
    expect(Math.abs(flips(0.5) - 200)).toBeLessThan(40);
  });

  it("of a plain colour have this colour, whatever the filter", () => {
    const image: Raster = { width: 9, height: 7, channels: 3, data: new Uint8Array(9 * 7 * 3).fill(137) };
    for (const interpolation of ["bilinear", "bicubic"] as const) {
      const plan = planCrop(
        { kind: "resizeCenterCrop", resize: 20, size: 16, interpolation },
        image,
        randomStream(0),
      );
      const out = new Uint8Array(3 * 16 * 16);
      applyCrop(image, image, plan, out);
      expect(new Set(out)).toEqual(new Set([137]));
    }
  });
});

describe("a crop spec that cannot be meant", () => {
  it.each([
    [{ kind: "randomResizedCrop", size: 0 }, /size is 0, expected a positive integer/],
    [{ kind: "randomResizedCrop", size: 8, scale: [0, 1] }, /scale is \[0,1\], expected .* 0 < low/],
    [{ kind: "randomResizedCrop", size: 8, scale: [0.5, 2] }, /scale is \[0.5,2\]/],
    [{ kind: "randomResizedCrop", size: 8, ratio: [2, 1] }, /ratio is \[2,1\], expected .* low <= high/],
    [{ kind: "randomResizedCrop", size: 8, flip: 1.5 }, /flip is 1.5, expected a probability/],
    [
      { kind: "resizeCenterCrop", resize: 16, size: 32 },
      /resize is 16, expected an integer of at least size \(32\)/,
    ],
  ] as const)("%j", (spec, message) => {
    expect(() => checkCropSpec(spec)).toThrow(message);
  });
});
