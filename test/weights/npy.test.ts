/** @file Array files are NumPy's, byte by byte, and what is not supported is refused by name. */

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type HostTensor, type NpyDType, NpyWriter, readNpy, writeNpy } from "#src/weights/index.js";
import { bytes, fixtures, temporaryFolder } from "./helpers.js";

interface Expected {
  dtype: NpyDType;
  shape: number[];
  values: string[];
  base64: string;
}

const expected: Record<string, Expected> = JSON.parse(readFileSync(join(fixtures, "arrays.json"), "utf8"));

function tensorOf({ dtype, values, shape }: Expected): HostTensor<NpyDType> {
  if (dtype === "int64") return { dtype, shape, data: BigInt64Array.from(values, BigInt) };
  const numbers = values.map(Number);
  return { dtype, shape, data: dtype === "int32" ? Int32Array.from(numbers) : Float32Array.from(numbers) };
}

test.each(Object.entries(expected))(
  "%s is read from NumPy's file and written as NumPy writes it",
  async (_, array) => {
    const path = join(temporaryFolder(), "a.npy");
    const numpy = Buffer.from(array.base64, "base64");
    const tensor = tensorOf(array);
    await writeNpy(path, tensor);
    expect(readFileSync(path).toString("latin1")).toBe(numpy.toString("latin1"));
    writeFileSync(path, numpy);
    const read = await readNpy(path);
    expect([read.dtype, read.shape]).toEqual([array.dtype, array.shape]);
    expect(bytes(read).equals(bytes(tensor))).toBe(true);
  },
);

test("a file of version 2.0 is read", async () => {
  const read = await readNpy(join(fixtures, "version-2.npy"));
  expect(read).toEqual({
    dtype: "float32",
    shape: [2, 3],
    data: Float32Array.from([0, 1, 2, 3, 4, 5], (v) => v / 7),
  });
});

test("values appended in pieces are the array, which appears when it is complete", async () => {
  const folder = temporaryFolder();
  const path = join(folder, "a.npy");
  const writer = await NpyWriter.create(path, "float32", [3, 2]);
  await writer.append(Float32Array.of(0, 1, 2));
  await writer.append(new Float32Array());
  expect(readdirSync(folder)).not.toContain("a.npy");
  await expect(writer.append(new Float32Array(4))).rejects.toThrow(
    /a\.npy: 4 values were appended, expected at most the 3 missing of \[3, 2\]/,
  );
  await writer.append(Float32Array.of(3, 4, 5));
  await writer.close();
  expect(readdirSync(folder)).toEqual(["a.npy"]);
  expect((await readNpy(path)).data).toEqual(Float32Array.of(0, 1, 2, 3, 4, 5));
});

test("a writer closed early or given up leaves nothing", async () => {
  const folder = temporaryFolder();
  const early = await NpyWriter.create(join(folder, "a.npy"), "int64", [2]);
  await early.append(BigInt64Array.of(1n));
  await expect(early.close()).rejects.toThrow(/a\.npy: 1 values were written, expected 2 for \[2\]/);
  const given = await NpyWriter.create(join(folder, "a.npy"), "int64", [2]);
  await given.abort();
  expect(readdirSync(folder)).toEqual([]);
});

test("what is no supported array is refused", async () => {
  const numpy = readFileSync(join(fixtures, "version-2.npy"));
  const dictionary = (text: string) => {
    const header = Buffer.alloc(10 + text.length);
    header.write("\x93NUMPY\x01\x00", "latin1");
    header.writeUInt16LE(text.length, 8);
    header.write(text, 10, "latin1");
    return header;
  };
  const cases: [Buffer, RegExp][] = [
    [readFileSync(join(fixtures, "fortran.npy")), /Fortran order, expected C order/],
    [readFileSync(join(fixtures, "float64.npy")), /its type is <f8, expected one of <f4, <i4, <i8/],
    [Buffer.from("PK\x03\x04 and so on and on"), /does not begin with \\x93NUMPY/],
    [numpy.subarray(0, 9), /does not begin with/],
    [numpy.subarray(0, 100), /its header ends at byte 128, expected at most the file's 100/],
    [numpy.subarray(0, -1), /it has 23 bytes of data, expected 24 for <f4 \[2, 3\]/],
    [Buffer.concat([numpy, numpy]), /expected 24/],
    [Buffer.from(numpy).fill(3, 6, 7), /its format is 3\.0, expected 1\.0 or 2\.0/],
    [dictionary("{'descr': '<f4', 'fortran_order': False}"), /expected descr, fortran_order and shape/],
    [dictionary("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}"), /expected descr/],
    [dictionary("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}"), /expected descr/],
    [dictionary(`{'shape': ()${" ".repeat(300)},${" 'a': True,   ".repeat(60)}!`), /expected descr/],
    [dictionary("{'descr': '<f4', 'fortran_order': False, 'shape': (9007199254740991, 9), }"), /below 2\^53/],
    [
      dictionary("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000,), }"),
      /0 bytes of data, expected 4000000000/,
    ],
  ];
  const path = join(temporaryFolder(), "a.npy");
  for (const [file, message] of cases) {
    writeFileSync(path, file);
    await expect(readNpy(path), String(message)).rejects.toThrow(message);
    await expect(readNpy(path)).rejects.toThrow(/a\.npy: /);
  }
  await expect(readNpy(join(path, "b"))).rejects.toThrow(/it cannot be read: a part of the path is a file/);
});

test("fewer rows than were planned are an array of those rows, as if it had been planned so", async () => {
  const folder = temporaryFolder();
  const [path, planned] = [join(folder, "early.npy"), join(folder, "planned.npy")];
  const data = Float32Array.from({ length: 9 * 3 }, (_, i) => i);
  const writer = await NpyWriter.create(path, "float32", [1000, 3]);
  await writer.append(data);
  await writer.closeEarly();
  await writeNpy(planned, { dtype: "float32", shape: [9, 3], data });
  expect(readFileSync(path).equals(readFileSync(planned))).toBe(true);

  const broken = await NpyWriter.create(join(folder, "broken.npy"), "float32", [1000, 3]);
  await broken.append(Float32Array.of(1, 2, 3, 4));
  await expect(broken.closeEarly()).rejects.toThrow(/broken\.npy: 1\.33\d* rows of \[3\] were written/);
  expect(readdirSync(folder).sort()).toEqual(["early.npy", "planned.npy"]);
});
