/** @file `inbetween export --onnx`: which models are written, and what is refused. */

import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { inbetween, inbetweenJson, temporaryFolder, tinyRecipe } from "./helpers.js";

const folder = temporaryFolder();
const recipe = tinyRecipe(folder);

describe("export --onnx", () => {
  it("writes the models that are named, and reports their sizes", async () => {
    const out = join(folder, "encoder");
    const result = await inbetweenJson("export", "--random", recipe, "--out", out, "--onnx", "int8,fp32");
    expect(readdirSync(join(out, "onnx")).sort()).toEqual([
      "model.onnx",
      "model_int8.onnx",
      "model_quantized.onnx",
    ]);
    expect(Object.keys(result.files as object)).toContain("onnx/model_int8.onnx");
  });

  it("refuses a precision that there is not, before anything is written", async () => {
    const out = join(folder, "none");
    const { code, stderr } = await inbetween("export", "--random", recipe, "--out", out, "--onnx", "fp32,q4");
    expect(stderr).toMatch(/"q4" is none of fp32, fp16, int8; separate several by commas, or say "none"/);
    expect(code).not.toBe(0);
    expect(existsSync(out)).toBe(false);
  });
});
