/** @file `inbetween data check`, and `--split` of the commands that read data. */

import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import sharp from "sharp";
import { expect, it } from "vitest";
import { readNpy } from "#src/weights/index.js";
import { inbetween, inbetweenJson, temporaryFolder, tinyRecipe } from "./helpers.js";

const folder = temporaryFolder();
const at = (...parts: readonly string[]): string => join(folder, ...parts);

async function writeImage(name: string, red: number): Promise<void> {
  mkdirSync(dirname(at(name)), { recursive: true });
  const background = { r: red, g: 80, b: 40 };
  await sharp({ create: { width: 16, height: 16, channels: 3, background } })
    .png()
    .toFile(at(name));
}

it("says what is there, warns of shared images, fails on damage, and knows its options", async () => {
  for (const [i, name] of ["train/a/1.png", "train/a/2.png", "train/b/1.png", "test/b/9.png"].entries()) {
    await writeImage(`set/${name}`, 50 * i);
  }
  await writeImage("set/test/a/1.png", 0);
  const { code, stdout, stderr } = await inbetween("data", "check", at("set"));
  expect(stdout).toBe(
    `${at("set")}: folders of classes with splits, measured by top-1 accuracy\n` +
      "  train: 3 of 3 images decode, 2 classes of 1 to 2, 16 x 16 px\n" +
      "  test: 2 of 2 images decode, 2 classes of 1, 16 x 16 px\n",
  );
  expect(stderr).toContain(
    "1 image is in train and in test, such as train/a/1.png and test/a/1.png: accuracy on them shows memory",
  );
  expect(code).toBe(0);
  writeFileSync(at("set/test/a/2.png"), "");
  const damaged = await inbetween("data", "check", at("set"), "--split", "test", "--json");
  expect(damaged.code).toBe(1);
  expect(JSON.parse(damaged.stdout)).toMatchObject({
    recognised: "folders of classes with splits",
    splits: [
      {
        split: "test",
        listed: 3,
        images: 2,
        corrupt: [{ name: "test/a/2.png", reason: "empty file (0 bytes)" }],
      },
    ],
    shared: [],
  });
  const unknown = await inbetween("data", "check", at("set"), "--splt", "test");
  expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringContaining("Did you mean --split?")]);
  const absent = await inbetween("data", "check", at("set"), "--split", "val");
  expect([absent.code, absent.stderr]).toEqual([
    1,
    expect.stringContaining('has no split "val": it has train, test'),
  ]);
  mkdirSync(at("nothing/inside"), { recursive: true });
  const empty = await inbetween("data", "check", at("nothing"));
  expect([empty.code, empty.stdout]).toEqual([1, ""]);
  expect(empty.stderr).toContain(`The folder ${at("nothing")} holds no image: put JPEG, `);
});

it("embed reads the split that is named", async () => {
  await inbetween("export", "--random", tinyRecipe(folder), "--out", at("encoder"));
  for (const [i, name] of ["train/a/1.png", "train/b/1.png", "train/b/2.png", "test/b/9.png"].entries()) {
    await writeImage(`two/${name}`, 50 * i);
  }
  const options = ["--encoder", at("encoder"), "--out", at("x.npy")];
  const train = await inbetweenJson("embed", at("two"), ...options);
  const test = await inbetweenJson("embed", at("two"), ...options, "--split", "test");
  expect([train.count, test.count]).toEqual([3, 1]);
  expect((await readNpy(at("x.npy"))).shape).toEqual([1, 16]);
});
