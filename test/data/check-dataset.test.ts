/** @file `checkDataset`: counts, missing and corrupt files, and images that are in two splits. */

import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { checkDataset } from "#src/data/index.js";
import { picture, put, temporaryFolder } from "./helpers.js";
import { makeOfficial, tarOf } from "./official.js";

it("counts what is there, names what is missing or corrupt, and finds pictures of two splits", async () => {
  const { folder, fixture } = await makeOfficial("fgvc-aircraft");
  const file = (split: string, i: number) => fixture.splits[split]?.samples[i]?.[0] ?? "";
  const whole = readFileSync(join(folder, file("train", 1)));
  put(folder, file("train", 0), whole.subarray(0, whole.length - 60));
  rmSync(join(folder, file("val", 2)));
  // Another name, the same picture.
  put(folder, file("test", 4), readFileSync(join(folder, file("train", 2))));
  put(folder, file("test", 5), readFileSync(join(folder, file("test", 3))));
  put(folder, file("val", 0), "no picture");
  const seen: string[] = [];
  const check = await checkDataset(folder, {
    progress: (split, done, total) => seen.push(`${split} ${done}/${total}`),
  });
  expect([check.recognised, check.metric]).toEqual(["FGVC-Aircraft", "meanPerClass"]);
  const [train, val, test] = check.splits;
  expect(train).toMatchObject({ split: "train", listed: 5, images: 4, classes: 4, missing: [], repeated: 0 });
  expect(train?.corrupt.map(({ name }) => name)).toEqual([file("train", 0)]);
  expect(train?.sides).toEqual({ width: [12, 12], height: [10, 10] });
  // Labels by torchvision: how many of each of the four classes are left.
  const left = fixture.splits.train?.samples.slice(1).map(([, label]) => label) ?? [];
  const counts = [0, 1, 2, 3].map((label) => left.filter((other) => other === label).length);
  expect(train?.perClass).toEqual({
    least: Math.min(...counts),
    most: Math.max(...counts),
    empty: counts.filter((count) => count === 0).length,
  });
  expect(val).toMatchObject({ listed: 3, images: 1, missing: [file("val", 2)] });
  expect(val?.corrupt).toEqual([
    { name: file("val", 0), reason: "not a JPEG, PNG, WebP, TIFF, AVIF or GIF file" },
  ]);
  expect(test).toMatchObject({ listed: 6, images: 6, repeated: 1 });
  expect(check.shared).toEqual([
    { splits: ["train", "test"], count: 1, example: [file("train", 2), file("test", 4)] },
  ]);
  expect(seen.at(-1)).toBe("test 6/6");
  const one = await checkDataset(folder, { split: "trainval" });
  expect(one.splits.map(({ split, listed, images }) => [split, listed, images])).toEqual([
    ["trainval", 8, 5],
  ]);
});

it("reads shards and plain folders, and stops when it is told to", async () => {
  const folder = temporaryFolder();
  const png = async (i: number) => picture(i, 9, 7).png().toBuffer();
  const members = {
    "1.png": await png(1),
    "1.cls": "0",
    "2.png": (await png(2)).subarray(0, 50),
    "2.cls": "1",
  };
  put(folder, "x.tar", tarOf({ ...members, "3.png": await png(1), "3.cls": "1" }));
  const [shard] = (await checkDataset(folder)).splits;
  expect(shard).toMatchObject({ listed: 3, images: 2, classes: 2, repeated: 1, missing: [] });
  expect(shard?.corrupt.map(({ name }) => name)).toEqual(["x.tar/2.png"]);

  const plain = temporaryFolder();
  for (const name of ["a/1.png", "a/2.png", "b/1.png"])
    put(plain, name, await png(name.length + name.charCodeAt(2)));
  put(plain, "b/notes.txt", "x");
  const found = await checkDataset(plain);
  expect(found).toMatchObject({ recognised: "folder of images", shared: [] });
  expect(found.splits[0]).toMatchObject({
    listed: 4,
    images: 3,
    classes: 2,
    perClass: { least: 1, most: 2, empty: 0 },
  });
  await expect(checkDataset(plain, { signal: AbortSignal.abort() })).rejects.toThrow();
});
