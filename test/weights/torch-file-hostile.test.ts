/** @file Hostile files of PyTorch: refused with a named error, or read, but never executed, and without a crash. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openTorchFile } from "#src/weights/index.js";
import { temporaryFolder } from "./helpers.js";
import {
  bytesOf,
  dictionary,
  pickle,
  readAll,
  refusal,
  tensor,
  text,
  torchZip,
  values,
  write,
  zip,
} from "./torch-files.js";

describe("code is never executed", () => {
  test.each([
    ["os.system", (target: string) => pickle("cos\nsystem\n", "(", text(`touch ${target}`), "tR")],
    ["posix.system", (target: string) => pickle("cposix\nsystem\n", "(", text(`touch ${target}`), "tR")],
    [
      "builtins.eval",
      (target: string) =>
        pickle("cbuiltins\neval\n", "(", text(`open(${JSON.stringify(target)}, "w")`), "tR"),
    ],
    ["builtins.exec", () => pickle("c__builtin__\nexec\n", "(", text("raise SystemExit"), "tR")],
    ["builtins.getattr", () => pickle("cbuiltins\ngetattr\n", "(", text("a"), text("b"), "tR")],
    ["subprocess.Popen", () => pickle("(", text("touch x"), "isubprocess\nPopen\n")],
    ["torch.hub.load", () => pickle(text("torch.hub"), text("load"), 0x93, ")R")],
    [
      "constructor.constructor",
      () => pickle("cconstructor\nconstructor\n", "(", text("process.exit()"), "tR"),
    ],
    ["__proto__.toString", () => pickle("c__proto__\ntoString\n", ")R")],
    [
      "timm.models.vision_transformer.VisionTransformer",
      () => pickle("ctimm.models.vision_transformer\nVisionTransformer\n", ")", 0x81),
    ],
  ])("%s", async (name, make) => {
    const target = join(temporaryFolder(), "executed");
    const message = await refusal(torchZip(make(target)));
    const shown = name.replace("builtins.exec", "__builtin__.exec");
    expect(message).toContain(
      `refers to "${shown}", which is not among the names that are read; nothing was executed`,
    );
    expect(existsSync(target)).toBe(false);
  });

  test("a name that is read cannot be called as something else", async () => {
    expect(await refusal(torchZip(pickle("ctorch\nfloat32\n", ")R")))).toMatch(
      /calls torch\.float32, which cannot be/,
    );
    expect(await refusal(torchZip(pickle(text("os.system"), "(", text("ls"), "tR")))).toMatch(
      /calls "os\.system"/,
    );
    const rebuild = pickle("ctorch._tensor\n_rebuild_from_type_v2\n(c_codecs\nencode\nctorch\nTensor\n)}tR");
    expect(await refusal(torchZip(rebuild))).toMatch(/makes a kind of tensor by something that makes none/);
    const parameter = pickle("ctorch._utils\n_rebuild_parameter\n(", text("x"), 0x89, "}tR");
    expect(await refusal(torchZip(parameter))).toMatch(/makes a parameter of "x", expected a tensor/);
  });

  test("keys like __proto__ are keys", async () => {
    await using file = openTorchFile(write(torchZip(pickle(...dictionary("__proto__", tensor())))));
    expect(file.names).toEqual(["__proto__"]);
    expect(({} as Record<string, unknown>).dtype).toBeUndefined();
  });
});

describe("pickles that are damaged or without end", () => {
  test.each<[what: string, bytes: Buffer, message: RegExp]>([
    ["an empty stack", pickle("0"), /goes back to a mark/],
    ["a value from nothing", pickle("R"), /takes a value from an empty stack/],
    ["a mark that was never made", pickle("t"), /goes back to a mark that it never made/],
    ["an unknown operation", pickle(0xff), /unknown operation 0xff/],
    ["a newer protocol", Buffer.from([0x80, 9, 0x4e, 0x2e]), /protocol 9, expected at most 5/],
    ["no end", Buffer.from([0x80, 2, 0x4e]), /it has 3 bytes, and 1 are wanted from byte 3/],
    [
      "a text longer than the file",
      pickle("X", Buffer.from([0xff, 0xff, 0xff, 0x7f])),
      /more than|bytes, and/,
    ],
    ["bytes of 2^63", pickle(0x8e, Buffer.from([0, 0, 0, 0, 0, 0, 0, 0x80])), /more than 1073741824 bytes/],
    [
      "a negative length",
      pickle(0x8b, Buffer.from([0xff, 0xff, 0xff, 0xff])),
      /-1 bytes, expected at least 0/,
    ],
    [
      "an integer of a megabyte",
      pickle(0x8b, Buffer.from([0, 0, 16, 0]), Buffer.alloc(2 ** 20)),
      /integer of 1048576 bytes/,
    ],
    ["digits that are none", pickle("Iabc\n"), /the integer "abc"/],
    ["a memo never kept", pickle("h", 7), /recalls value 7, which it never kept/],
    ["a key without a value", pickle("(", text("a"), "d"), /a key without a value/],
    ["appending to a number", pickle("K", 1, "K", 2, "a"), /appends to something that is no list/],
    ["a state of a number", pickle("K", 1, "}b"), /sets the state of "1", which has none/],
    [
      "a state of a function",
      pickle("ctorch._utils\n_rebuild_tensor_v2\n}b"),
      /sets the state of torch\._utils\._rebuild_tensor_v2/,
    ],
    [
      "named arguments",
      pickle("cargparse\nNamespace\n)}", text("a"), "K", 1, "s", 0x92),
      /with named arguments/,
    ],
    [
      "data outside that are no storage",
      pickle(text("storage"), "Q"),
      /something outside of it that is no storage/,
    ],
  ])("%s", async (_, bytes, message) => {
    expect(await refusal(torchZip(bytes))).toMatch(message);
  });

  test("deep lists and tuples are read, and no recursion overflows", async () => {
    const depth = 200_000;
    // [[[…]]]: a list that holds one that holds one.
    const nested = pickle("]".repeat(depth), "a".repeat(depth - 1));
    expect(await readAll(torchZip(nested))).toEqual({});
    const tuples = pickle(")", Buffer.alloc(depth, 0x85));
    expect(await readAll(torchZip(tuples))).toEqual({});
  });

  test("more operations than any checkpoint has", async () => {
    expect(await refusal(torchZip(pickle("N".repeat(5_000_001))))).toMatch(/more than 5000000 operations/);
  });

  test("lists that share their lists (a billion laughs) and hold themselves", async () => {
    // Each list holds the one before it ten times.
    let laughs = "]q\x00";
    for (let i = 0; i < 40; i++) {
      laughs += `](${`h${String.fromCharCode(i)}`.repeat(10)}eq${String.fromCharCode(i + 1)}`;
    }
    expect(await refusal(torchZip(pickle(laughs)))).toMatch(/it holds more than 2000000 values/);
    expect(await readAll(torchZip(pickle("]q\x00h\x00a")))).toEqual({});
  });

  test("memo places far apart take no memory", async () => {
    expect(
      await readAll(torchZip(pickle("}r\xff\xff\xff\xff0j\xff\xff\xff\xff", text("w"), tensor(), "s"))),
    ).toEqual({
      w: [0, 1, 2, 3, 4, 5],
    });
  });
});

describe("tensors that lie about their storage", () => {
  const make = (options: Parameters<typeof tensor>[0]) =>
    torchZip(pickle(...dictionary("w", tensor(options))));
  test.each<[what: string, options: Parameters<typeof tensor>[0], message: RegExp]>([
    ["a negative stride", { strides: [-3, 1] }, /strides \[-3, 1\] at 0, expected .* whole numbers from 0/],
    ["a negative size", { shape: [-2, 3] }, /a tensor \[-2, 3\]/],
    ["a negative offset", { offset: -1 }, /at -1, expected/],
    ["an offset beyond", { offset: 1 }, /expected one within the 6 elements of its storage 0/],
    ["a stride beyond", { strides: [4, 1] }, /expected one within the 6 elements/],
    ["a size beyond", { shape: [2 ** 31, 2 ** 31] }, /expected .*product of the sizes below 2\^53/],
    [
      "one element repeated without end",
      { shape: [2 ** 40], strides: [0] },
      /expected one within the 6 elements/,
    ],
    ["fewer strides than sizes", { strides: [1] }, /expected as many strides as sizes/],
    [
      "a storage of another size",
      { storageSize: 7 },
      /"archive\/data\/0" has 24 bytes, expected 28 for its storage/,
    ],
    ["a huge storage", { storageSize: 2 ** 50 }, /has 24 bytes, expected 4503599627370496/],
    ["a storage that is not there", { key: "1" }, /its entry "archive\/data\/1" is missing/],
    [
      "a storage that is a path",
      { key: "../../etc/passwd" },
      /its entry "archive\/data\/\.\.\/\.\.\/etc\/passwd" is missing/,
    ],
    [
      "a storage of no class of torch",
      { storageClass: "ctorch\nSize\n" },
      /a storage whose class is none of torch's/,
    ],
  ])("%s", async (_, options, message) => {
    expect(await refusal(make(options))).toMatch(message);
  });

  test("an element type that has no counterpart is named when it is read", async () => {
    const complex = make({
      storageClass: "ctorch\nComplexFloatStorage\n",
      storageSize: 3,
      shape: [3],
      strides: [1],
    });
    expect(await refusal(complex)).toMatch(
      /its tensor "w": it has the element type complex64, expected one of float64/,
    );
  });
});

describe("zip archives that are damaged or made to mislead", () => {
  const storage = { name: "archive/data/0", data: bytesOf(values) };
  const good = torchZip();
  test.each<[what: string, bytes: Buffer, message: RegExp]>([
    ["cut short", good.subarray(0, good.length - 30), /the directory at its end is missing/],
    ["cut to its beginning", good.subarray(0, 20), /it has 20 bytes|the directory at its end is missing/],
    [
      "a wrong offset",
      torchZip(undefined, [{ ...storage, says: { offset: 3 } }]),
      /overlaps what follows|disagrees/,
    ],
    [
      "an offset beyond the file",
      torchZip(undefined, [{ ...storage, says: { offset: 2 ** 31 } }]),
      /overlaps what follows/,
    ],
    [
      "two entries in the same bytes",
      torchZip(undefined, [storage, { ...storage, name: "archive/data/1", says: { offset: 0 } }]),
      /overlaps what follows/,
    ],
    ["two entries of one name", torchZip(undefined, [storage, storage]), /two entries "archive\/data\/0"/],
    [
      "another name in the local header",
      torchZip(undefined, [{ ...storage, localName: "archive/data/9" }]),
      /disagrees with its directory/,
    ],
    [
      "a stored entry of two sizes",
      torchZip(undefined, [{ ...storage, says: { size: 2 ** 30 } }]),
      /with 24 bytes for 1073741824/,
    ],
    [
      "an encrypted entry",
      torchZip(undefined, [{ ...storage, flags: 1 }]),
      /is encrypted or packed by method 0/,
    ],
    ["another method", torchZip(undefined, [{ ...storage, says: { method: 14 } }]), /packed by method 14/],
    [
      "a zip bomb",
      torchZip(undefined, [{ name: "archive/data/0", data: Buffer.alloc(200 << 20), deflated: true }]),
      /said to inflate from \d+ to 209715200 bytes, expected at most \d+: it may be a zip bomb/,
    ],
    [
      "a zip bomb that says it is small",
      torchZip(undefined, [
        { name: "archive/data/0", data: Buffer.alloc(64 << 20), deflated: true, says: { size: 24 } },
      ]),
      /"archive\/data\/0" does not inflate to its 24 bytes/,
    ],
    [
      "deflated data that are none",
      torchZip(undefined, [{ ...storage, says: { method: 8 } }]),
      /does not inflate to its 24 bytes/,
    ],
    ["no pickle", zip([storage]), /0 entries \*\/data\.pkl, expected one/],
    [
      "two pickles",
      zip([
        { name: "a/data.pkl", data: pickle("N") },
        { name: "b/data.pkl", data: pickle("N") },
      ]),
      /2 entries/,
    ],
    [
      "a TorchScript program",
      torchZip(pickle("N"), [{ name: "archive/constants.pkl", data: pickle(")") }]),
      /TorchScript program/,
    ],
    [
      "an unknown byte order",
      torchZip(undefined, [storage, { name: "archive/byteorder", data: Buffer.from("mixed") }]),
      /byte order is "mixed"/,
    ],
  ])("%s", async (_, bytes, message) => {
    expect(await refusal(bytes)).toMatch(message);
  });
});
