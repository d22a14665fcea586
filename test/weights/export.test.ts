/** @file Encoders in folders: exact reload, refusals that name the reason, and what is left when writing fails. */

import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  type Encoder,
  EncoderError,
  encoderPreprocessing,
  type HostTensor,
  loadEncoder,
  openSafetensors,
  saveEncoder,
  writeSafetensors,
} from "#src/weights/index.js";
import { names, randomEncoder } from "./encoders.mjs";
import { bytes, temporaryFolder } from "./helpers.js";

function readJson(...path: string[]) {
  return JSON.parse(readFileSync(join(...path), "utf8"));
}

/** A saved encoder without its ONNX model. */
async function saved(encoder: Encoder = randomEncoder("plain")): Promise<string> {
  const { folder } = await saveEncoder(encoder, join(temporaryFolder(), "encoder"), { onnx: [] });
  return folder;
}

/** Changes `config.json` and gives the error of loading it. */
async function loadChanged(change: (config: ReturnType<typeof readJson>) => void): Promise<unknown> {
  const folder = await saved();
  const config = readJson(folder, "config.json");
  change(config);
  writeFileSync(join(folder, "config.json"), JSON.stringify(config));
  return loadEncoder(folder).catch((error: unknown) => error);
}

/** Rewrites `model.safetensors` and gives the error of loading it. */
async function loadWithTensors(change: (tensors: Map<string, HostTensor>) => void): Promise<unknown> {
  const folder = await saved();
  const path = join(folder, "model.safetensors");
  const file = await openSafetensors(path);
  const tensors = await file.readAll();
  await file.close();
  change(tensors);
  await writeSafetensors(path, tensors);
  return loadEncoder(folder).catch((error: unknown) => error);
}

describe("a folder that was written", () => {
  test.each(names)("gives back every bit: %s", async (name) => {
    const encoder = randomEncoder(name);
    const loaded = await loadEncoder(await saved(encoder));
    const { weights, ...description } = encoder;
    expect(loaded).toMatchObject(description);
    expect(loaded.config).toEqual(encoder.config);
    expect(Object.keys(loaded.weights)).toEqual(Object.keys(weights));
    for (const [key, weight] of Object.entries(weights)) {
      const other = loaded.weights[key];
      expect(other?.shape, key).toEqual(weight.shape);
      expect(other && bytes(other).equals(bytes(weight)), key).toBe(true);
    }
  });

  test("holds exactly the files that are reported, with their sizes", async () => {
    const { folder, files } = await saveEncoder(randomEncoder("plain"), join(temporaryFolder(), "encoder"));
    const found = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) =>
      statSync(join(folder, name)).isFile(),
    );
    expect(Object.fromEntries(found.map((name) => [name, statSync(join(folder, name)).size]))).toEqual(files);
    expect(Object.keys(files).sort()).toEqual([
      "README.md",
      "config.json",
      "model.safetensors",
      "onnx/model.onnx",
      "onnx/model_fp16.onnx",
      "onnx/model_int8.onnx",
      "onnx/model_quantized.onnx",
      "preprocessor_config.json",
    ]);
    expect(readdirSync(join(folder, ".."))).toEqual(["encoder"]);
  });

  test("describes the preprocessing of evaluation", async () => {
    const folder = await saved(randomEncoder("plain", { imageSize: 224, patchSize: 16 }));
    expect(readJson(folder, "preprocessor_config.json")).toMatchObject({
      size: { shortest_edge: 256 },
      crop_size: { height: 224, width: 224 },
      resample: 3,
      rescale_factor: 1 / 255,
      image_mean: [0.485, 0.456, 0.406],
      image_std: [0.229, 0.224, 0.225],
    });
    expect(encoderPreprocessing({ imageSize: 32 })).toMatchObject({ resize: 32, size: 32 });
    expect(encoderPreprocessing({ imageSize: 32 }, 448)).toMatchObject({ resize: 512, size: 448 });
  });

  test("says in its card which feature to take, without markup from labels", async () => {
    const label = "a\n# b | <c>";
    const folder = await saved({ ...randomEncoder("registers"), label });
    const card = readFileSync(join(folder, "README.md"), "utf8");
    expect(card).toContain("# a \\# b \\| \\<c\\>\n");
    expect(card).toContain("features = last_hidden_state[:, 5:].mean(1)");
    expect(card).not.toContain("JavaScript");
  });
});

