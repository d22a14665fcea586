/** @file Projector, DINO head and decoder against PyTorch: forward, every gradient; bad input. */

import { expect, test } from "vitest";
import { input, matmul } from "#src/graph/index.js";
import {
  type DecoderOptions,
  type DinoHeadOptions,
  decoder,
  decoderFactors,
  decoderParameters,
  dinoBottleneck,
  dinoHeadParameters,
  projector,
  projectorParameters,
  prototypes,
} from "#src/models/index.js";
import { initialize, mapTree } from "#src/nn/index.js";
import { get, largestOf } from "../nn/helpers.js";
import { expectParity, StoredModel } from "./helpers.js";

test("the projector, with the batch's statistics", async () => {
  const model = await StoredModel.open("projector");
  const specs = projectorParameters(model.config.widths as number[]);
  await expectParity(model, specs, "input", (p, x) => {
    const output = projector(p, x);
    return { outputs: { output }, weighed: output };
  });
});

test.each([4, 14, 16])("the decoder at patch %i", async (patchSize) => {
  const model = await StoredModel.open(`decoder_patch${patchSize}`);
  const { factors, rows, columns, ...options } = model.config as unknown as DecoderOptions & {
    factors: number[];
    rows: number;
    columns: number;
  };
  expect(decoderFactors(patchSize)).toEqual(factors);
  await expectParity(model, decoderParameters(options), "tokens", (p, tokens) => {
    const images = decoder(p, tokens, { rows, columns });
    return { outputs: { images }, weighed: images };
  });
});

test("a decoder brings any patch size it accepts to the image", () => {
  for (const patchSize of [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24]) {
    const specs = decoderParameters({ inputDim: 6, widths: [5, 4, 3, 2], patchSize });
    const p = mapTree(specs, (spec, name) => input(name, spec.shape));
    expect(decoder(p, input("tokens", [2, 9, 6])).shape).toEqual([2, 3, 3 * patchSize, 3 * patchSize]);
  }
});

test("bad input", () => {
  expect(() => decoderParameters({ inputDim: 6, patchSize: 32 })).toThrow(
    "cannot bring a token to 32 pixels",
  );
  expect(() => decoderParameters({ inputDim: 6, patchSize: 16, widths: [3, 2] })).toThrow(
    "expected 4 widths, got [3, 2]",
  );
  const p = mapTree(decoderParameters({ inputDim: 6, patchSize: 4 }), (spec, name) =>
    input(name, spec.shape),
  );
  expect(() => decoder(p, input("t", [2, 6, 6]))).toThrow("give the grid");
  expect(() => projectorParameters([5])).toThrow("an input and an output width, got [5]");
  const head = mapTree(projectorParameters([4, 4, 2]), (spec, name) => input(name, spec.shape));
  expect(() => projector(head, input("x", [1, 4]))).toThrow("use a larger batch");
  expect(() => projector(head, input("x", [2, 3, 4]))).toThrow("expected features [B, D]");
});

test.each(["dino_head", "dino_head_norm"])("a DINO head is PyTorch's: %s", async (name) => {
  const model = await StoredModel.open(name);
  const specs = dinoHeadParameters(model.config as unknown as DinoHeadOptions);
  await expectParity(model, specs, "input", (parameters, x) => {
    const bottleneck = dinoBottleneck(parameters, x);
    const output = matmul(bottleneck, prototypes(parameters.last_layer), { transposeB: true });
    return { outputs: { bottleneck, output }, weighed: output };
  });
});

test("a DINO head starts as the official ones: prototypes of length 1, biases zero, PyTorch's last layer", () => {
  const values = initialize(
    dinoHeadParameters({ inputDim: 32, hiddenDim: 64, bottleneckDim: 16, outputDim: 96 }),
    1,
  );
  expect(get(values, "last_layer.weight_g").data.every((length) => length === 1)).toBe(true);
  expect(get(values, "mlp.2.bias").data.every((bias) => bias === 0)).toBe(true);
  expect(largestOf(get(values, "mlp.0.weight").data)).toBeLessThan(0.02 * 6);
  // Uniform within 1 / sqrt(16).
  expect(largestOf(get(values, "last_layer.weight_v").data)).toBeLessThanOrEqual(0.25);
  expect(largestOf(get(values, "last_layer.weight_v").data)).toBeGreaterThan(0.24);
  expect(() => dinoHeadParameters({ inputDim: 8, outputDim: 8, layers: 1 })).toThrow(
    /at least 2 layers .* got 1/,
  );
});
