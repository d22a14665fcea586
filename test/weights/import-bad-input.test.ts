/** @file Weights that cannot be imported: named errors. */

import { copyFileSync, cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type HostTensor, importEncoder, openSafetensors, writeSafetensors } from "#src/weights/index.js";
import { fixtures, temporaryFolder } from "./helpers.js";

const folder = join(fixtures, "families");
const heads = { numHeads: 4 };

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
    expect(encoder).toEqual({
      ...(await importEncoder(join(folder, "hf-vit"))).encoder,
      label: encoder.label,
    });
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
