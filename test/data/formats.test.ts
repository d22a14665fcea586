/** @file Readers of foreign formats: tar archives as Python's tarfile has them, `.mat` files as SciPy has them. */

import { describe, expect, it } from "vitest";
import { readMatlab } from "#src/data/matlab.js";
import { indexTar } from "#src/data/tar.js";
import { put, temporaryFolder } from "./helpers.js";
import { base64, fixtures, inflated, tarOf } from "./official.js";

const archive = (bytes: Uint8Array) => put(temporaryFolder(), "x.tar", bytes);

describe("tar archives", () => {
  it.each(Object.keys(fixtures.tar))(
    "%s: names, long ones too, and contents by their offset",
    async (format) => {
      const { deflated, members } = fixtures.tar[format] ?? { deflated: "", members: {} };
      const bytes = inflated(deflated);
      const found = await indexTar(archive(bytes));
      const contents = found.map(({ name, offset, size }) => {
        const content = Buffer.from(bytes.subarray(offset, offset + size)).toString("utf8");
        return [name, [content.length, content.slice(0, 40)]];
      });
      expect(Object.fromEntries(contents)).toEqual(members);
      // Of two members with one name the later one.
      expect(found.filter(({ name }) => name === "train/one.txt")).toHaveLength(1);
    },
  );

  it("GNU's binary sizes and pax sizes", async () => {
    const bytes = Buffer.from(tarOf({ "a.txt": "hello", "b.txt": "world" }));
    // The size of a.txt as a big-endian number with the first bit set, and the header's sum again.
    bytes.fill(0, 124, 136);
    bytes[124] = 0x80;
    bytes[135] = 5;
    bytes.write("        ", 148);
    const sum = bytes.subarray(0, 512).reduce((a, b) => a + b, 0);
    bytes.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
    expect((await indexTar(archive(bytes))).map(({ name, size }) => [name, size])).toEqual([
      ["a.txt", 5],
      ["b.txt", 5],
    ]);
  });

  it("members behind more bytes than are read at a time", async () => {
    const bytes = tarOf({ big: Buffer.alloc(700_001, 7), small: "end" });
    const [, small] = await indexTar(archive(bytes));
    expect(small).toEqual({ name: "small", offset: 512 + 700_416 + 512, size: 3 });
  });

  const whole = tarOf({ "a.txt": "hello", "b.txt": "x".repeat(2000) });
  it.each([
    [
      "cut off inside a member",
      whole.subarray(0, 2000),
      /damaged at byte 1024: it ends inside b\.txt: truncated/,
    ],
    ["cut off inside a header", whole.subarray(0, 1200), /it ends inside a header: truncated/],
    [
      "with a wrong checksum",
      Uint8Array.from(whole, (b, i) => (i === 3 ? 1 : b)),
      /checksum of a member's header is wrong/,
    ],
    ["compressed", Buffer.from("1f8b0800", "hex"), /is compressed \(gzip\).*gunzip/],
    ["empty", Buffer.alloc(0), /is empty \(0 bytes\)/],
    ["that is none", Buffer.alloc(2048, 65), /checksum of a member's header is wrong/],
  ])("an archive %s is refused", async (_, bytes, message) => {
    await expect(indexTar(archive(bytes))).rejects.toThrow(message);
  });
});

describe("MATLAB files", () => {
  it.each(Object.keys(fixtures.mat))("%s: all numeric types as SciPy reads them", (kind) => {
    const { bytes, numeric } = fixtures.mat[kind] ?? { bytes: "", numeric: {} };
    const variables = readMatlab(base64(bytes));
    const found = [...variables].map(([name, array]) => [
      name,
      { shape: array.shape, values: array.kind === "numeric" ? array.values : undefined },
    ]);
    expect(Object.fromEntries(found)).toEqual(numeric);
  });

  it("structures of text and numbers", () => {
    const kit = fixtures.layouts["imagenet-1k"]?.files["ILSVRC2012_devkit_t12/data/meta.mat"] ?? "";
    const synsets = readMatlab(base64(kit)).get("synsets");
    if (synsets?.kind !== "structure") throw new Error("no structure");
    expect(synsets.shape).toEqual([5, 1]);
    expect(synsets.elements[1]?.get("words")).toEqual({
      kind: "text",
      shape: [1, 18],
      text: "tench, Tinca tinca",
    });
    expect(synsets.elements[4]?.get("children")).toEqual({ kind: "numeric", shape: [1, 2], values: [1, 2] });
  });

  const plain = base64(fixtures.mat.plain?.bytes ?? "");
  const edited = (at: number, value: number) =>
    Uint8Array.from(plain, (byte, i) => (i === at ? value : byte));
  it.each([
    ["no MATLAB file", Buffer.alloc(200), /not a MATLAB file of version 5/],
    ["HDF5", edited(125, 2), /MATLAB 7\.3 \(HDF5\): save it with -v7/],
    ["truncated", plain.subarray(0, 190), /goes beyond the end|inside an element/],
    ["an element that is no variable", edited(128, 9), /an element of type 9 where a variable is expected/],
  ])("%s is refused", (_, bytes, message) => {
    expect(() => readMatlab(bytes)).toThrow(message);
  });

  it("cut anywhere, is refused or shorter, never a crash", () => {
    const compressed = base64(fixtures.mat.compressed?.bytes ?? "");
    for (const file of [plain, compressed]) {
      for (let length = 0; length < file.length; length += 7) {
        try {
          expect(readMatlab(file.subarray(0, length)).size).toBeLessThanOrEqual(8);
        } catch (error) {
          expect(error).toHaveProperty("name", "MatlabError");
        }
      }
    }
  });
});
