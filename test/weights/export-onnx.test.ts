/** @file The ONNX model of an encoder computes what our graph, transformers and transformers.js compute. */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { AutoModel, env, pipeline, RawImage, Tensor } from "@huggingface/transformers";
import { ModelProtoSchema } from "onnx-buf";
import * as ort from "onnxruntime-node";
import { describe, expect, test } from "vitest";
import { mean } from "#src/graph/index.js";
import { visionTransformer, visionTransformerParameters } from "#src/models/index.js";
import { flattenTree, treeLike } from "#src/nn/index.js";
import { Device } from "#src/runtime/index.js";
import { type Encoder, encoderOnnx, saveEncoder } from "#src/weights/index.js";
import { IMAGE_SIZE, names, randomEncoder, randomImages } from "./encoders.mjs";
import { fixtures, temporaryFolder } from "./helpers.js";

interface Outputs {
  readonly last_hidden_state: ArrayLike<number>;
  readonly pooler_output: ArrayLike<number>;
}

interface Expected extends Outputs {
  /** Of the weights that were read. */
  readonly sha256: string;
  readonly config: { readonly architectures: readonly string[] };
  readonly class: string;
  readonly processor: string;
  readonly problems: object;
}

/** What Hugging Face's transformers makes of the same folders; see make_transformers.py. */
const transformers: Record<string, Expected> = JSON.parse(
  readFileSync(join(fixtures, "transformers.json"), "utf8"),
);

/** Largest absolute difference; infinite when the lengths differ. */
function difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length || a.length === 0) return Number.POSITIVE_INFINITY;
  return Array.from(a).reduce(
    (worst, value, i) => Math.max(worst, Math.abs(value - (b[i] ?? Number.NaN))),
    0,
  );
}

async function session(encoder: Encoder, imageSize?: number): Promise<ort.InferenceSession> {
  const options = imageSize === undefined ? {} : { imageSize };
  return ort.InferenceSession.create(encoderOnnx(encoder, options), { intraOpNumThreads: 1 });
}

async function run(model: ort.InferenceSession, images: Float32Array, size = IMAGE_SIZE) {
  const batch = images.length / (3 * size * size);
  const { last_hidden_state, pooler_output } = await model.run({
    pixel_values: new ort.Tensor("float32", images, [batch, 3, size, size]),
  });
  if (!last_hidden_state || !pooler_output) throw new Error("an output is missing");
  return {
    shape: last_hidden_state.dims,
    last_hidden_state: last_hidden_state.data as Float32Array,
    pooler_output: pooler_output.data as Float32Array,
  };
}

/** The features of our own graph, at a fixed batch and with the weights as state. */
async function ours(
  device: Device,
  { config, weights, trained }: Encoder,
  images: Float32Array,
  size: number,
) {
  const specs = visionTransformerParameters(config);
  const shape = [images.length / (3 * size * size), 3, size, size];
  const program = await device.compile({
    name: "features",
    inputs: { images: { dtype: "float32", shape } },
    state: flattenTree(specs),
    trace: ({ images: pixels }, state) => {
      if (!pixels) throw new Error("no images");
      const { all, cls, patches } = visionTransformer(treeLike(specs, state), config, pixels);
      return { outputs: { all, pooled: trained === "cls" && cls ? cls : mean(patches, [1]) } };
    },
  });
  await device.setState(weights);
  const { all, pooled } = await program.run({ images: { dtype: "float32", shape, data: images } });
  return { last_hidden_state: all?.data as Float32Array, pooler_output: pooled?.data as Float32Array };
}

