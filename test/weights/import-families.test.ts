/** @file Encoders of every source give the features that timm, transformers and torch compute from the same files. */

import { cpSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Tensor } from "#src/graph/index.js";
import { visionTransformer, visionTransformerParameters } from "#src/models/index.js";
import { flattenTree, positionInterpolations, treeLike } from "#src/nn/index.js";
import { hostValue } from "#src/runtime/index.js";
import {
  type Encoder,
  encoderPreprocessing,
  type FamilyName,
  type HostTensor,
  type ImportOptions,
  importEncoder,
  loadEncoder,
  openSafetensors,
  saveEncoder,
  writeSafetensors,
} from "#src/weights/index.js";
import { evaluate } from "../nn/helpers.js";
import { fixtures, temporaryFolder } from "./helpers.js";

const folder = join(fixtures, "families");

/** Width 16 is no published one: the official layouts do not say the heads. */
const heads = { numHeads: 4 };

interface Case {
  /** In `features.safetensors`. */
  readonly name: string;
  readonly file: string;
  readonly family: FamilyName;
  readonly options?: ImportOptions;
}

const cases: readonly Case[] = [
  { name: "timm", file: "timm", family: "timm" },
  { name: "timm-registers", file: "timm-registers.safetensors", family: "timm", options: heads },
  { name: "timm-register-positions", file: "timm-register-positions.pth", family: "timm", options: heads },
  { name: "timm-gap", file: "timm-gap.safetensors", family: "timm", options: heads },
  { name: "dino", file: "dino.pth", family: "dino", options: heads },
  { name: "dino-student", file: "dino.pth", family: "dino", options: { ...heads, part: "student" } },
  { name: "dino-flat", file: "dino-flat.pth", family: "dino", options: heads },
  { name: "ibot", file: "ibot.pth", family: "ibot", options: heads },
  { name: "ibot-student", file: "ibot.pth", family: "ibot", options: { ...heads, part: "student" } },
  { name: "dinov2", file: "dinov2.pth", family: "dinov2", options: heads },
  { name: "dinov2-registers", file: "dinov2-registers.pth", family: "dinov2", options: heads },
  { name: "dinov2-training", file: "dinov2-training.pth", family: "dinov2", options: heads },
  { name: "mocov3", file: "mocov3.pth.tar", family: "mocov3", options: heads },
  {
    name: "mocov3-momentum",
    file: "mocov3.pth.tar",
    family: "mocov3",
    options: { ...heads, part: "momentum_encoder" },
  },
  { name: "mae", file: "mae.pth", family: "mae", options: heads },
  { name: "ijepa", file: "ijepa.pth.tar", family: "ijepa", options: heads },
  {
    name: "ijepa-target",
    file: "ijepa.pth.tar",
    family: "ijepa",
    options: { ...heads, part: "target_encoder" },
  },
  { name: "hf-vit", file: "hf-vit", family: "hf-vit" },
  { name: "hf-vit-5", file: "hf-vit-5", family: "hf-vit" },
  { name: "hf-vit-mae", file: "hf-vit-mae", family: "hf-vit-mae" },
  { name: "hf-ijepa", file: "hf-ijepa", family: "hf-ijepa" },
  { name: "hf-dinov2", file: "hf-dinov2", family: "hf-dinov2" },
  { name: "hf-dinov2-swiglu", file: "hf-dinov2-swiglu", family: "hf-dinov2" },
  { name: "hf-dinov2-swiglu-5", file: "hf-dinov2-swiglu-5", family: "hf-dinov2" },
  { name: "hf-dinov2-registers", file: "hf-dinov2-registers", family: "hf-dinov2-registers" },
];

let stored: Map<string, HostTensor>;

beforeAll(async () => {
  const file = await openSafetensors(join(folder, "features.safetensors"));
  stored = await file.readAll();
  await file.close();
});

function expected(name: string): HostTensor {
  const tensor = stored.get(name);
  if (!tensor) throw new Error(`there is no ${name} in features.safetensors`);
  return tensor;
}

