/** @file Vision transformers against timm: forward, every gradient, parameter counts; options and bad input. */

import { describe, expect, test } from "vitest";
import { add, constant, greaterEqual, input, reshape, slice, type Tensor, where } from "#src/graph/index.js";
import {
  type VisionTransformer,
  type VisionTransformerConfig,
  type VisionTransformerOptions,
  visionTransformer,
  visionTransformerConfig,
  visionTransformerParameters,
} from "#src/models/index.js";
import {
  flattenTree,
  initialize,
  interpolatePositions,
  mapTree,
  parameterCount,
  positionInterpolations,
  treeLike,
} from "#src/nn/index.js";
import { type HostValue, hostValue } from "#src/runtime/index.js";
import { evaluate, expectClose, get, readFixture, relativeError } from "../nn/helpers.js";
import { expectParity, StoredModel } from "./helpers.js";

describe("against timm, the same weights", () => {
  test("a plain ViT", async () => {
    const model = await StoredModel.open("vit");
    const config = visionTransformerConfig(model.config as unknown as VisionTransformerOptions);
    await expectParity(model, visionTransformerParameters(config), "images", (p, images) => {
      const { cls, patches, all } = visionTransformer(p, config, images);
      return { outputs: { cls: cls as Tensor, patches }, weighed: all };
    });
  });

  test("a subset of patches, of each image another number: exactly as if the others and the filling were not there", async () => {
    const model = await StoredModel.open("vit_kept");
    const { kept, ...stored } = model.config as { readonly kept: readonly (readonly number[])[] };
    const config = visionTransformerConfig(stored as unknown as VisionTransformerOptions);
    const shape = [2, 6];
    await expectParity(model, visionTransformerParameters(config), "images", (p, images) => {
      const indices = constant(
        kept.flat().map((patch) => Math.max(patch, 0)),
        shape,
        "int64",
      );
      const padding = constant(
        kept.flat().map((patch) => Number(patch < 0)),
        shape,
        "bool",
      );
      const { all } = visionTransformer(p, config, images, { kept: { indices, padding } });
      // What comes out at the filling means nothing.
      const isToken = constant([0, ...(kept[0] ?? []), 0, ...(kept[1] ?? [])], [2, 7, 1]);
      return { outputs: { tokens: where(greaterEqual(isToken, 0), all, 0) }, weighed: all };
    });
  });

  test("LayerScale, SwiGLU and registers; the class token without a position", async () => {
    const model = await StoredModel.open("vit_registers");
    const { swigluHidden, ...stored } = model.config;
    const config = visionTransformerConfig({
      ...stored,
      classPosition: false,
    } as unknown as VisionTransformerOptions);
    const specs = visionTransformerParameters(config);
    expect(specs.blocks[0]?.mlp.fc2.weight.shape[1]).toBe(swigluHidden);
    await expectParity(model, specs, "images", (p, images) => {
      const { cls, patches, all } = visionTransformer(p, config, images);
      const registers = slice(all, 1, 1, 1 + config.registers);
      return { outputs: { cls: cls as Tensor, patches, registers }, weighed: all };
    });
  });

  test("the same with a position for the class token, as DINOv2's own weights have it", async () => {
    const model = await StoredModel.open("vit_registers");
    const { swigluHidden: _, ...stored } = model.config;
    const config = visionTransformerConfig(stored as unknown as VisionTransformerOptions);
    const weights = { ...model.under("parameters."), ...model.under("official.") };
    const results = await run(config, weights, { images: model.get("images") }, (p, { images }) => {
      const { cls, patches } = visionTransformer(p, config, images as Tensor);
      return { cls: cls as Tensor, patches };
    });
    expectClose(results.cls, model.stored("cls"), 1e-5, "cls");
    expectClose(results.patches, model.stored("patches"), 1e-5, "patches");
  });
});

