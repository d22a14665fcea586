/** @file Attention maps against transformers' `output_attentions` (fixtures/models/make_attention.py). */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { attentionPictures } from "#src/evaluation/index.js";
import { input, makeGraph, type Tensor } from "#src/graph/index.js";
import { attentionMaps, visionTransformerConfig, visionTransformerParameters } from "#src/models/index.js";
import { flattenTree, treeLike } from "#src/nn/index.js";
import { mapValues } from "#src/records.js";
import { Device, float32 } from "#src/runtime/index.js";
import { IMAGE_SIZE, randomEncoder, randomImages } from "../weights/encoders.mjs";

const stored: Record<string, { shape: number[]; shares: number[] }> = JSON.parse(
  readFileSync(join(import.meta.dirname, "../fixtures/models/attention.json"), "utf8"),
);

describe("attentionMaps", () => {
  test.each(["plain", "registers", "no class token"] as const)("are transformers': %s", async (name) => {
    const { config, weights } = randomEncoder(name);
    const specs = visionTransformerParameters(config);
    const images = float32(randomImages(2), [2, 3, IMAGE_SIZE, IMAGE_SIZE]);
    await using device = await Device.open({ threads: 1 });
    await device.setState(weights);
    const program = await device.compile({
      name: "attention",
      inputs: { images },
      state: flattenTree(specs),
      trace: ({ images: pixels }, state) => ({
        outputs: { maps: attentionMaps(treeLike(specs, state), config, pixels as Tensor) },
      }),
    });
    const { maps } = await program.run({ images });
    expect(maps?.shape).toEqual(stored[name]?.shape);
    const found = Array.from(maps?.data as Float32Array);
    const worst = Math.max(
      ...found.map((value, i) => Math.abs(value - (stored[name]?.shares[i] ?? Number.NaN))),
    );
    expect(worst).toBeLessThan(1e-5);
  });

  test("exist for an encoder of one block", () => {
    const config = visionTransformerConfig({
      imageSize: 16,
      patchSize: 8,
      embedDim: 8,
      depth: 1,
      numHeads: 2,
    });
    const specs = visionTransformerParameters(config);
    const symbols = mapValues(flattenTree(specs), ({ shape }, name): Tensor => input(name, shape));
    const maps = attentionMaps(treeLike(specs, symbols), config, input("images", [3, 3, 16, 16]));
    expect(maps.shape).toEqual([3, 2, 4]);
    makeGraph({ maps });
  });
});

test("pictures are as large as the images, one a head, and the brightest patch is the largest share", async () => {
  const encoder = randomEncoder("registers");
  await using device = await Device.open({ threads: 1 });
  const images = Uint8Array.from({ length: 2 * 3 * 48 * 48 }, (_, i) => (i * i) % 251);
  const pictures = await attentionPictures(device, encoder, images, 2, 48);
  expect(pictures).toHaveLength(2);
  for (const { heads, patches, shares } of pictures) {
    expect([...heads, patches].map(({ width, height }) => [width, height])).toEqual(Array(4).fill([48, 48]));
    shares.forEach((values, head) => {
      expect(values).toHaveLength(36);
      const place = values.indexOf(Math.max(...values));
      const pixel = Math.floor(place / 6) * 8 * 48 + (place % 6) * 8;
      // The last colour of viridis.
      expect(Array.from(heads[head]?.data.subarray(3 * pixel, 3 * pixel + 3) ?? [])).toEqual([253, 231, 37]);
    });
  }
});