/** All tokens of the stored images, by our own graph. */
async function tokens(
  { config, weights }: Encoder,
  size: "native" | "other",
  changed?: Float32Array,
): Promise<Float32Array> {
  const images = expected(`images.${size}`);
  const feeds = Object.fromEntries(
    Object.entries(weights).map(([name, { data, shape }]) => [name, hostValue("float32", data, shape)]),
  );
  const result = await evaluate(
    { ...feeds, images: hostValue("float32", changed ?? (images.data as Float32Array), images.shape) },
    ({ images: input, ...state }) => {
      const parameters = treeLike(visionTransformerParameters(config), state);
      return { all: visionTransformer(parameters, config, input as Tensor).all };
    },
  );
  return result.all?.data as Float32Array;
}

/** The largest difference, over the largest value. */
function relativeDifference(actual: ArrayLike<number>, { data }: HostTensor): number {
  const wanted = data as Float32Array;
  if (actual.length !== wanted.length) return Number.POSITIVE_INFINITY;
  let [difference, scale] = [0, 0];
  wanted.forEach((value, i) => {
    difference = Math.max(difference, Math.abs(value - (actual[i] as number)));
    scale = Math.max(scale, Math.abs(value));
  });
  return difference / scale;
}

const TOLERANCE = 1e-4;

describe("features at the native size and at another", () => {
  test.each(cases)("$name", async ({ name, file, family, options = {} }) => {
    const { encoder, report } = await importEncoder(join(folder, file), options);
    expect(report.family).toBe(family);
    expect(report.missing).toEqual([]);
    expect(report.taken).toEqual(Object.keys(flattenTree(visionTransformerParameters(encoder.config))));
    expect(relativeDifference(await tokens(encoder, "native"), expected(`${name}.native`))).toBeLessThan(
      TOLERANCE,
    );
    expect(relativeDifference(await tokens(encoder, "other"), expected(`${name}.other`))).toBeLessThan(
      TOLERANCE,
    );
  });

  test("each way of interpolating positions is told from the others", async () => {
    const { encoder } = await importEncoder(join(folder, "dinov2.pth"), heads);
    for (const [name, interpolation] of Object.entries(positionInterpolations)) {
      const other = { ...encoder, config: { ...encoder.config, interpolation } };
      const difference = relativeDifference(await tokens(other, "other"), expected("dinov2.other"));
      if (name === "dino") expect(difference).toBeLessThan(TOLERANCE);
      // The grid grows: antialiasing changes the kernel, and the offset the scale.
      else expect(difference, name).toBeGreaterThan(10 * TOLERANCE);
    }
  });

  test("heads that are not the source's give other features", async () => {
    const { encoder } = await importEncoder(join(folder, "mae.pth"), { numHeads: 2 });
    expect(relativeDifference(await tokens(encoder, "native"), expected("mae.native"))).toBeGreaterThan(0.01);
  });

  test("the epsilon of config.json is used", async () => {
    const { encoder } = await importEncoder(join(folder, "hf-vit"));
    expect(encoder.config.epsilon).toBe(0.1);
    const other = { ...encoder, config: { ...encoder.config, epsilon: 1e-6 } };
    expect(relativeDifference(await tokens(other, "native"), expected("hf-vit.native"))).toBeGreaterThan(
      0.01,
    );
  });
});

describe("images that are normalised otherwise", () => {
  const half = { image_mean: [0.5, 0.5, 0.5], image_std: [0.5, 0.5, 0.5] };

  test("are warned of, or taken up by the projection of patches", async () => {
    const copy = join(temporaryFolder(), "copy");
    cpSync(join(folder, "hf-vit"), copy, { recursive: true });
    await expect(importEncoder(copy, { normalization: "file" })).rejects.toThrow(
      /expected image_mean and image_std/,
    );
    writeFileSync(join(copy, "preprocessor_config.json"), JSON.stringify(half));
    const plain = await importEncoder(copy);
    expect(plain.report.warnings.join()).toMatch(
      /normalised by mean 0\.5, 0\.5, 0\.5 .*--normalization file/,
    );
    expect((await importEncoder(copy, { normalization: "imagenet" })).report.warnings).toEqual([]);
    const { encoder } = await importEncoder(copy, { normalization: "file" });

    // The stored images, taken for (u - 0.5) / 0.5, as ImageNet's normalisation gives them.
    const { mean, std } = encoderPreprocessing(encoder.config);
    const images = expected("images.native");
    const area = 16 * 16;
    const data = (images.data as Float32Array).map((value, i) => {
      const channel = Math.floor(i / area) % 3;
      return (value * 0.5 + 0.5 - (mean[channel] as number)) / (std[channel] as number);
    });
    const difference = relativeDifference(await tokens(encoder, "native", data), expected("hf-vit.native"));
    expect(difference).toBeLessThan(TOLERANCE);
  });
});