describe("parameter counts", () => {
  const count = (options: VisionTransformerOptions) =>
    parameterCount(visionTransformerParameters(visionTransformerConfig(options)));

  test("of the published models", () => {
    expect(count({ preset: "small", patchSize: 16, imageSize: 224 })).toBe(21_665_664);
    expect(count({ preset: "large", patchSize: 16, imageSize: 224 })).toBe(303_301_632);
    expect(count({ preset: "small", patchSize: 14, imageSize: 518, maskToken: true, layerScale: 1e-5 })).toBe(
      22_056_576,
    );
  });

  test("of every size and patch, as timm has them", () => {
    const presets = { Ti: "tiny", S: "small", B: "base", L: "large", H: "huge", g: "giant" } as const;
    interface Row {
      readonly size: keyof typeof presets;
      readonly patchSize: number;
      readonly imageSize: number;
      readonly layerScale: boolean;
      readonly registers: number;
      readonly swiglu: boolean;
      readonly parameters: number;
    }
    const { counts } = readFixture<{ counts: Row[] }>("models/parameter_counts.json");
    for (const { size, patchSize, imageSize, layerScale, registers, swiglu, parameters } of counts) {
      const options = { preset: presets[size], patchSize, imageSize, registers, swiglu };
      expect(count({ ...options, layerScale: layerScale ? 1e-5 : undefined }), `${size}/${patchSize}`).toBe(
        parameters,
      );
    }
  });
});

/** A small architecture: 2x2 patches at its own image size. */
const small = { imageSize: 8, patchSize: 4, embedDim: 8, depth: 2, numHeads: 2 } as const;

function images(batch: number, height = 8, width = 8): HostValue<"float32"> {
  const data = Float32Array.from({ length: batch * 3 * height * width }, (_, i) => Math.sin(1.7 * i));
  return hostValue("float32", data, [batch, 3, height, width]);
}

/** Runs a model on weights by name. */
async function run(
  config: VisionTransformerConfig,
  weights: Readonly<Record<string, HostValue>>,
  feeds: Readonly<Record<string, HostValue>>,
  trace: (
    p: VisionTransformer<Tensor>,
    inputs: Readonly<Record<string, Tensor>>,
  ) => Readonly<Record<string, Tensor>>,
) {
  const specs = visionTransformerParameters(config);
  return evaluate({ ...weights, ...feeds }, (inputs) => trace(treeLike(specs, inputs), inputs));
}

/** Weights larger than the usual start, so that every part of the model matters. */
function weightsOf(config: VisionTransformerConfig): Record<string, HostValue<"float32">> {
  return Object.fromEntries(
    Object.entries(initialize(visionTransformerParameters(config), 5)).map(([name, { shape, data }]) => {
      const isScale = name.endsWith("norm.weight") || name.endsWith("gamma");
      return [name, hostValue("float32", isScale ? data : data.map((v) => 10 * v), shape)];
    }),
  );
}

function distance(a: HostValue | undefined, b: HostValue | undefined): number {
  return relativeError(a?.data as ArrayLike<number>, b?.data as ArrayLike<number>);
}

