/** @file Decoding of every supported kind of file, refusal of what is none, PNG out. */

import { crc32, deflateSync } from "node:zlib";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { fittedPath } from "#src/data/contact-sheet.js";
import { plainJpegSize } from "#src/data/image-header.js";
import { contactSheet, decodeImage, encodePng } from "#src/data/index.js";
import { picture } from "./helpers.js";

const COLOUR = { r: 200, g: 100, b: 40 };
const plain = () => sharp({ create: { width: 12, height: 8, channels: 3, background: COLOUR } });

/** sRGB grey of the colour's relative luminance (IEC 61966-2-1): what libvips converts to. */
const GREY = [128, 128, 128];

describe("decodes to 8-bit sRGB with three channels", () => {
  it.each([
    ["JPEG", () => plain().jpeg({ quality: 95 }), [200, 100, 40], 3],
    ["PNG", () => plain().png(), [200, 100, 40], 0],
    ["WebP", () => plain().webp({ lossless: true }), [200, 100, 40], 0],
    ["TIFF", () => plain().tiff({ compression: "lzw" }), [200, 100, 40], 0],
    ["AVIF", () => plain().avif({ quality: 90 }), [200, 100, 40], 4],
    ["GIF", () => plain().gif(), [200, 100, 40], 0],
    ["16-bit PNG", () => plain().toColourspace("rgb16").png(), [200, 100, 40], 1],
    ["16-bit TIFF", () => plain().toColourspace("rgb16").tiff(), [200, 100, 40], 1],
    ["grey PNG", () => plain().toColourspace("b-w").png(), GREY, 1],
    ["grey JPEG", () => plain().toColourspace("b-w").jpeg(), GREY, 3],
    // Out of the gamut of print, so only roughly.
    ["CMYK JPEG", () => plain().toColourspace("cmyk").jpeg({ quality: 95 }), [200, 100, 40], 30],
    ["CMYK TIFF", () => plain().toColourspace("cmyk").tiff(), [200, 100, 40], 30],
    ["palette PNG", () => plain().png({ palette: true }), [200, 100, 40], 0],
    ["half transparent", () => plain().ensureAlpha(0.5).png(), [100, 50, 20], 1],
    ["transparent", () => plain().ensureAlpha(0).png(), [0, 0, 0], 0],
    [
      "JPEG with an sRGB profile",
      () => plain().withIccProfile("srgb").jpeg({ quality: 95 }),
      [200, 100, 40],
      3,
    ],
    // The file holds P3 numbers of the same colour: only a conversion finds the sRGB ones again.
    ["PNG with a P3 profile", () => plain().withIccProfile("p3").png(), [200, 100, 40], 3],
  ] as const)("%s", async (_, make, colour, tolerance) => {
    const image = await decodeImage(await make().toBuffer());
    expect([image.width, image.height, image.channels]).toEqual([12, 8, 3]);
    expect(image.data.length).toBe(12 * 8 * 3);
    for (const [i, expected] of colour.entries()) {
      expect(Math.abs((image.data[i] ?? -1) - expected)).toBeLessThanOrEqual(tolerance);
    }
  });

  it("keeps P3 numbers apart from sRGB ones", async () => {
    const file = await plain().withIccProfile("p3").png().toBuffer();
    const raw = await sharp(file, { ignoreIcc: true }).raw().toBuffer();
    expect(Math.abs((raw[0] ?? 0) - COLOUR.r)).toBeGreaterThan(5);
  });

  it("takes the first frame of a GIF", async () => {
    const red = sharp({ create: { width: 6, height: 6, channels: 3, background: "#ff0000" } });
    const blue = sharp({ create: { width: 6, height: 6, channels: 3, background: "#0000ff" } });
    const frames = [await red.png().toBuffer(), await blue.png().toBuffer()];
    const image = await decodeImage(
      await sharp(frames, { join: { animated: true } })
        .gif()
        .toBuffer(),
    );
    expect([image.width, image.height]).toEqual([6, 6]);
    expect([...image.data.subarray(0, 3)]).toEqual([255, 0, 0]);
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8])("honours EXIF orientation %i", async (orientation) => {
    // Four corners of different colours tell all eight apart.
    const [w, h] = [4, 2];
    const at = (x: number, y: number) => [x * 60, y * 200, 30];
    const upright = Uint8Array.from({ length: w * h * 3 }, (_, i) => {
      const p = Math.floor(i / 3);
      return at(p % w, Math.floor(p / w))[i % 3] ?? 0;
    });
    // Where the upright pixel (x, y) is stored under each orientation (EXIF 2.3, tag 0x0112).
    const turned = orientation >= 5;
    const [sw, sh] = turned ? [h, w] : [w, h];
    const place: Record<number, (x: number, y: number) => [number, number]> = {
      1: (x, y) => [x, y],
      2: (x, y) => [w - 1 - x, y],
      3: (x, y) => [w - 1 - x, h - 1 - y],
      4: (x, y) => [x, h - 1 - y],
      5: (x, y) => [y, x],
      6: (x, y) => [y, w - 1 - x],
      7: (x, y) => [h - 1 - y, w - 1 - x],
      8: (x, y) => [h - 1 - y, x],
    };
    const stored = new Uint8Array(w * h * 3);
    for (let y = 0; y < h; y++) {
      for (let x = 0; x < w; x++) {
        const [sx, sy] = place[orientation]?.(x, y) ?? [0, 0];
        stored.set(at(x, y), 3 * (sy * sw + sx));
      }
    }
    const file = await sharp(stored, { raw: { width: sw, height: sh, channels: 3 } })
      .withMetadata({ orientation })
      .png()
      .toBuffer();
    const image = await decodeImage(file);
    expect([image.width, image.height]).toEqual([w, h]);
    expect(new Uint8Array(image.data)).toEqual(upright);
  });
});

