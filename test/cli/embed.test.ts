/** @file `inbetween embed`: the features against the exported ONNX model, names, labels, bad input, Ctrl-C. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet";
import { InferenceSession, Tensor } from "onnxruntime-node";
import sharp from "sharp";
import { beforeAll, describe, expect, it } from "vitest";
import { randomStream } from "#src/random.js";
import { readFeatureFile, readNpy } from "#src/weights/index.js";
import { inbetween, inbetweenJson, launcher, temporaryFolder, tinyRecipe } from "./helpers.js";

const folder = temporaryFolder();
const at = (...parts: readonly string[]): string => join(folder, ...parts);
const SIZE = 16;
const DIM = 16;

/** Noise at the encoder's own size: nothing is resampled. */
function noise(seed: number): Uint8Array {
  const random = randomStream(seed, "noise");
  return Uint8Array.from({ length: SIZE * SIZE * 3 }, () => random.integer(256));
}

async function writeImage(path: string, seed: number): Promise<void> {
  await sharp(noise(seed), { raw: { width: SIZE, height: SIZE, channels: 3 } })
    .png()
    .toFile(path);
}

const names = ["cat/a.png", "cat/b.png", "dog/c.png", "dog/d.png", "dog/e.png"];

/** The tokens `[5, T, D]` of the images, by ONNX Runtime from the exported model. */
async function exportedTokens(): Promise<{ data: Float32Array; tokens: number }> {
  const session = await InferenceSession.create(at("encoder", "onnx", "model.onnx"));
  const [mean, std] = [
    [0.485, 0.456, 0.406],
    [0.229, 0.224, 0.225],
  ] as const;
  const pixels = new Float32Array(names.length * 3 * SIZE * SIZE);
  names.forEach((_, image) => {
    noise(image).forEach((byte, i) => {
      const [pixel, channel] = [Math.floor(i / 3), i % 3];
      const value = (byte / 255 - (mean[channel] ?? 0)) / (std[channel] ?? 1);
      pixels[(image * 3 + channel) * SIZE * SIZE + pixel] = value;
    });
  });
  const { last_hidden_state } = await session.run({
    pixel_values: new Tensor("float32", pixels, [names.length, 3, SIZE, SIZE]),
  });
  if (!last_hidden_state) throw new Error(`outputs are ${session.outputNames.join(", ")}`);
  return { data: last_hidden_state.data as Float32Array, tokens: last_hidden_state.dims[1] as number };
}

beforeAll(async () => {
  const { code, stderr } = await inbetween("export", "--random", tinyRecipe(folder), "--out", at("encoder"));
  if (code !== 0) throw new Error(stderr);
  for (const kind of ["cat", "dog"]) mkdirSync(at("images", kind), { recursive: true });
  for (const [i, name] of names.entries()) await writeImage(at("images", name), i);
});