describe("the report", () => {
  test("says what was taken, renamed, and left over", async () => {
    const { report } = await importEncoder(join(folder, "ibot.pth"), { ...heads, part: "student" });
    expect(report).toMatchObject({ part: "student", format: "PyTorch (zip)", converted: {}, missing: [] });
    expect(report.renamed).toContainEqual({
      from: ["student.module.backbone.masked_embed"],
      to: "mask_token",
    });
    expect(report.renamed).toContainEqual({
      from: ["student.module.backbone.blocks.1.gamma_2"],
      to: "blocks.1.ls2.gamma",
    });
    expect(report.leftOver).toContain("student.module.head.last_layer2.weight_v");
    expect(report.leftOver).toContain("ibot_loss.center2");
    expect(report.leftOver.filter((name) => name.startsWith("student.module.backbone."))).toEqual([]);
    expect(report.alternatives).toContain("dino");
    expect(report.assumed.join()).toMatch(/4 heads, as asked for.*epsilon 1e-6, as in iBOT's code/);
  });

  test("names the parts that one tensor is made of, and the heads of config.json", async () => {
    const { report } = await importEncoder(join(folder, "hf-dinov2-swiglu-5"));
    expect(report.renamed).toContainEqual({
      from: ["encoder.layer.0.mlp.gate_proj.weight", "encoder.layer.0.mlp.up_proj.weight"],
      to: "blocks.0.mlp.fc1.weight",
    });
    expect(report.assumed[0]).toBe("4 heads, by config.json");
  });

  test("shards are all named", async () => {
    const { report } = await importEncoder(join(folder, "hf-dinov2"));
    expect(report.format).toMatch(/^safetensors, \d+ shards$/);
    expect(report.sources.length).toBe(3);
  });
});

test.each<["float64" | "bfloat16", (values: Float32Array) => HostTensor["data"], (value: number) => number]>([
  ["float64", (values) => Float64Array.from(values), (value) => value],
  [
    "bfloat16",
    // The upper halves, little-endian.
    (values) =>
      new Uint16Array(values.buffer, values.byteOffset, 2 * values.length).filter((_, i) => i % 2 === 1),
    (value) => {
      const bits = new Uint32Array(Float32Array.of(value).buffer);
      bits[0] = ((bits[0] as number) & 0xffff0000) >>> 0;
      return new Float32Array(bits.buffer)[0] as number;
    },
  ],
])("weights in %s become float32", async (dtype, convert, kept) => {
  const copy = join(temporaryFolder(), "copy");
  cpSync(join(folder, "hf-ijepa"), copy, { recursive: true });
  const file = await openSafetensors(join(copy, "model.safetensors"));
  const map = await file.readAll();
  await file.close();
  for (const [name, { shape, data }] of map) {
    map.set(name, { dtype, shape, data: convert(data as Float32Array) } as HostTensor);
  }
  await writeSafetensors(join(copy, "model.safetensors"), map);
  const { encoder, report } = await importEncoder(copy);
  const { encoder: exact } = await importEncoder(join(folder, "hf-ijepa"));
  expect(report.converted).toEqual({ [dtype]: map.size - report.leftOver.length });
  for (const [name, { data }] of Object.entries(exact.weights)) {
    expect(encoder.weights[name]?.data, name).toEqual(data.map(kept));
  }
});

describe("written, and read again", () => {
  test.each(["dino.pth", "dinov2-registers.pth", "hf-dinov2-swiglu", "ijepa.pth.tar"])("%s", async (file) => {
    const { encoder } = await importEncoder(join(folder, file), file.startsWith("hf") ? {} : heads);
    const out = join(temporaryFolder(), "encoder");
    await saveEncoder(encoder, out, { onnx: [] });
    expect(await loadEncoder(out)).toEqual(encoder);
    // Importing a folder of ours changes nothing.
    const again = await importEncoder(out);
    expect(again.encoder).toEqual(encoder);
    expect(again.report).toMatchObject({ family: "inbetween", renamed: [], leftOver: [] });
    expect((await importEncoder(join(out, "model.safetensors"))).encoder).toEqual(encoder);
    await expect(importEncoder(out, { numHeads: 2 })).rejects.toThrow(
      /was written by inbetween, and "numHeads"/,
    );
  });
});

afterAll(() => stored.clear());
