/** @file Encoders of every source give the features that timm, transformers and torch compute from the same files. */

import { copyFileSync, cpSync, readFileSync, writeFileSync } from "node:fs";
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

describe("written, and read again", () => {
  test.each(["dino.pth", "dinov2-registers.pth", "hf-dinov2-swiglu", "ijepa.pth.tar"])("%s", async (file) => {
    const { encoder } = await importEncoder(join(folder, file), file.startsWith("hf") ? {} : heads);
    const out = join(temporaryFolder(), "encoder");
    await saveEncoder(encoder, out, { onnx: false });
    expect(await loadEncoder(out)).toEqual(encoder);
    // Importing a folder of ours changes nothing.
    const again = await importEncoder(out);
    expect(again.encoder).toEqual(encoder);
    expect(again.report).toMatchObject({ family: "inbetween", renamed: [], leftOver: [] });
    await expect(importEncoder(out, { numHeads: 2 })).rejects.toThrow(
      /was written by inbetween, and "numHeads"/,
    );
  });
});

describe("bad input is refused by name", () => {
  /** A Hugging Face folder with its tensors or its configuration changed. */
  async function changed(
    name: string,
    change: { tensors?: (map: Map<string, HostTensor>) => void; config?: Record<string, unknown> },
  ): Promise<string> {
    const copy = join(temporaryFolder(), "copy");
    cpSync(join(folder, name), copy, { recursive: true });
    if (change.tensors) {
      const file = await openSafetensors(join(copy, "model.safetensors"));
      const map = await file.readAll();
      await file.close();
      change.tensors(map);
      await writeSafetensors(join(copy, "model.safetensors"), map);
    }
    if (change.config) {
      const path = join(copy, "config.json");
      writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, "utf8")), ...change.config }));
    }
    return copy;
  }

  test("another family than the file's", async () => {
    await expect(importEncoder(join(folder, "mae.pth"), { ...heads, family: "ibot" })).rejects.toThrow(
      /mae\.pth: it holds no encoder as iBOT \(ibot\) stores it, expected patch_embed\.proj\.weight in teacher, student, weights; it looks like MAE: --family mae/,
    );
    await expect(importEncoder(join(folder, "hf-vit"), { family: "hf-dinov2-registers" })).rejects.toThrow(
      /does not have: vit\.encoder\.layer.*it looks like ViT: --family hf-vit/,
    );
  });

  test("a part that is not there", async () => {
    await expect(importEncoder(join(folder, "dino.pth"), { ...heads, part: "target" })).rejects.toThrow(
      /DINO has no part "target" in this file, expected one of: teacher, student/,
    );
  });

  test("heads that nothing says", async () => {
    await expect(importEncoder(join(folder, "dino.pth"))).rejects.toThrow(
      /heads cannot be read from tensors, and DINO has no published model of width 16; give it with --heads/,
    );
    const alone = join(temporaryFolder(), "vit.safetensors");
    copyFileSync(join(folder, "hf-vit/model.safetensors"), alone);
    await expect(importEncoder(alone)).rejects.toThrow(/there is no config\.json; give it with --heads/);
    await expect(importEncoder(alone, heads)).rejects.toThrow(/no config\.json; give it with --epsilon/);
    const { encoder } = await importEncoder(alone, { ...heads, epsilon: 0.1 });
    expect(relativeDifference(await tokens(encoder, "native"), expected("hf-vit.native"))).toBeLessThan(
      TOLERANCE,
    );
  });

  test("missing tensors", async () => {
    const path = await changed("hf-vit", {
      tensors: (map) => map.delete("vit.encoder.layer.1.output.dense.bias"),
    });
    await expect(importEncoder(path)).rejects.toThrow(/the tensors blocks\.1\.mlp\.fc2\.bias .* are missing/);
    const block = await changed("hf-vit", {
      tensors: (map) => {
        for (const name of map.keys()) if (name.includes("layer.0.")) map.delete(name);
      },
    });
    await expect(importEncoder(block)).rejects.toThrow(/block 0 is missing among 1 blocks/);
    const key = await changed("hf-vit", {
      tensors: (map) => map.delete("vit.encoder.layer.1.attention.attention.key.weight"),
    });
    await expect(importEncoder(key)).rejects.toThrow(
      /blocks\.1\.attn\.qkv\.weight is made of 3 tensors, and only/,
    );
  });

  test("tensors that no architecture here has", async () => {
    const path = await changed("hf-vit", {
      tensors: (map) =>
        map.set("vit.embeddings.distillation_token", {
          dtype: "float32",
          shape: [1, 1, 16],
          data: new Float32Array(16),
        }),
    });
    await expect(importEncoder(path)).rejects.toThrow(
      /tensors that change what it computes .* ViT \(hf-vit\) .*: vit\.embeddings\.distillation_token/,
    );
  });

  test("a configuration that disagrees with the tensors", async () => {
    const message = (config: Record<string, unknown>, name = "hf-vit") =>
      changed(name, { config }).then((path) =>
        importEncoder(path).then(
          () => "",
          (error: Error) => error.message,
        ),
      );
    expect(await message({ hidden_size: 32 })).toMatch(
      /config\.json says "hidden_size": 32, and its tensors 16/,
    );
    expect(await message({ num_hidden_layers: 3 })).toMatch(/"num_hidden_layers": 3, and its tensors 2/);
    expect(await message({ image_size: 32 })).toMatch(/"image_size": 32, and its tensors 16/);
    expect(await message({ num_attention_heads: 5 })).toMatch(/numHeads 5 does not divide embedDim 16/);
    expect(await message({ hidden_act: "relu" })).toMatch(/activation is "relu", expected "gelu"/);
    expect(await message({ model_type: "deit" })).toMatch(/model_type "deit", expected one of: .*vit/);
    expect(await message({ num_register_tokens: 4 }, "hf-dinov2-registers")).toMatch(
      /"num_register_tokens": 4/,
    );
  });

  test("numbers that are none", async () => {
    const path = await changed("hf-vit", {
      tensors: (map) => {
        (map.get("vit.layernorm.bias")?.data as Float32Array)[3] = Number.NaN;
      },
    });
    await expect(importEncoder(path)).rejects.toThrow(/vit\.layernorm\.bias holds NaN at 3, expected finite/);
  });

  test("folders without weights, or with an index that lies", async () => {
    const empty = temporaryFolder();
    await expect(importEncoder(empty)).rejects.toThrow(
      /the folder holds no weights, expected model\.safetensors/,
    );
    await expect(importEncoder(join(empty, "absent.pth"))).rejects.toThrow(
      /absent\.pth: no such file or folder/,
    );
    const index = join(empty, "model.safetensors.index.json");
    writeFileSync(index, JSON.stringify({ weight_map: { a: "../elsewhere.safetensors" } }));
    await expect(importEncoder(empty)).rejects.toThrow(
      /"\.\.\/elsewhere\.safetensors", expected the name of a file/,
    );
    writeFileSync(index, JSON.stringify({ weight_map: { a: "model-1.safetensors" } }));
    await expect(importEncoder(empty)).rejects.toThrow(/model-1\.safetensors: the file is missing/);
  });
});

afterAll(() => stored.clear());