describe("writing", () => {
  test("replaces an encoder only when asked to", async () => {
    const folder = await saved();
    await expect(saveEncoder(randomEncoder("SwiGLU"), folder)).rejects.toThrow(
      /encoder: there is an encoder already; choose another folder, or ask to overwrite it/,
    );
    expect((await loadEncoder(folder)).label).toBe("plain");
    await saveEncoder(randomEncoder("SwiGLU"), folder, { overwrite: true, onnx: [] });
    expect((await loadEncoder(folder)).label).toBe("SwiGLU");
    expect(readdirSync(join(folder, ".."))).toEqual(["encoder"]);
  });

  test("never replaces a folder with anything else in it, and takes an empty one", async () => {
    const folder = join(temporaryFolder(), "photos");
    mkdirSync(folder);
    writeFileSync(join(folder, "cat.jpg"), "x");
    await expect(saveEncoder(randomEncoder("plain"), folder, { overwrite: true })).rejects.toThrow(
      /photos: the folder holds "cat\.jpg", which belongs to no encoder, and is left as it is/,
    );
    expect(readdirSync(folder)).toEqual(["cat.jpg"]);
    const empty = temporaryFolder();
    await saveEncoder(randomEncoder("plain"), empty, { onnx: [] });
    expect((await loadEncoder(empty)).label).toBe("plain");
  });

  test("does not go through a file", async () => {
    const file = join(temporaryFolder(), "file");
    writeFileSync(file, "x");
    await expect(saveEncoder(randomEncoder("plain"), file)).rejects.toThrow(
      /file: an encoder cannot be written there: a part of the path is a file/,
    );
    await expect(saveEncoder(randomEncoder("plain"), join(file, "encoder"))).rejects.toThrow(EncoderError);
  });

  test.each<[string, Encoder, RegExp]>([
    [
      "other channels",
      randomEncoder("plain", { channels: 4 }),
      /"plain" takes images of 4 channels, expected 3/,
    ],
    [
      "an architecture that transformers lacks",
      randomEncoder("no class token", { registers: 2, swiglu: true }),
      /no architecture with registers 2, swiglu and no class token; the encoder can be written as an ONNX model alone/,
    ],
    [
      "a broken MLP ratio in DINOv2",
      randomEncoder("SwiGLU", { mlpRatio: 2.5 }),
      /no architecture with swiglu and mlpRatio 2\.5, which DINOv2 takes as a whole number/,
    ],
    ["a missing weight", { ...randomEncoder("plain"), weights: {} }, /the weight "cls_token" is missing/],
    [
      "weights of another architecture",
      { ...randomEncoder("plain"), weights: randomEncoder("plain", { embedDim: 48 }).weights },
      /"cls_token" is \[1, 1, 48\], and \[1, 1, 24\] in its architecture/,
    ],
    [
      "foreign weights",
      { ...randomEncoder("plain"), weights: randomEncoder("mask token").weights },
      /"mask_token" is no weight of its architecture/,
    ],
    [
      "a trained class token where there is none",
      { ...randomEncoder("no class token"), trained: "cls" },
      /said to be trained by its class token, and has none/,
    ],
  ])("refuses %s before anything is written", async (_, encoder, message) => {
    const parent = temporaryFolder();
    const error = await saveEncoder(encoder, join(parent, "encoder")).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(EncoderError);
    expect((error as Error).message).toMatch(message);
    expect(readdirSync(parent)).toEqual([]);
  });
});

describe("loading refuses", () => {
  test("what is no encoder, saying what one is", async () => {
    const folder = temporaryFolder();
    await expect(loadEncoder(join(folder, "absent"))).rejects.toThrow(
      /absent.*no such file or folder \(ENOENT\); an encoder is a folder with config\.json and model\.safetensors/,
    );
    await expect(loadEncoder(folder)).rejects.toThrow(/config\.json: no such file or folder/);
    writeFileSync(join(folder, "file"), "");
    await expect(loadEncoder(join(folder, "file"))).rejects.toThrow(
      /file: it is a file; an encoder is a folder/,
    );
    for (const [text, message] of [
      ["{", /config\.json: it is no JSON/],
      ["[]", /config\.json: it holds no object/],
      ['{"model_type": "vit"}', /there is no "inbetween" among its keys, expected a folder written by/],
    ] as const) {
      writeFileSync(join(folder, "config.json"), text);
      await expect(loadEncoder(folder), text).rejects.toThrow(message);
    }
  });

  test("a folder without weights", async () => {
    const folder = await saved();
    writeFileSync(join(folder, "model.safetensors"), "x");
    await expect(loadEncoder(folder)).rejects.toThrow(/model\.safetensors: the file has 1 bytes/);
  });

  test("missing tensors", async () => {
    const error = await loadWithTensors((tensors) => {
      tensors.delete("encoder.layer.1.attention.attention.key.weight");
    });
    expect(error).toBeInstanceOf(EncoderError);
    expect((error as Error).message).toMatch(
      /model\.safetensors: the tensors encoder\.layer\.1\.attention\.attention\.key\.weight are missing/,
    );
  });

  test("shapes that disagree with the configuration", async () => {
    const error = await loadWithTensors((tensors) => {
      tensors.set("layernorm.weight", { dtype: "float32", shape: [25], data: new Float32Array(25) });
    });
    expect((error as Error).message).toMatch(
      /model\.safetensors: the tensor layernorm\.weight is \[25\], and the configuration beside it makes it \[24\]/,
    );
  });

  test("a configuration that contradicts itself or does not fit the schema", async () => {
    const message = async (change: Parameters<typeof loadChanged>[0]) =>
      ((await loadChanged(change)) as Error).message;
    expect(await message((config) => (config.num_attention_heads = 4))).toMatch(
      /"num_attention_heads" is 4, and 3 by "inbetween\.architecture"/,
    );
    // Before anything is made for each block.
    expect(
      await message((config) => {
        config.num_hidden_layers = 1e9;
        config.inbetween.architecture.depth = 1e9;
      }),
    ).toMatch(/config\.json: vision transformer: depth is 1000000000, expected at most 1024/);
    expect(await message((config) => (config.inbetween.format = 2))).toMatch(/"inbetween\.format"/);
    expect(await message((config) => delete config.inbetween.architecture.depth)).toMatch(
      /"inbetween\.architecture\.depth"/,
    );
    expect(await message((config) => (config.inbetween.architecture.numHeads = 5))).toMatch(
      /config\.json: vision transformer: numHeads 5 does not divide embedDim 24/,
    );
  });

  test("no folder for what transformers may have changed when it saved the folder again", async () => {
    const loaded = await loadChanged((config) => {
      config.transformers_version = "5.18.0";
      delete config.hidden_act;
    });
    expect(loaded).toMatchObject({ label: "plain" });
  });
});