describe("the size of a plain JPEG, read without the decoder", () => {
  const jpeg = (change: (image: ReturnType<typeof picture>) => ReturnType<typeof picture>) =>
    change(picture(3, 37, 21)).toBuffer();
  it.each([
    ["baseline", () => jpeg((i) => i.jpeg())],
    ["progressive", () => jpeg((i) => i.jpeg({ mozjpeg: true }))],
    ["grey", () => jpeg((i) => i.toColourspace("b-w").jpeg())],
  ])("%s", async (_, make) => {
    const file = await make();
    expect(plainJpegSize(file)).toEqual({ width: 37, height: 21 });
    const { autoOrient, icc, format } = await sharp(file).metadata();
    expect([autoOrient, icc, format]).toEqual([{ width: 37, height: 21 }, undefined, "jpeg"]);
    // At no length is a beginning of it taken for more than it says.
    for (let end = 0; end < file.length; end++) {
      expect([undefined, 37]).toContain(plainJpegSize(file.subarray(0, end))?.width);
    }
  });
  it.each([
    ["EXIF", () => jpeg((i) => i.withMetadata({ orientation: 6 }).jpeg())],
    ["a profile", () => jpeg((i) => i.withIccProfile("p3").jpeg())],
    ["CMYK", () => jpeg((i) => i.toColourspace("cmyk").jpeg())],
    ["PNG", () => jpeg((i) => i.png())],
  ])("is left to it: %s", async (_, make) => {
    expect(plainJpegSize(await make())).toBeUndefined();
  });
});

describe("large images", () => {
  it("are decoded down to what is asked for, no smaller", async () => {
    const file = await picture(1, 1000, 704).jpeg().toBuffer();
    const sizes = await Promise.all(
      [704, 352, 200, 100, 10].map((minSize) => decodeImage(file, { minSize })),
    );
    expect(sizes.map((image) => image.height)).toEqual([704, 352, 352, 176, 88]);
  });

  it("decodes a 20,000 px panorama in bounded memory", async () => {
    const file = await sharp({ create: { width: 20_000, height: 4_000, channels: 3, background: COLOUR } })
      .jpeg()
      .toBuffer();
    const image = await decodeImage(file);
    expect([image.width, image.height]).toEqual([5000, 1000]);
    expect(Math.abs((image.data[0] ?? 0) - 200)).toBeLessThanOrEqual(3);
  });
});