describe("options", () => {
  test("without a class token there is none, and no row for it", async () => {
    const config = visionTransformerConfig({ ...small, classToken: false });
    const specs = visionTransformerParameters(config);
    expect(specs.pos_embed?.shape).toEqual([1, 4, 8]);
    expect(Object.keys(flattenTree(specs))).not.toContain("cls_token");
    const { cls, patches } = visionTransformer(
      mapTree(specs, (spec, name) => input(name, spec.shape)),
      config,
      input("images", [2, 3, 8, 8]),
    );
    expect(cls).toBeUndefined();
    expect(patches.shape).toEqual([2, 4, 8]);
  });

  test("another image size interpolates the positions and nothing else", async () => {
    const config = visionTransformerConfig({ ...small, interpolation: positionInterpolations.transformers });
    const larger = visionTransformerConfig({ ...small, imageSize: 12 });
    const weights = weightsOf(config);
    // The same table, resized beforehand, in a model of that size.
    const { resized } = await evaluate({ table: get(weights, "pos_embed") }, ({ table }) => {
      const rows = slice(table as Tensor, 1, 1);
      const grid = { rows: 2, columns: 2 };
      const target = { rows: 3, columns: 3 };
      const flat = interpolatePositions(
        reshape(rows, [4, 8]),
        grid,
        target,
        positionInterpolations.transformers,
      );
      return { resized: flat };
    });
    const first = (get(weights, "pos_embed").data as Float32Array).subarray(0, 8);
    const joined = Float32Array.from([...first, ...(resized as HostValue<"float32">).data]);
    const feeds = { images: images(2, 12, 12) };
    const ours = await run(config, weights, feeds, (p, { images: x }) => ({
      patches: visionTransformer(p, config, x as Tensor).patches,
    }));
    const expected = await run(
      larger,
      { ...weights, pos_embed: hostValue("float32", joined, [1, 10, 8]) },
      feeds,
      (p, { images: x }) => ({ patches: visionTransformer(p, larger, x as Tensor).patches }),
    );
    expect(distance(ours.patches, expected.patches)).toBeLessThan(1e-5);
  });

  test("fixed positions are no parameters, and their order matters", async () => {
    const patches = async (positions: "columnFirst" | "rowFirst") => {
      const config = visionTransformerConfig({ ...small, positions });
      const weights = weightsOf(config);
      expect(Object.keys(weights)).not.toContain("pos_embed");
      return run(config, weights, { images: images(1) }, (p, { images: x }) => ({
        patches: visionTransformer(p, config, x as Tensor).patches,
      }));
    };
    expect(
      distance((await patches("columnFirst")).patches, (await patches("rowFirst")).patches),
    ).toBeGreaterThan(0.01);
  });

  test("a masked patch shows the token alone: its pixels do not matter, those of others do", async () => {
    const config = visionTransformerConfig({ ...small, maskToken: true, initialization: "mae" });
    const weights = weightsOf(config);
    const mask = hostValue("bool", Uint8Array.of(1, 0, 0, 0), [1, 4]);
    const forward = (pixels: HostValue) =>
      run(config, weights, { images: pixels, mask }, (p, { images: x, mask: hidden }) => ({
        patches: visionTransformer(p, config, x as Tensor, {
          maskedTokens: { mask: hidden as Tensor, token: p.mask_token as Tensor },
        }).patches,
      }));
    const changed = (at: number): HostValue<"float32"> => {
      const { data, shape } = images(1);
      const copy = data.slice();
      copy[at] = 5;
      return hostValue("float32", copy, shape);
    };
    const plain = (await forward(images(1))).patches;
    expect(distance((await forward(changed(0))).patches, plain)).toBe(0);
    expect(distance((await forward(changed(7))).patches, plain)).toBeGreaterThan(1e-3);
  });

  test("drop path: factors of one change nothing, zeros leave the embedding", async () => {
    const config = visionTransformerConfig({ ...small, dropPath: 0.5, dropPathGrowth: "uniform" });
    const weights = weightsOf(config);
    const factors = hostValue("float32", Float32Array.of(1, 1, 1, 1, 0, 0, 0, 0), [2, 4]);
    const results = await run(
      config,
      weights,
      { images: images(2), factors },
      (p, { images: x, factors: f }) => {
        const dropped = visionTransformer(p, config, x as Tensor, { dropPath: f as Tensor });
        const kept = visionTransformer(p, config, x as Tensor);
        const none = visionTransformer({ ...p, blocks: [] }, config, x as Tensor);
        const sample = (t: Tensor, i: number) => slice(t, 0, i, i + 1);
        return {
          first: sample(dropped.patches, 0),
          second: sample(dropped.patches, 1),
          firstKept: sample(kept.patches, 0),
          secondEmpty: sample(none.patches, 1),
          secondKept: sample(kept.patches, 1),
        };
      },
    );
    expect(distance(results.first, results.firstKept)).toBeLessThan(1e-6);
    expect(distance(results.second, results.secondEmpty)).toBeLessThan(1e-6);
    expect(distance(results.second, results.secondKept)).toBeGreaterThan(0.01);
  });

  test("layers: the last is the output, with the final norm; earlier ones are what fewer blocks give", async () => {
    const config = visionTransformerConfig(small);
    const results = await run(config, weightsOf(config), { images: images(1) }, (p, { images: x }) => {
      const { patches, layers } = visionTransformer(p, config, x as Tensor, { returnLayers: [-1, 0] });
      const shallow = visionTransformer({ ...p, blocks: p.blocks.slice(0, 1) }, config, x as Tensor);
      const raw = visionTransformer(p, config, x as Tensor, { returnLayers: [0], normalizeLayers: false });
      return {
        patches: add(patches, 0),
        last: layers[0]?.patches as Tensor,
        first: layers[1]?.patches as Tensor,
        shallow: shallow.patches,
        raw: raw.layers[0]?.patches as Tensor,
      };
    });
    expect(distance(results.last, results.patches)).toBe(0);
    expect(distance(results.first, results.shallow)).toBeLessThan(1e-6);
    expect(distance(results.raw, results.first)).toBeGreaterThan(0.01);
  });

  test("each initialisation starts as its code does", () => {
    const largest = (initialization: VisionTransformerConfig["initialization"], name: string) => {
      const config = visionTransformerConfig({ ...small, embedDim: 64, initialization });
      const { data } = get(initialize(visionTransformerParameters(config), 0), name);
      return data.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
    };
    expect(largest("dino", "cls_token")).toBeGreaterThan(1e-2);
    expect(largest("dinov2", "cls_token")).toBeLessThan(1e-5);
    expect(largest("mocov3", "blocks.0.attn.qkv.weight")).toBeCloseTo(Math.sqrt(6 / 128), 3);
    expect(largest("mae", "blocks.0.attn.qkv.weight")).toBeCloseTo(Math.sqrt(6 / 256), 3);
    expect(largest("mocov3", "patch_embed.proj.bias")).toBe(0);
    expect(largest("mae", "patch_embed.proj.bias")).toBeGreaterThan(0);
    expect(largest("dino", "blocks.1.mlp.fc1.bias")).toBe(0);
  });
});

