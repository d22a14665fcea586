/** @file Safetensors files agree with the reference implementation's, and broken ones are refused by name. */

import { mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type HostTensor,
  openSafetensors,
  SafetensorsError,
  toFloat32,
  writeSafetensors,
} from "#src/weights/index.js";
import { bytes, fixtures, temporaryFolder } from "./helpers.js";

const reference = join(fixtures, "all-types.safetensors");

interface Expected {
  dtype: string;
  shape: number[];
  values: (number | string)[];
}

const expected: Record<string, Expected> = JSON.parse(readFileSync(join(fixtures, "all-types.json"), "utf8"));

function float32(values: number[], shape = [values.length]): HostTensor {
  return { dtype: "float32", shape, data: Float32Array.from(values) };
}

describe("a file of the reference implementation", () => {
  test("has the names, types, shapes and values that PyTorch sees", async () => {
    await using file = await openSafetensors(reference);
    expect([...file.names].sort()).toEqual(Object.keys(expected).sort());
    expect(file.metadata).toEqual(new Map([["format", "pt – ü"]]));
    for (const [name, { dtype, shape, values }] of Object.entries(expected)) {
      const tensor = await file.read(name);
      expect({ dtype: tensor.dtype, shape: tensor.shape }, name).toEqual({ dtype, shape });
      expect(file.info(name), name).toEqual({ dtype, shape, byteLength: tensor.data.byteLength });
      if (dtype.includes("float")) expect([...toFloat32(tensor)], name).toEqual(values.map(Number));
      else expect(Array.from(tensor.data, String), name).toEqual(values);
    }
  });

  test("is written again byte by byte", async () => {
    await using file = await openSafetensors(reference);
    const copy = join(temporaryFolder(), "copy.safetensors");
    const tensors = [...(await file.readAll())].reverse();
    await writeSafetensors(copy, new Map(tensors), { metadata: Object.fromEntries(file.metadata) });
    expect(readFileSync(copy).equals(readFileSync(reference))).toBe(true);
  });

  test("does not have other tensors", async () => {
    await using file = await openSafetensors(reference);
    expect(file.has("constructor")).toBe(false);
    await expect(file.read("constructor")).rejects.toThrow(
      /all-types\.safetensors: there is no tensor "constructor"/,
    );
  });
});

