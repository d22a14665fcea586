/** @file PyTorch's files, read as torch.save wrote them; damaged ones refused by name. */

import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { openTorchFile, toFloat32 } from "#src/weights/index.js";
import { fixtures, temporaryFolder } from "./helpers.js";
import {
  bytesOf,
  dictionary,
  int,
  pickle,
  readAll,
  refusal,
  tensor,
  text,
  torchZip,
  values,
} from "./torch-files.js";

describe("files of torch.save", () => {
  test.each(["torch-zip.pth", "torch-legacy.pth", "torch-big-endian.pth"])("%s", async (name) => {
    await using file = openTorchFile(join(fixtures, name));
    // What make_torch_files.py saved.
    const base = Array.from({ length: 24 }, (_, i) => i / 8 - 1);
    const column = (c: number) => [0, 1, 2, 3].map((row) => base[row * 6 + c] as number);
    const wanted: Record<string, [dtype: string, shape: number[], values: number[]]> = {
      "model.whole": ["float32", [4, 6], base],
      "model.transposed": ["float32", [6, 4], [0, 1, 2, 3, 4, 5].flatMap(column)],
      "model.columns": [
        "float32",
        [4, 2],
        [0, 1, 2, 3].flatMap((r) => [base[r * 6 + 1], base[r * 6 + 2]] as number[]),
      ],
      "model.rows": ["float32", [2, 6], base.slice(12)],
      "model.expanded": ["float32", [3, 6], [...base.slice(0, 6), ...base.slice(0, 6), ...base.slice(0, 6)]],
      "model.scalar": ["float32", [], [3.5]],
      "model.empty": ["float32", [0, 3], []],
      "model.half": ["float16", [4, 6], base],
      "model.bfloat": ["bfloat16", [4, 6], base],
      "model.double": ["float64", [4, 6], base],
      "model.parameter": ["float32", [6], base.slice(0, 6)],
      "nested.list.1": ["float32", [2], [1, 2]],
    };
    for (const [key, [dtype, shape, numbers]] of Object.entries(wanted)) {
      const found = await file.read(key);
      expect([key, found.dtype, found.shape]).toEqual([key, dtype, shape]);
      expect([...toFloat32(found)], key).toEqual(numbers);
    }
    expect((await file.read("model.integers")).data).toEqual(BigInt64Array.of(-1n, 2n ** 40n));
    expect((await file.read("model.truth")).data).toEqual(Uint8Array.of(1, 0, 1));
    expect(Object.fromEntries(file.facts)).toMatchObject({
      epoch: 3,
      "args.arch": "vit_small",
      "args.lr": 0.001,
      "best.accuracy": 0.5,
    });
    expect(new Set(file.names)).toEqual(new Set([...Object.keys(wanted), "model.integers", "model.truth"]));
    expect(() => file.info("model.absent")).toThrow(
      /there is no tensor "model\.absent", expected one of: model\.whole/,
    );
  });

  test("what the tests build is read too: plain, deflated, with 64-bit records", async () => {
    expect(await readAll(torchZip())).toEqual({ w: [0, 1, 2, 3, 4, 5] });
    const data = [{ name: "archive/data/0", data: bytesOf(values), deflated: true }];
    expect(await readAll(torchZip(undefined, data, { deflated: true }))).toEqual({ w: [0, 1, 2, 3, 4, 5] });
    expect(await readAll(torchZip(undefined, undefined, { wide: true }))).toEqual({ w: [0, 1, 2, 3, 4, 5] });
  });
});

describe("the format before torch 1.6", () => {
  const magic = Buffer.from([0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19]);
  const start = [pickle(magic), pickle("M", Buffer.from([0xe9, 3])), pickle("}")];
  const size = (count: number) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(count));
    return bytes;
  };
  // In it, a reference ends with a view or None.
  const object = pickle(...dictionary("w", tensor()));
  const keys = pickle("](", text("0"), "e");
  const file = (...more: Buffer[]) => Buffer.concat([...start, object, ...more]);

  test("is read", async () => {
    expect(await readAll(file(keys, size(6), bytesOf(values)))).toEqual({ w: [0, 1, 2, 3, 4, 5] });
  });

  test("storages that are windows of others", async () => {
    const view = Buffer.concat([text("v"), int(2), int(4), Buffer.from([0x87])]);
    const windowed = Buffer.concat([
      Buffer.from("ctorch._utils\n_rebuild_tensor_v2\n(("),
      text("storage"),
      Buffer.from("ctorch\nFloatStorage\n"),
      text("0"),
      text("cpu"),
      int(6),
      view,
      Buffer.from("tQ"),
      int(1),
      Buffer.from("K\x03\x85K\x01\x85", "latin1"),
      Buffer.from([0x89]),
      Buffer.from("}tR"),
    ]);
    const bytes = Buffer.concat([
      ...start,
      pickle(...dictionary("w", windowed)),
      keys,
      size(6),
      bytesOf(values),
    ]);
    expect(await readAll(bytes)).toEqual({ w: [3, 4, 5] });
  });

  test.each<[what: string, bytes: Buffer, message: RegExp]>([
    ["a wrong magic number", pickle("K", 5), /none of torch\.save: its magic number is missing/],
    [
      "another protocol",
      Buffer.concat([pickle(magic), pickle("K", 2)]),
      /its protocol is "2", expected 1001/,
    ],
    [
      "code",
      Buffer.concat([...start, pickle("cos\nsystem\n", "(", text("true"), "tR")]),
      /refers to "os\.system"/,
    ],
    ["no storages", file(), /bytes, and 1 are wanted/],
    ["a storage cut short", file(keys, size(6), bytesOf(values).subarray(4)), /20 bytes|are wanted/],
    [
      "a storage of another size",
      file(keys, size(2 ** 40), bytesOf(values)),
      /has 1099511627776 elements, expected 6/,
    ],
    ["a negative size", file(keys, size(-6), bytesOf(values)), /has -6 elements, expected 6/],
    [
      "a storage that no tensor uses",
      file(pickle("](", text("9"), "e"), size(6)),
      /"9", which no tensor uses/,
    ],
    [
      "a storage without bytes",
      file(pickle("]")),
      /its tensor "w": the bytes of its storage "0" are missing/,
    ],
  ])("%s", async (_, bytes, message) => {
    expect(await refusal(bytes)).toMatch(message);
  });
});

describe("files that are something else", () => {
  test.each<[what: string, bytes: string, message: RegExp]>([
    ["empty", "", /it is empty, expected a file of torch\.save/],
    [
      "a pointer of Git LFS",
      "version https://git-lfs.github.com/spec/v1\noid sha256:0",
      /a pointer of Git LFS/,
    ],
    ["a web page", "<!DOCTYPE html><html>", /it is a web page/],
    ["text", "hello", /it begins with "hello"/],
  ])("%s", async (_, bytes, message) => {
    expect(await refusal(Buffer.from(bytes))).toMatch(message);
  });

  test("absent, and a folder", () => {
    const folder = temporaryFolder();
    expect(() => openTorchFile(join(folder, "absent.pth"))).toThrow(
      /absent\.pth: it cannot be read: no such file/,
    );
    expect(() => openTorchFile(folder)).toThrow(/it is no regular file/);
  });
});

test("no change of bytes crashes the reader: it is read, or refused by name", async () => {
  const good = torchZip();
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }),
      async (changes) => {
        const bytes = Buffer.from(good);
        for (const [place, value] of changes) bytes[place] = value;
        await refusal(bytes);
      },
    ),
    { numRuns: 300 },
  );
});