describe("bad input", () => {
  const make = (options: Partial<VisionTransformerOptions>) => () =>
    visionTransformerConfig({ preset: "small", patchSize: 16, imageSize: 224, ...options });

  test("of the architecture", () => {
    expect(make({ imageSize: 225 })).toThrow(
      "imageSize 225 is not a multiple of patchSize 16; use imageSize 224",
    );
    expect(make({ numHeads: 7 })).toThrow("numHeads 7 does not divide embedDim 384; use for example 6 heads");
    expect(make({ preset: undefined })).toThrow(
      "embedDim must be a whole number above 0, got undefined; name a preset",
    );
    expect(make({ depth: 0 })).toThrow("depth must be a whole number above 0, got 0");
    expect(make({ embedDim: 6, numHeads: 6, positions: "rowFirst" })).toThrow("a multiple of 4, got 6");
    expect(make({ dropPath: 1 })).toThrow("dropPath must be in [0, 1), got 1");
    expect(make({ mlpRatio: 0 })).toThrow("mlpRatio must be above 0, got 0");
  });

  test.each(["depth", "embedDim", "numHeads", "patchSize", "imageSize", "channels", "registers", "mlpRatio"])(
    "of an architecture whose %s no machine could hold",
    (key) => {
      expect(make({ [key]: 1e9 })).toThrow(
        new RegExp(`^vision transformer: ${key} is 1000000000, expected at most \\d+$`),
      );
    },
  );

  test("is not what a model far larger than any is taken for", () => {
    expect(make({ preset: "giant", patchSize: 14 })).not.toThrow();
    expect(
      make({ depth: 1000, embedDim: 32_768, numHeads: 256, imageSize: 8192, mlpRatio: 8 }),
    ).not.toThrow();
  });

  test("of the forward pass", () => {
    const config = visionTransformerConfig(small);
    const p = mapTree(visionTransformerParameters(config), (spec, name) => input(name, spec.shape));
    const forward = (size: number, options = {}) =>
      visionTransformer(p, config, input("x", [2, 3, size, size]), options);
    expect(() => forward(10)).toThrow("an image of 10x10 does not divide into patches of 4x4");
    expect(() => forward(8, { returnLayers: [2] })).toThrow("there is no block 2 among 2");
    expect(() => forward(8, { dropPath: input("f", [2, 2]) })).toThrow("drop path takes factors [2, 4]");
    const maskedTokens = { mask: input("m", [2, 4]), token: input("t", [1, 8]) };
    expect(() => forward(8, { maskedTokens })).toThrow("the mask must be bool");
  });
});