describe("writing", () => {
  const dtypes = {
    float64: Float64Array,
    float32: Float32Array,
    float16: Uint16Array,
    bfloat16: Uint16Array,
    int64: BigInt64Array,
    int32: Int32Array,
    int16: Int16Array,
    int8: Int8Array,
    uint8: Uint8Array,
  };
  const tensor = fc
    .tuple(
      fc.constantFrom(...(Object.keys(dtypes) as (keyof typeof dtypes)[])),
      fc.array(fc.nat(3), { maxLength: 4 }),
      fc.uint8Array({ minLength: 648, maxLength: 648 }),
    )
    .map(([dtype, shape, noise]) => {
      const count = shape.reduce((a, b) => a * b, 1);
      return { dtype, shape, data: new dtypes[dtype](noise.slice().buffer, 0, count) } as HostTensor;
    });
  const name = fc.string({ unit: "binary" }).filter((s) => s !== "__metadata__");

  test("gives back any tensors under any names", async () => {
    const path = join(temporaryFolder(), "a.safetensors");
    const maps = fc.array(fc.tuple(name, tensor), { maxLength: 6 }).map((pairs) => new Map(pairs));
    await fc.assert(
      fc.asyncProperty(
        maps,
        fc.dictionary(name, fc.string({ unit: "binary" })),
        async (tensors, metadata) => {
          const { byteLength } = await writeSafetensors(path, tensors, { metadata });
          expect(statSync(path).size).toBe(byteLength);
          await using file = await openSafetensors(path);
          expect(Object.fromEntries(file.metadata)).toEqual({ ...metadata });
          expect([...file.names].sort()).toEqual([...tensors.keys()].sort());
          for (const [key, original] of tensors) {
            const read = await file.read(key);
            expect([read.dtype, read.shape]).toEqual([original.dtype, original.shape]);
            expect(bytes(read).equals(bytes(original))).toBe(true);
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  test("writes a view into a larger array", async () => {
    const path = join(temporaryFolder(), "a.safetensors");
    const data = Float32Array.of(9, 1, 2, 9).subarray(1, 3);
    await writeSafetensors(path, new Map([["x", { dtype: "float32", shape: [2], data }]]));
    await using file = await openSafetensors(path);
    expect((await file.read("x")).data).toEqual(Float32Array.of(1, 2));
  });

  test("refuses what no reader could read, and leaves the old file", async () => {
    const path = join(temporaryFolder(), "a.safetensors");
    writeFileSync(path, "old");
    const cases: [string, HostTensor, RegExp][] = [
      ["__metadata__", float32([1]), /a tensor is named __metadata__, expected another name/],
      ["a\ud800", float32([1]), /half a surrogate pair/],
      ["x", float32([1, 2], [3]), /tensor x has 2 values, expected 3 for float32 \[3\]/],
    ];
    for (const [key, value, message] of cases) {
      await expect(writeSafetensors(path, new Map([[key, value]]))).rejects.toThrow(message);
    }
    expect(readFileSync(path, "utf8")).toBe("old");
    expect(readdirSync(join(path, ".."))).toEqual(["a.safetensors"]);
  });
});

/** A file of this header and that many bytes of data. */
function put(header: string | Uint8Array, dataBytes: number, length?: bigint): string {
  const path = join(temporaryFolder(), "hostile.safetensors");
  const text = Buffer.from(header);
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(length ?? BigInt(text.length));
  writeFileSync(path, Buffer.concat([prefix, text, Buffer.alloc(dataBytes, 2)]));
  return path;
}

async function refused(path: string, message: RegExp): Promise<void> {
  const error: unknown = await openSafetensors(path).then(
    (file) => file.close(),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(SafetensorsError);
  expect((error as SafetensorsError).message).toMatch(message);
  expect((error as SafetensorsError).message.startsWith(`${path}: `)).toBe(true);
  expect((error as SafetensorsError).message).not.toContain("\n");
}

const f32 = (begin: number, end: number, shape = "[1]") =>
  `{"dtype":"F32","shape":${shape},"data_offsets":[${begin},${end}]}`;

describe("a broken or hostile file is refused:", () => {
  test.each<[string, string | Uint8Array, number, RegExp]>([
    ["no JSON", "{'a': 1}", 0, /the header is no JSON: it begins .*\{'a': 1\}/],
    ["no object", "[1]", 0, /the header is \[1\], expected a JSON object/],
    ["no text", Uint8Array.of(0x7b, 0xff, 0x7d), 0, /no UTF-8 text/],
    ["a byte order mark", "\ufeff{}", 0, /no JSON/],
    ["deep nesting", "[".repeat(2_000_000), 0, /no JSON/],
    [
      "deep nesting in an entry",
      `{"a":${"[".repeat(500_000)}${"]".repeat(500_000)}}`,
      0,
      /nests values 4 deep/,
    ],
    ["a long name", `{"${"x".repeat(5_000_000)}":1}`, 0, /tensor "x+… has "1", expected dtype/],
    ["a tensor twice", `{"a":${f32(0, 4)}, "\\u0061" :${f32(0, 4)}}`, 4, /the key "a" twice/],
    [
      "a field twice",
      `{"a":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}}`,
      4,
      /the key "shape" twice/,
    ],
    ["metadata twice", `{"__metadata__":{},"__metadata__":{}}`, 0, /the key "__metadata__" twice/],
    ["metadata of numbers", `{"__metadata__":{"a":1}}`, 0, /__metadata__ has 1 under "a", expected a string/],
    ["metadata in a list", `{"__metadata__":["a"]}`, 0, /__metadata__ is \["a"\], expected an object/],
    [
      "a missing field",
      `{"a":{"dtype":"F32","shape":[1]}}`,
      4,
      /tensor "a" has "dtype, shape", expected dtype, shape and/,
    ],
    [
      "a strange field",
      `{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4],"x":1}}`,
      4,
      /"data_offsets, dtype, shape, x"/,
    ],
    ["fields by prototype", `{"a":{"__proto__":{"dtype":"F32"}}}`, 4, /tensor "a" has "__proto__"/],
    [
      "an unknown type",
      `{"a":{"dtype":"F8_E5M2","shape":[1],"data_offsets":[0,1]}}`,
      1,
      /dtype "F8_E5M2", expected one of I64,/,
    ],
    [
      "an inherited type",
      `{"a":{"dtype":"constructor","shape":[1],"data_offsets":[0,1]}}`,
      1,
      /dtype "constructor"/,
    ],
    ["a negative size", `{"a":${f32(0, 4, "[-1,-1]")}}`, 4, /shape \[-1,-1\], expected whole numbers from 0/],
    ["half a size", `{"a":${f32(0, 4, "[0.5,2]")}}`, 4, /shape \[0\.5,2\]/],
    ["a size in quotes", `{"a":${f32(0, 4, '["1"]')}}`, 4, /shape \["1"\]/],
    [
      "an overflowing shape",
      `{"a":${f32(0, 0, "[4294967296,4294967296,0]")}}`,
      0,
      /expected a product below 2\^53/,
    ],
    [
      "a shape larger than its data",
      `{"a":${f32(0, 4, "[1000000000]")}}`,
      4,
      /has 4 bytes of data, expected 4000000000 for F32/,
    ],
    ["a negative offset", `{"a":${f32(-4, 0)}}`, 4, /data_offsets \[-4,0\], expected \[begin, end\]/],
    [
      "three offsets",
      `{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,8]}}`,
      8,
      /data_offsets \[0,4,8\]/,
    ],
    ["offsets backwards", `{"a":${f32(4, 0)}}`, 4, /data_offsets \[4,0\], expected begin <= end <= 4/],
    [
      "offsets beyond the end",
      `{"a":${f32(0, 8, "[2]")}}`,
      4,
      /data_offsets \[0,8\], expected begin <= end <= 4/,
    ],
    ["an overlap", `{"a":${f32(0, 4)},"b":${f32(0, 4)}}`, 4, /tensor "b" overlaps the tensor before it/],
    [
      "half an overlap",
      `{"a":${f32(0, 8, "[2]")},"b":${f32(4, 12, "[2]")}}`,
      12,
      /"b" overlaps .* begins at byte 4, expected 8/,
    ],
    [
      "a hole",
      `{"a":${f32(0, 4)},"b":${f32(8, 12)}}`,
      12,
      /tensor "b" leaves a hole before it: it begins at byte 8, expected 4/,
    ],
    ["a hole at the start", `{"a":${f32(4, 8)}}`, 8, /"a" leaves a hole/],
    ["bytes after the data", `{"a":${f32(0, 4)}}`, 5, /5 bytes follow the header, expected 4/],
    ["data without tensors", "{}", 1, /1 bytes follow the header, expected 0/],
  ])("%s", async (_name, header, dataBytes, message) => {
    await refused(put(header, dataBytes), message);
  });

  test("lengths of the header that are not there", async () => {
    await refused(put("{}", 0, 3n), /its header has 3 bytes, expected at most 2 \(the file has 10\)/);
    await refused(
      put("{}", 0, 2n ** 64n - 1n),
      /its header has 18446744073709551615 bytes, expected at most 2/,
    );
    const path = put("{}", 0, 100_000_001n);
    truncateSync(path, 200_000_000);
    await refused(path, /its header has 100000001 bytes, expected at most 100000000/);
  });

  test("the reference file cut short anywhere", async () => {
    const whole = readFileSync(reference);
    const path = join(temporaryFolder(), "cut.safetensors");
    for (let length = 0; length < whole.length; length += 7) {
      writeFileSync(path, whole.subarray(0, length));
      await refused(path, /expected/);
    }
  });

  test("no file, a folder", async () => {
    const folder = temporaryFolder();
    await refused(join(folder, "absent"), /it cannot be read: no such file or folder \(ENOENT\)/);
    mkdirSync(join(folder, "b"));
    await refused(join(folder, "b"), /it is no regular file/);
  });

  test("a byte that is no truth value, and a file that shrank", async () => {
    const path = put(`{"a":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}}`, 2);
    await using file = await openSafetensors(path);
    await expect(file.read("a")).rejects.toThrow(/tensor "a" has the byte 2 at 0, expected 0 or 1 for BOOL/);
    truncateSync(path, statSync(path).size - 1);
    await expect(file.read("a")).rejects.toThrow(/the file ends at byte \d+, expected 1 more/);
  });
});

test("integers have no float32 values", () => {
  expect(() => toFloat32({ dtype: "int32", shape: [1], data: Int32Array.of(1) })).toThrow(
    /int32 tensor has no float32/,
  );
});