/** A PNG whose header promises `side` x `side` pixels. */
function bomb(side: number): Buffer {
  const chunk = (type: string, data: Buffer) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const out = Buffer.alloc(body.length + 8);
    out.writeUInt32BE(data.length, 0);
    body.copy(out, 4);
    out.writeUInt32BE(crc32(body), body.length + 4);
    return out;
  };
  const header = Buffer.alloc(13);
  header.writeUInt32BE(side, 0);
  header.writeUInt32BE(side, 4);
  header.set([8, 2, 0, 0, 0], 8);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  const data = deflateSync(Buffer.alloc(1 << 20));
  return Buffer.concat([
    signature,
    chunk("IHDR", header),
    chunk("IDAT", data),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

describe("refuses", () => {
  it("a PNG bomb, before decoding it", async () => {
    await expect(decodeImage(bomb(60_000))).rejects.toThrow(/pixel limit|60000x60000 pixels: more than/);
  });
  it("an image of 1x1", async () => {
    const file = await picture(0, 1, 1).png().toBuffer();
    await expect(decodeImage(file)).rejects.toThrow("1x1 pixels: too small, an image needs at least 2x2");
  });
  it.each(["jpeg", "png", "webp", "tiff", "gif"] as const)("a truncated %s", async (format) => {
    const file = await picture(0, 200, 200).toFormat(format).toBuffer();
    await expect(decodeImage(file.subarray(0, file.length * 0.6))).rejects.toThrow();
  });
  it("text", async () => {
    await expect(decodeImage(Buffer.from("not an image at all"))).rejects.toThrow(/unsupported image format/);
  });
});

describe("encodePng and contactSheet", () => {
  it("gives back what it was given", async () => {
    const pixels = Uint8Array.from({ length: 5 * 3 * 3 }, (_, i) => (i * 37) & 255);
    const image = await decodeImage(await encodePng(pixels, 5, 3));
    expect([image.width, image.height]).toEqual([5, 3]);
    expect(new Uint8Array(image.data)).toEqual(pixels);
  });
  it("refuses a wrong number of bytes", async () => {
    await expect(encodePng(new Uint8Array(10), 5, 3)).rejects.toThrow(
      "10 bytes given, expected 45 (3 x 5 x 3)",
    );
  });
  it("places images row by row", async () => {
    const tile = (value: number) => ({
      width: 2,
      height: 2,
      channels: 3 as const,
      data: new Uint8Array(12).fill(value),
    });
    const sheet = await decodeImage(
      await contactSheet([tile(10), tile(20), tile(30)], { columns: 2, gap: 1, background: 255, zoom: 2 }),
    );
    expect([sheet.width, sheet.height]).toEqual([11, 11]);
    const at = (x: number, y: number) => sheet.data[3 * (y * 11 + x)];
    expect([at(0, 0), at(1, 1), at(4, 4), at(6, 1), at(1, 6), at(6, 6), at(5, 5)]).toEqual([
      255, 10, 10, 20, 30, 255, 255,
    ]);
  });
  it("shrinks images, each by itself", async () => {
    const tile = (left: number, right: number) => ({
      width: 13,
      height: 9,
      channels: 3 as const,
      data: Uint8Array.from({ length: 13 * 9 * 3 }, (_, i) => (Math.floor(i / 3) % 13 < 6 ? left : right)),
    });
    const sheet = await decodeImage(
      await contactSheet([tile(10, 90), tile(200, 160)], { gap: 1, shrink: 2 }),
    );
    expect([sheet.width, sheet.height]).toEqual([1 + 2 * (6 + 1), 1 + 4 + 1]);
    const at = (x: number) => sheet.data[3 * (2 * sheet.width + x)] as number;
    for (const [x, value] of [
      [1, 10],
      [6, 90],
      [8, 200],
      [13, 160],
      [7, 255],
    ] as const) {
      expect(Math.abs(at(x) - value), `${x}`).toBeLessThanOrEqual(3);
    }
  });
  it.each([
    ["dress/1.jpg", "dress/1.jpg"],
    ["dress/0b7e4c1a-9d5f-4a55-8a5e-2f6d1c9b3f2a.jpg", "dress/…c9b3f2a.jpg"],
    ["/data/clothes/dress/1a.jpg", "…thes/dress/1a.jpg"],
    ["/data/clothes/outer-garment/0b7e4c1a9d5f3f2a.jpg", "outer-g…/…3f2a.jpg"],
    ["clothes/outer-garments-for-rain/1.jpg", "outer-garme…/1.jpg"],
    ["0b7e4c1a-9d5f-4a55-8a5e-2f6d1c9b3f2a.jpg", "…-2f6d1c9b3f2a.jpg"],
  ])("cuts the caption %s where it leaves the class folder and the end of the name", (path, caption) => {
    const shown = fittedPath(path, 18);
    expect(shown).toBe(caption);
    expect(shown.length).toBeLessThanOrEqual(18);
  });
  it("refuses to make a sheet of nothing", async () => {
    await expect(contactSheet([])).rejects.toThrow("no image given");
  });
});
