/** @file Projector and decoder against PyTorch: forward, every gradient; bad input. */

import { expect, test } from "vitest";
import { input } from "#src/graph/index.js";
import {
  type DecoderOptions,
  decoder,
  decoderFactors,
  decoderParameters,
  projector,
  projectorParameters,
} from "#src/models/index.js";
import { mapTree } from "#src/nn/index.js";
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
