/** @file Feature extraction: views, padding, and what the kinds of features mean. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { FeatureExtractor, type Matrix, randomEncoder } from "#src/evaluation/index.js";
import { flip, type Tensor } from "#src/graph/index.js";
import { visionTransformer, visionTransformerParameters } from "#src/models/index.js";
import { treeLike } from "#src/nn/index.js";
import { Device } from "#src/runtime/index.js";
import { imagenetMean, imagenetStd } from "#src/transforms/index.js";
import { tinyConfig } from "./helpers.js";

let device: Device;
beforeAll(async () => {
  device = await Device.open({ threads: 1 });
});
afterAll(() => device.close());

const encoder = randomEncoder(tinyConfig, 3);
const pixels = 3 * 16 * 16;
const bytes = Uint8Array.from({ length: 3 * pixels }, (_, i) => (i * i * 31 + 7 * i) % 256);

const close = (found: Matrix | undefined, values: ArrayLike<number>, digits = 5) => {
  expect(found?.data.length).toBe(values.length);
  found?.data.forEach((value, i) => {
    expect(value).toBeCloseTo(values[i] as number, digits);
  });
};

test("features are the encoder's, of bytes normalised on the host, and the mean is that of the patches", async () => {
  const extractor = await FeatureExtractor.create(device, encoder, {
    kinds: ["cls", "mean"],
    patches: true,
    batchSize: 3,
  });
  const { image } = await extractor.extract(bytes, 3);
  const normalized = Float32Array.from(bytes, (value, i) => {
    const channel = Math.floor(i / 256) % 3;
    return (value / 255 - (imagenetMean[channel] as number)) / (imagenetStd[channel] as number);
  });
  const specs = visionTransformerParameters(tinyConfig);
  const program = await device.compile({
    name: "reference",
    inputs: { x: { dtype: "float32", shape: [3, 3, 16, 16] }, ...encoder.weights },
    trace: ({ x, ...weights }) => {
      const { cls, patches } = visionTransformer(treeLike(specs, weights), tinyConfig, x as Tensor);
      return { outputs: { cls: cls as Tensor, patches } };
    },
  });
  const x = { dtype: "float32", shape: [3, 3, 16, 16], data: normalized } as const;
  const { cls, patches } = await program.run({ x, ...encoder.weights });
  close(image?.cls, cls?.data as Float32Array);
  close(image?.patches, patches?.data as Float32Array);
  expect(image?.patches).toMatchObject({ rows: 12, columns: 16 });
  const means = Array.from({ length: 3 * 16 }, (_, i) => {
    const [sample, channel] = [Math.floor(i / 16), i % 16];
    const ofPatches = [0, 1, 2, 3].map((patch) => Number(patches?.data[(4 * sample + patch) * 16 + channel]));
    return ofPatches.reduce((total, value) => total + value, 0) / 4;
  });
  close(image?.mean, means);
});

test("a batch that is not full gives the features of its images alone", async () => {
  const full = await FeatureExtractor.create(device, encoder, { batchSize: 3 });
  const padded = await FeatureExtractor.create(device, encoder, { batchSize: 5 });
  const { image } = await full.extract(bytes, 3);
  const { image: found } = await padded.extract(bytes, 3);
  close(found?.mean, image?.mean?.data ?? []);
  await expect(full.extract(bytes, 4)).rejects.toThrow("4 images were given to an extractor of batches of 3");
});

test("views are encoded side by side in one run", async () => {
  const extractor = await FeatureExtractor.create(device, encoder, {
    batchSize: 3,
    views: { plain: (images) => images, mirrored: (images) => flip(images, 3) },
  });
  const alone = await FeatureExtractor.create(device, encoder, { batchSize: 3 });
  const mirroredBytes = bytes.map((_, i) => bytes[16 * Math.floor(i / 16) + (15 - (i % 16))] as number);
  const { plain, mirrored } = await extractor.extract(bytes, 3);
  close(plain?.mean, (await alone.extract(bytes, 3)).image?.mean?.data ?? []);
  close(mirrored?.mean, (await alone.extract(mirroredBytes, 3)).image?.mean?.data ?? []);
  expect(mirrored?.mean?.data).not.toEqual(plain?.mean?.data);
});
