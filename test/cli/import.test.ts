/** @file `inbetween import`: its report, the folder it writes through embed and export, and bad input. */

import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { inbetween, inbetweenJson, temporaryFolder } from "./helpers.js";

const families = resolve(import.meta.dirname, "../fixtures/weights/families");
const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);

describe("import", () => {
  it("writes an encoder that embed and export take", async () => {
    const source = join(families, "ibot.pth");
    const result = await inbetweenJson(
      "import",
      source,
      "--out",
      at("ibot"),
      "--heads",
      "4",
      "--label",
      "tiny iBOT",
    );
    expect(result).toMatchObject({
      encoder: at("ibot"),
      label: "tiny iBOT",
      family: "ibot",
      part: "teacher",
      sources: [source],
      missing: [],
      architecture: { embedDim: 16, depth: 2, numHeads: 4, imageSize: 16, patchSize: 4 },
    });
    expect(result.leftOver).toContain("ibot_loss.center");
    expect(readdirSync(at("ibot")).sort()).toEqual([
      "README.md",
      "config.json",
      "model.safetensors",
      "preprocessor_config.json",
    ]);
    const embedded = ["embed", "synthetic:4", "--encoder", at("ibot"), "--out", at("ibot.npy")];
    expect(await inbetweenJson(...embedded)).toMatchObject({ count: 4, dim: 16, features: "cls" });
    await inbetweenJson("export", "--encoder", at("ibot"), "--out", at("exported"));
    expect(existsSync(join(at("exported"), "onnx", "model.onnx"))).toBe(true);
  });

  it("says on stderr what became of the tensors", async () => {
    const { code, stdout, stderr } = await inbetween(
      "import",
      join(families, "hf-vit-mae"),
      "--out",
      at("mae"),
    );
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /mae: MAE \(hf-vit-mae\), ViT of 2 blocks, 16 features, 4 heads, patch 4 at 16 px/,
    );
    expect(stderr).toMatch(/safetensors: hf-vit-mae, encoder\n/);
    expect(stderr).toMatch(/4 heads, by config\.json\n/);
    expect(stderr).toMatch(/taken: 30 tensors, 30 of them renamed\n/);
    expect(stderr).toMatch(/left over: decoder \(\d+\)\n/);
    expect(stderr).toMatch(/missing: none\n/);
  });

  it("writes nothing when it cannot write all", async () => {
    const code = Buffer.from([0x80, 2, ...Buffer.from("cos\nsystem\n."), ...Buffer.alloc(8)]);
    writeFileSync(at("evil.pth"), code);
    const before = readdirSync(folder);
    for (const [args, message] of [
      [[at("evil.pth")], /evil\.pth: its pickle refers to "os\.system".*nothing was executed/],
      [[join(families, "dino.pth")], /the number of heads cannot be read from tensors.*--heads/],
      [[join(families, "dino.pth"), "--heads", "4", "--family", "mae"], /it looks like DINO: --family dino/],
      [[at("absent.pth")], /absent\.pth: no such file or folder/],
    ] as const) {
      const outcome = await inbetween("import", ...args, "--out", at("none"));
      expect(outcome.code).toBe(1);
      expect(outcome.stderr).toMatch(message);
      expect(outcome.stderr).not.toMatch(/\n\s+at /);
    }
    expect(readdirSync(folder)).toEqual(before);
    const taken = await inbetween("import", join(families, "hf-vit"), "--out", at("mae"));
    expect(taken.stderr).toMatch(/there is an encoder already/);
  });
});
