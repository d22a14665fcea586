/** @file Files of features: every format gives back what was written, whole or not at all, and names what is wrong. */

import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  createFeatureFile,
  FEATURE_ENDINGS,
  FeatureFileError,
  readFeatureFile,
  writeNpy,
} from "#src/weights/index.js";
import { temporaryFolder } from "./helpers.js";

/** Names that break formats which do not quote. */
const strange = ['a\nb"c', "d\\n,e", "ü/f.jpg"];
const data = Float32Array.of(1 / 3, -0, 1e-42, 3.4e38, Math.fround(Math.PI), -1);

describe.each(FEATURE_ENDINGS)("%s", (ending) => {
  test("gives back names, labels and every bit", async () => {
    const path = join(temporaryFolder(), `features${ending}`);
    const writer = await createFeatureFile(path, { count: 10, dim: 2, labelled: true });
    await writer.append({ names: strange.slice(0, 2), labels: ["x", ""], data: data.subarray(0, 4) });
    await writer.append({ names: strange.slice(2), labels: ["y"], data: data.subarray(4) });
    expect(readdirSync(join(path, "..")).filter((name) => !name.endsWith(".tmp"))).toEqual([]);
    await writer.close();
    const table = await readFeatureFile(path);
    expect(table).toMatchObject({ names: strange, labels: ["x", "", "y"], dim: 2 });
    // JSON has no -0.
    expect(Array.from(table.data, (value) => value + 0)).toEqual(Array.from(data, (value) => value + 0));
  });

  test("has no labels where there are none, and is empty without rows", async () => {
    const path = join(temporaryFolder(), `features${ending}`);
    const writer = await createFeatureFile(path, { count: 1, dim: 2, labelled: false });
    await writer.append({ names: ["a"], data: Float32Array.of(1, 2) });
    await writer.close();
    expect(await readFeatureFile(path)).toEqual({ names: ["a"], dim: 2, data: Float32Array.of(1, 2) });
  });

  test("leaves nothing when it is given up", async () => {
    const folder = temporaryFolder();
    const writer = await createFeatureFile(join(folder, `a${ending}`), { count: 1, dim: 2, labelled: false });
    await writer.append({ names: ["a"], data: Float32Array.of(1, 2) });
    await writer.abort();
    expect(readdirSync(folder)).toEqual([]);
  });

  test("is refused when it is damaged or absent", async () => {
    const path = join(temporaryFolder(), `a${ending}`);
    await expect(readFeatureFile(path)).rejects.toThrow(/no such file or folder/);
    writeFileSync(path, "nonsense\n");
    await expect(readFeatureFile(path)).rejects.toThrow(path);
  });
});

test("other endings are refused with the list", async () => {
  const options = { count: 1, dim: 1, labelled: false };
  const error = await createFeatureFile("/tmp/a.csv", options).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(FeatureFileError);
  expect((error as Error).message).toMatch(/a\.csv: .*give one of \.npy, \.parquet, \.jsonl/);
});

test("an array without names, with other names, or of another shape is refused", async () => {
  const folder = temporaryFolder();
  const path = join(folder, "a.npy");
  await writeNpy(path, { dtype: "float32", shape: [2, 2], data: new Float32Array(4) });
  await expect(readFeatureFile(path)).rejects.toThrow(/a\.names\.txt, which names its rows, is missing/);
  writeFileSync(join(folder, "a.names.txt"), "x\n");
  await expect(readFeatureFile(path)).rejects.toThrow(/2 rows and .*a\.names\.txt 1 lines/);
  await writeNpy(path, { dtype: "float32", shape: [4], data: new Float32Array(4) });
  await expect(readFeatureFile(path)).rejects.toThrow(/float32 \[4\], expected float32 \[images, features\]/);
  writeFileSync(join(folder, "b.jsonl"), '{"name":"a","features":[1,2]}\n{"name":"b","features":[1]}\n');
  await expect(readFeatureFile(join(folder, "b.jsonl"))).rejects.toThrow(/line 2 is .*expected .*2 numbers/);
});
