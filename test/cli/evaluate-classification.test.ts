/** @file `inbetween evaluate linear` and `evaluate knn`: figures, tables, records, warnings, bad input. */

import { copyFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { randomStream } from "#src/random.js";
import { makeOfficial } from "../data/official.js";
import { inbetween, inbetweenJson, temporaryFolder, tinyRecipe } from "./helpers.js";

const folder = temporaryFolder();
const at = (...parts: readonly string[]): string => join(folder, ...parts);
const SIZE = 16;
const colors = { blue: [30, 60, 200], green: [40, 190, 60], red: [210, 40, 50] } as const;

/** Noise around the class's colour. */
async function writeImage(path: string, color: readonly number[], seed: number): Promise<void> {
  const random = randomStream(seed, path.slice(folder.length));
  const pixels = Uint8Array.from({ length: SIZE * SIZE * 3 }, (_, i) =>
    Math.max(0, Math.min(255, (color[i % 3] as number) + 60 * random.normal())),
  );
  await sharp(pixels, { raw: { width: SIZE, height: SIZE, channels: 3 } })
    .png()
    .toFile(path);
}

beforeAll(async () => {
  for (const [part, count] of Object.entries({ train: 20, test: 5 })) {
    for (const [name, color] of Object.entries(colors)) {
      mkdirSync(at(part, name), { recursive: true });
      for (let i = 0; i < count; i++) await writeImage(at(part, name, `${i}.png`), color, i);
    }
  }
  const { code, stderr } = await inbetween("export", "--random", tinyRecipe(folder), "--out", at("encoder"));
  if (code !== 0) throw new Error(stderr);
});

const data = ["--train", at("train"), "--test", at("test")];

describe("evaluate linear", () => {
  it("reads the colour from the features of an encoder, and says how", async () => {
    const args = ["evaluate", "linear", "--encoder", at("encoder"), "--no-baseline", ...data, "--views", "2"];
    const result = await inbetweenJson(...args);
    expect(result).toMatchObject({ protocol: "paper", metric: "top1", top1: 1, perClass: 1 });
    const [record, ...others] = result.records as { settings: unknown[] }[];
    expect(others).toEqual([]);
    expect(record).toMatchObject({
      kind: "linear",
      name: at("encoder"),
      classes: 3,
      train: { images: 60 },
      test: { images: 15 },
      overlap: { count: 0 },
      optimizer: "adamw",
      // 54 images are left when six are held out.
      batchSize: 54,
      steps: 1000,
      views: 2,
      holdOut: { share: 0.1, images: 6, refit: true },
    });
    expect(record?.settings.length).toBe(21);
  });

  it("prints a row for each choice of features, and warns of test images that are training images", async () => {
    mkdirSync(at("leaky", "red"), { recursive: true });
    copyFileSync(at("train", "red", "3.png"), at("leaky", "red", "renamed.png"));
    mkdirSync(at("leaky", "blue"), { recursive: true });
    copyFileSync(at("test", "blue", "0.png"), at("leaky", "blue", "0.png"));
    const { code, stdout, stderr } = await inbetween(
      ...[
        "evaluate",
        "linear",
        "--random",
        tinyRecipe(folder),
        "--train",
        at("train"),
        "--test",
        at("leaky"),
      ],
      ...["--protocol", "ibot", "--features", "mean,cls+mean", "--epochs", "20", "--hold-out", "0"],
    );
    expect(code).toBe(0);
    expect(stderr).toContain(
      "warning: 1 of 2 test images are training images too, such as red/renamed.png (red/3.png in training)",
    );
    expect(stdout).toContain(
      "Linear probe, protocol ibot: 60 training images (centre crops), 2 test images, 3 classes, measured by top-1 accuracy",
    );
    expect(stdout).toMatch(/random +│ +mean │/);
    expect(stdout).toMatch(/random +│ cls\+mean │/);
    expect(stdout).toContain("180 settings");
    expect(stdout).toContain("No setting was chosen");
  });

  it("refuses bad options and data by name, and writes nothing", async () => {
    const run = (...args: readonly string[]) =>
      inbetween("evaluate", "linear", "--encoder", at("encoder"), "--no-baseline", ...args);
    const features = await run(...data, "--features", "cls,patches");
    expect(features.stderr).toContain('"patches" names no features');
    const outcome = await run("--train", at("test"), "--test", at("train", "red"));
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toContain(
      "has no classes; put the images of each class into a folder of their own",
    );
    expect(outcome.stdout).toBe("");
  });
});

it("a data set that is measured by the mean over its classes is reported so", async () => {
  const { folder: aircraft } = await makeOfficial("fgvc-aircraft");
  const run = (what: string, ...args: readonly string[]) =>
    inbetween("evaluate", what, "--encoder", at("encoder"), "--no-baseline", "--train", aircraft, ...args);
  const knn = await run("knn", "--k", "1");
  expect(knn.stdout).toContain("k-NN, mean per-class accuracy: 8 training images, 6 test images, 4 classes");
  const linear = await run("linear", "--epochs", "1", "--hold-out", "0");
  expect(linear.stdout).toContain("6 test images, 4 classes, measured by mean per-class accuracy");
  expect(linear.stdout).toContain('"Best on test" is the mean per-class accuracy of');
});

describe("one folder without splits", () => {
  const run = (what: string, ...args: readonly string[]) =>
    inbetween("evaluate", what, "--encoder", at("encoder"), "--no-baseline", "--train", ...args);

  it.each([["linear", "--epochs", "1"], ["knn"]] as const)(
    "is both for %s when it is named twice, with a warning of all its images",
    async (what, ...args) => {
      const { code, stderr } = await run(what, at("test"), "--test", at("test"), ...args);
      expect(stderr).toContain("warning: 15 of 15 test images are training images too");
      expect(code).toBe(0);
    },
  );

  it.each(["linear", "knn"])("is not enough for %s, and its classes are looked at first", async (what) => {
    const refused = async (data: string) => {
      const { code, stdout, stderr } = await run(what, data);
      expect([code, stdout]).toEqual([1, ""]);
      return stderr;
    };
    expect(await refused(at("test"))).toContain("has no split to test on; name the test images with --test");
    expect(await refused(at("test", "red"))).toMatch(/has no classes; put the images of each class into/);
  });
});

describe("evaluate knn", () => {
  it("finds the colour's images near each other, for every k that there are images for", async () => {
    const args = ["evaluate", "knn", "--encoder", at("encoder"), ...data, "--k", "5,20,100"];
    const result = await inbetweenJson(...args, "--no-baseline");
    expect(result.knn).toEqual({ 5: 1, 20: 1 });
    expect(result.records).toMatchObject([
      { kind: "knn", temperature: 0.07, overlap: { count: 0 }, classes: 3 },
    ]);
  });

  it("keeps its record with the run that it was asked for", async () => {
    const run = at("run");
    const trained = await inbetween("pretrain", "synthetic:16", "--recipe", tinyRecipe(folder), "--out", run);
    expect(trained.stderr).not.toContain("error:");
    const { code, stdout } = await inbetween("evaluate", "knn", "--run", run, ...data);
    expect(code).toBe(0);
    expect(stdout).toMatch(/random +│ +mean │/);
    const file = join(run, "classifications.jsonl");
    expect(existsSync(file)).toBe(true);
    const records = readFileSync(file, "utf8").trim().split("\n");
    expect(records.map((line) => (JSON.parse(line) as { name: string }).name)).toEqual(["random", run]);
  });
});