describe("embed", () => {
  it("writes both features of every image, as the exported model gives them, with names and classes", async () => {
    const out = at("features.npy");
    const args = ["embed", at("images"), "--encoder", at("encoder"), "--out", out];
    const result = await inbetweenJson(...args, "--features", "both", "--batch", "2");
    expect(result).toMatchObject({
      file: out,
      names: at("features.names.txt"),
      labels: at("features.labels.txt"),
      count: 5,
      dim: 2 * DIM,
      features: "both",
      skipped: 0,
    });
    expect(result.imagesPerSecond).toBeGreaterThan(0);
    expect(readFileSync(at("features.names.txt"), "utf8")).toBe(`${names.join("\n")}\n`);
    expect(readFileSync(at("features.labels.txt"), "utf8")).toBe("cat\ncat\ndog\ndog\ndog\n");

    const { dtype, shape, data } = await readNpy(out);
    expect([dtype, shape]).toEqual(["float32", [5, 2 * DIM]]);
    const expected = await exportedTokens();
    const token = (image: number, i: number, d: number): number =>
      expected.data[(image * expected.tokens + i) * DIM + d] ?? Number.NaN;
    for (let image = 0; image < 5; image++) {
      for (let d = 0; d < DIM; d++) {
        const patches = Array.from({ length: expected.tokens - 1 }, (_, i) => token(image, i + 1, d));
        const mean = patches.reduce((a, b) => a + b, 0) / patches.length;
        expect(data[image * 2 * DIM + d]).toBeCloseTo(token(image, 0, d), 4);
        expect(data[image * 2 * DIM + DIM + d]).toBeCloseTo(mean, 4);
      }
    }
  });

  it("writes the same table as Parquet and as JSON lines", async () => {
    const wanted = await readFeatureFile(at("features.npy"));
    expect(wanted).toMatchObject({ names, labels: ["cat", "cat", "dog", "dog", "dog"], dim: 2 * DIM });
    const args = ["embed", at("images"), "--encoder", at("encoder"), "--features", "both", "--batch", "2"];
    for (const ending of ["parquet", "jsonl"]) {
      const out = at(`features.${ending}`);
      expect(await inbetweenJson(...args, "--out", out)).toMatchObject({ file: out, count: 5, dim: 2 * DIM });
      expect(await readFeatureFile(out)).toEqual(wanted);
    }
    const lines = readFileSync(at("features.jsonl"), "utf8").trimEnd().split("\n");
    expect(lines).toHaveLength(5);
    const last = JSON.parse(lines[4] ?? "");
    expect(last).toMatchObject({ name: "dog/e.png", label: "dog" });
    expect(Float32Array.from(last.features)).toEqual(wanted.data.slice(4 * 2 * DIM));
    // By hyparquet, an implementation of the format's specification.
    const rows = await parquetReadObjects({ file: await asyncBufferFromFile(at("features.parquet")) });
    expect(rows.map(({ name, label }) => [name, label])).toEqual(
      names.map((name) => [name, name.slice(0, 3)]),
    );
    expect(Float32Array.from(rows[0]?.features)).toEqual(wanted.data.slice(0, 2 * DIM));
  });

  it("writes the trained feature by default, of a run as of its export", async () => {
    const [run, recipe] = [at("run"), tinyRecipe(folder)];
    await inbetweenJson("pretrain", "synthetic:16", "--recipe", recipe, "--steps", "2", "--out", run);
    await inbetweenJson("export", "--run", run, "--out", at("trained"));
    await inbetweenJson("embed", at("images"), "--run", run, "--out", at("run.npy"));
    const { features } = await inbetweenJson(
      "embed",
      at("images"),
      "--encoder",
      at("trained"),
      "--out",
      at("x.npy"),
    );
    expect(features).toBe("mean");
    const [ofRun, ofExport] = [await readNpy(at("run.npy")), await readNpy(at("x.npy"))];
    expect(ofRun.shape).toEqual([5, DIM]);
    expect(ofRun).toEqual(ofExport);
    await inbetweenJson("embed", at("images"), "--encoder", at("encoder"), "--out", at("random.npy"));
    expect(await readNpy(at("random.npy"))).not.toEqual(ofRun);
  });

  it("leaves unreadable images out of all files, and says so", async () => {
    mkdirSync(at("damaged"));
    for (let i = 0; i < 11; i++) await writeImage(at("damaged", `${String(i).padStart(2, "0")}.png`), i);
    truncateSync(at("damaged", "04.png"), 200);
    // Of an earlier folder with classes.
    writeFileSync(at("ten.labels.txt"), "old\n");
    const args = ["embed", at("damaged"), "--encoder", at("encoder"), "--out", at("ten.npy"), "--json"];
    const { code, stdout, stderr } = await inbetween(...args, "--batch", "4");
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ count: 10, skipped: 1 });
    expect(stderr).toMatch(/1 unusable images were left out, the first: 04\.png/);
    expect((await readNpy(at("ten.npy"))).shape).toEqual([10, DIM]);
    expect(readFileSync(at("ten.names.txt"), "utf8").split("\n").slice(3, 5)).toEqual(["03.png", "05.png"]);
    expect(existsSync(at("ten.labels.txt"))).toBe(false);
  });

  it("leaves what was there when it is interrupted", async () => {
    const out = at("interrupted");
    mkdirSync(out);
    writeFileSync(join(out, "a.npy"), "earlier");
    const args = ["embed", "synthetic:100000", "--encoder", at("encoder"), "--out", join(out, "a.npy")];
    const child = spawn(process.execPath, [launcher, ...args], { stdio: ["ignore", "ignore", "pipe"] });
    const ended = once(child, "exit");
    while (readdirSync(out).length < 2) await sleep(20);
    await sleep(200);
    child.kill("SIGINT");
    expect(await ended).toEqual([130, null]);
    expect(readdirSync(out)).toEqual(["a.npy"]);
    expect(readFileSync(join(out, "a.npy"), "utf8")).toBe("earlier");
  });

  it.each([
    [
      "another ending",
      ["--out", at("features.csv")],
      /features\.csv: .*give one of \.npy, \.parquet, \.jsonl/,
    ],
    [
      "a folder that is not there",
      ["--out", at("no", "x.npy")],
      /because of its folder .*no such file or folder/,
    ],
    [
      "a folder that is a file",
      ["--out", at("images", "cat", "a.png", "x.npy")],
      /because of its folder .*a\.png/,
    ],
    ["no encoder", [], /no encoder was named; give --run RUN .* or --encoder DIR/],
    [
      "two encoders",
      ["--run", "a", "--encoder", "b"],
      /--run a and --encoder b each name an encoder; keep one/,
    ],
    ["a run that is none", ["--run", at("images")], /images is no run folder: it has no config\.json/],
    ["an encoder that is none", ["--encoder", at("images")], /an encoder is a folder with config\.json/],
    ["a feature that is none", ["--features", "max"], /--features.*Allowed choices are cls, mean, both/],
    ["a wrong option", ["--feature", "cls"], /unknown option '--feature'\n\(Did you mean --features\?\)/],
  ])("rejects %s", async (_, args, message) => {
    const out = args.includes("--out") ? [] : ["--out", at("rejected.npy")];
    const { code, stdout, stderr } = await inbetween("embed", at("images"), ...out, ...args);
    expect(stderr).toMatch(message);
    expect(stdout).toBe("");
    expect(code).not.toBe(0);
    expect(existsSync(at("rejected.npy"))).toBe(false);
  });

  it("rejects a folder that is not there", async () => {
    const args = ["embed", at("none"), "--encoder", at("encoder"), "--out", at("rejected.npy")];
    const { code, stderr } = await inbetween(...args);
    expect(code).toBe(1);
    expect(stderr).toMatch(/The folder .*none does not exist/);
  });
});