describe("the model", () => {
  test.each(names)("gives our own features at any batch: %s", async (name) => {
    const encoder = randomEncoder(name);
    const model = await session(encoder);
    const images = randomImages(5);
    await using device = await Device.open({ threads: 1 });
    const { registers, classToken, embedDim } = encoder.config;
    const tokens = 16 + registers + (classToken ? 1 : 0);
    for (const batch of [1, 2, 5]) {
      const some = images.slice(0, batch * 3 * IMAGE_SIZE ** 2);
      const wanted = await ours(device, encoder, some, IMAGE_SIZE);
      const found = await run(model, some);
      expect(found.shape).toEqual([batch, tokens, embedDim]);
      expect(difference(found.last_hidden_state, wanted.last_hidden_state)).toBeLessThan(1e-5);
      expect(difference(found.pooler_output, wanted.pooler_output)).toBeLessThan(1e-5);
    }
  });

  test.each(names)("gives transformers' features, which finds every weight: %s", async (name) => {
    const encoder = randomEncoder(name);
    const wanted = transformers[name];
    if (!wanted) throw new Error(`no fixture for ${name}; run make_transformers.py`);
    expect(wanted).toMatchObject({ problems: {}, processor: expect.stringContaining("BitImageProcessor") });
    expect(wanted.config.architectures).toEqual([wanted.class]);
    const found = await run(await session(encoder), randomImages(2));
    expect(difference(found.last_hidden_state, wanted.last_hidden_state)).toBeLessThan(1e-4);
    // Python's pooled output is the class token, whichever feature was trained.
    if (encoder.trained === "cls") {
      expect(difference(found.pooler_output, wanted.pooler_output)).toBeLessThan(1e-4);
    }
  });

  test.each(names)("goes with the files that transformers read: %s", async (name) => {
    const { folder } = await saveEncoder(randomEncoder(name), join(temporaryFolder(), name), { onnx: [] });
    const { inbetween: _, ...config } = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
    const weights = createHash("sha256")
      .update(readFileSync(join(folder, "model.safetensors")))
      .digest("hex");
    expect({ config, sha256: weights }).toEqual({
      config: transformers[name]?.config,
      sha256: transformers[name]?.sha256,
    });
  });

  test("uses ONNX's own operators only, and leaves the batch free", () => {
    const model = fromBinary(ModelProtoSchema, encoderOnnx(randomEncoder("all of DINOv2")));
    expect(model.opsetImport.map(({ domain }) => domain)).toEqual([""]);
    const shapes = [...(model.graph?.input ?? []), ...(model.graph?.output ?? [])].map(({ name, type }) => [
      name,
      type?.value.case === "tensorType" ? type.value.value.shape?.dim.map(({ value }) => value.value) : [],
    ]);
    expect(Object.fromEntries(shapes)).toEqual({
      pixel_values: ["batch", 3n, 32n, 32n],
      last_hidden_state: ["batch", 19n, 24n],
      pooler_output: ["batch", 24n],
    });
    const metadata = model.metadataProps.map(({ key, value }) => [key, value]);
    expect(Object.fromEntries(metadata)).toEqual({ encoder: "all of DINOv2", feature: "cls" });
  });

  test("is made for another image size with interpolated positions", async () => {
    const encoder = randomEncoder("plain");
    const size = 48;
    const images = randomImages(2, size);
    await using device = await Device.open({ threads: 1 });
    const wanted = await ours(device, encoder, images, size);
    const found = await run(await session(encoder, size), images, size);
    expect(found.shape).toEqual([2, 37, 24]);
    expect(difference(found.last_hidden_state, wanted.last_hidden_state)).toBeLessThan(1e-5);
  });
});

describe("transformers.js reads the folder from disk", () => {
  /** Saves an encoder where transformers.js looks for models, and nowhere else. */
  async function saved(encoder: Encoder): Promise<string> {
    const root = temporaryFolder();
    env.allowRemoteModels = false;
    env.allowLocalModels = true;
    env.localModelPath = `${root}/`;
    await saveEncoder(encoder, join(root, "encoder"));
    return "encoder";
  }

  test.each(names)("and computes our features: %s", async (name) => {
    const encoder = randomEncoder(name);
    const model = await AutoModel.from_pretrained(await saved(encoder), { dtype: "fp32" });
    const images = randomImages(2);
    const outputs = await model({
      pixel_values: new Tensor("float32", images, [2, 3, IMAGE_SIZE, IMAGE_SIZE]),
    });
    const wanted = await run(await session(encoder), images);
    expect(outputs.last_hidden_state.dims).toEqual(wanted.shape);
    expect(difference(outputs.last_hidden_state.data, wanted.last_hidden_state)).toBeLessThan(1e-4);
    expect(difference(outputs.pooler_output.data, wanted.pooler_output)).toBeLessThan(1e-4);
    await model.dispose();
  });

  test("and extracts features of an image, prepared as ours are", async () => {
    const encoder = randomEncoder("registers");
    const extract = await pipeline("image-feature-extraction", await saved(encoder), { dtype: "fp32" });
    const pixels = Uint8ClampedArray.from({ length: IMAGE_SIZE ** 2 * 3 }, (_, i) => (i * 37) % 256);
    const image = new RawImage(pixels, IMAGE_SIZE, IMAGE_SIZE, 3);
    const [average, deviation] = [
      [0.485, 0.456, 0.406],
      [0.229, 0.224, 0.225],
    ] as const;
    const area = IMAGE_SIZE ** 2;
    const normalized = Float32Array.from({ length: 3 * area }, (_, i) => {
      const channel = Math.floor(i / area) as 0 | 1 | 2;
      const value = (pixels[(i % area) * 3 + channel] ?? Number.NaN) / 255;
      return (value - average[channel]) / deviation[channel];
    });
    const wanted = await run(await session(encoder), normalized);
    const all = await extract(image);
    expect(all.dims).toEqual([1, 21, 24]);
    expect(difference(all.data, wanted.last_hidden_state)).toBeLessThan(1e-4);
    const pooled = await extract(image, { pool: true });
    expect(difference(pooled.data, wanted.pooler_output)).toBeLessThan(1e-4);
    await extract.dispose();
  });
});
