/** @file `inbetween search`, `map` and `attention` as a user runs them: results, pictures, bad input. */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { inbetween, inbetweenJson, temporaryFolder, tinyRecipe } from "./helpers.js";

const folder = temporaryFolder();
const at = (...parts: readonly string[]): string => join(folder, ...parts);
const names = ["dark/a.png", "dark/b.png", "light/c.png", "light/d.png"];

beforeAll(async () => {
  const { code, stderr } = await inbetween(
    "export",
    "--random",
    tinyRecipe(folder),
    "--out",
    at("encoder"),
    "--onnx",
    "none",
  );
  if (code !== 0) throw new Error(stderr);
  for (const kind of ["dark", "light"]) mkdirSync(at("images", kind), { recursive: true });
  for (const [i, name] of names.entries()) {
    const channel = [10, 12, 240, 244][i] ?? 0;
    await sharp({
      create: { width: 20, height: 30, channels: 3, background: { r: channel, g: channel, b: 90 } },
    })
      .png()
      .toFile(at("images", name));
  }
});

describe("search", () => {
  it("finds an image itself and then its like, in a folder and in a file of features", async () => {
    const args = [at("images", "light", "c.png"), "--encoder", at("encoder"), "--top", "2"];
    const result = await inbetweenJson("search", ...args, "--in", at("images"), "--out", at("sheet.png"));
    const wanted = ["light/c.png", "light/d.png"];
    const found = (from: typeof result) =>
      (from.results as { neighbors: { name: string; similarity: number }[] }[])[0]?.neighbors;
    expect(found(result)?.map(({ name }) => name)).toEqual(wanted);
    expect(found(result)?.[0]?.similarity).toBeCloseTo(1, 5);
    const { width, height } = await sharp(at("sheet.png")).metadata();
    expect([width, height]).toEqual([3 * (112 + 6) + 6, 112 + 32 + 12]);

    await inbetweenJson("embed", at("images"), "--encoder", at("encoder"), "--out", at("f.parquet"));
    const again = await inbetweenJson("search", ...args, "--in", at("f.parquet"));
    expect(found(again)?.map(({ name }) => name)).toEqual(wanted);
    const without = await inbetween("search", ...args, "--in", at("f.parquet"), "--out", at("x.png"));
    expect(without.stderr).toMatch(
      /--out needs the images that .*f\.parquet names; give their folder with --images/,
    );
    expect(without.code).toBe(1);
  });

  it.each([
    ["an image that is absent", [at("no.png"), "--in", at("images")], /The image .*no\.png cannot be read/],
    [
      "a folder as an image",
      [at("images"), "--in", at("images")],
      /images is no file: give the path of an image/,
    ],
    [
      "another picture format",
      [at("images", names[0] as string), "--in", at("images"), "--out", at("x.jpg")],
      /a name that ends in \.png/,
    ],
    [
      "a folder that is absent",
      [at("images", names[0] as string), "--in", at("none")],
      /The folder .*none does not exist/,
    ],
  ])("rejects %s", async (_, args, message) => {
    const { code, stderr } = await inbetween("search", ...args, "--encoder", at("encoder"));
    expect(stderr).toMatch(message);
    expect(code).toBe(1);
  });
});

describe("map", () => {
  it("draws all images, with pictures where they are, the same each time", async () => {
    const args = ["map", at("images"), "--encoder", at("encoder"), "--method", "pca", "--pictures", "3"];
    expect(await inbetweenJson(...args, "--out", at("map.svg"))).toMatchObject({ images: 4, pictures: 3 });
    const svg = readFileSync(at("map.svg"), "utf8");
    expect(svg.match(/<image /g)).toHaveLength(3);
    expect(svg.match(/<circle /g)).toHaveLength(1);
    for (const name of names) expect(svg).toContain(`<title>${name} (${name.split("/")[0]})</title>`);
    await inbetweenJson(...args, "--out", at("map.html"));
    expect(readFileSync(at("map.html"), "utf8")).toContain(svg.trim());
  });

  it.each([
    ["another ending", ["--out", at("map.png")], /give one of \.html, \.svg/],
    [
      "too many neighbours",
      ["--out", at("m.svg")],
      /UMAP with 15 neighbours needs more than 15 images, got 4/,
    ],
  ])("rejects %s", async (_, args, message) => {
    const { code, stderr } = await inbetween("map", at("images"), "--encoder", at("encoder"), ...args);
    expect(stderr).toMatch(message);
    expect(code).toBe(1);
  });
});

describe("attention", () => {
  it("draws heads and patch features beside each image", async () => {
    const images = names.slice(0, 2).map((name) => at("images", name));
    const args = [
      "attention",
      ...images,
      "--encoder",
      at("encoder"),
      "--size",
      "128",
      "--out",
      at("attention.png"),
    ];
    expect(await inbetweenJson(...args)).toMatchObject({ images: 2, heads: 2 });
    const { width, height } = await sharp(at("attention.png")).metadata();
    expect([width, height]).toEqual([4 * (128 + 6) + 6, 2 * (128 + 18 + 6) + 6]);
  });

  it("rejects a size that is no multiple of the patch, and what is no image, and writes nothing", async () => {
    const args = ["attention", "--encoder", at("encoder"), "--out", at("no.png")];
    const size = await inbetween(...args, at("images", names[0] as string), "--size", "130");
    expect(size.stderr).toMatch(/--size 130 is no multiple of the patch, 4 pixels; try 132/);
    writeFileSync(at("text.png"), "no image");
    const text = await inbetween(...args, at("text.png"));
    expect(text.stderr).toMatch(/Cannot decode .*text\.png/);
    expect([size.code, text.code]).toEqual([1, 1]);
    expect(existsSync(at("no.png"))).toBe(false);
  });
});
