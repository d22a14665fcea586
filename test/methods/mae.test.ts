/** @file MAE: a whole step against PyTorch (and, through its script, transformers), options, refusals, pictures. */

import { describe, expect, test } from "vitest";
import { constant, grad, input, reshape, type Tensor } from "#src/graph/index.js";
import { type MaeOptions, mae, maeEncoder, maeOptions } from "#src/methods/index.js";
import { imagesOfPatches, maeDecoder, patchTargets } from "#src/models/index.js";
import { mapTree } from "#src/nn/index.js";
import { randomStream } from "#src/random.js";
import { hostValue } from "#src/runtime/index.js";
import { parameterSpecs } from "#src/training/index.js";
import { StoredModel } from "../models/helpers.js";
import { evaluate, expectClose, get, relativeError } from "../nn/helpers.js";
import { IMAGE_SIZE, noise, plainViews, smallEncoder, someParameters, traceStages } from "./helpers.js";

const stored = await StoredModel.open("mae", "methods");
const { depth, decoderDim, decoderDepth, decoderHeads } = stored.config as Record<string, number>;

function method(options: Partial<MaeOptions> = {}, encoder = smallEncoder({ ...maeEncoder, depth })) {
  const complete = maeOptions.parse({ decoderDim, decoderDepth, decoderHeads, ...options });
  return mae(encoder, plainViews, complete);
}

test("a whole step is PyTorch's: the loss and every gradient", async () => {
  const tested = method();
  const parameters = stored.under("parameters.");
  const names = Object.keys(parameterSpecs(tested));
  expect([...names].sort()).toEqual(Object.keys(parameters).sort());
  const feeds = { ...parameters, v1: stored.get("v1"), kept: stored.get("kept") };
  const results = await evaluate(feeds, (inputs) => {
    const { encoded, losses } = traceStages(tested, inputs, { mask: { kept: inputs.kept as Tensor } });
    const loss = losses.reconstruction?.value as Tensor;
    const gradients = grad(
      loss,
      names.map((name) => get(inputs, name)),
    );
    return {
      loss,
      cls: encoded.features.pooled as Tensor,
      ...Object.fromEntries(names.map((name, i) => [`gradients.${name}`, gradients[i] as Tensor])),
    };
  });
  expectClose(results.loss, stored.stored("loss"), 1e-5, "loss");
  expectClose(results.cls, stored.stored("cls"), 1e-5, "class token");
  for (const name of names) {
    expectClose(results[`gradients.${name}`], stored.stored(`gradients.${name}`), 1e-4, name);
  }
});

test("targets may be pixels as they are", async () => {
  const tested = method({ normalizeTargets: false });
  const feeds = { ...stored.under("parameters."), v1: stored.get("v1"), kept: stored.get("kept") };
  const results = await evaluate(feeds, (inputs) => ({
    loss: traceStages(tested, inputs, { mask: { kept: inputs.kept as Tensor } }).losses.reconstruction
      ?.value as Tensor,
  }));
  expectClose(results.loss, stored.stored("plainLoss"), 1e-5, "loss");
});

test("masks leave a quarter of the patches, another draw for each sample", () => {
  const draw = get(method().draws, "mask");
  if ("types" in draw) throw new Error("drawn per sample");
  expect(draw.parameters).toEqual({ kept: [4] });
  const [a, b] = [0, 1].map((sample) => draw.draw(randomStream(1, "mask", sample)).kept ?? []);
  expect(new Set(a).size).toBe(4);
  expect(a).not.toEqual(b);
});

test("the evaluated feature is the class token, or the mean", () => {
  expect(method().evaluated).toEqual({ weights: "student", feature: "cls" });
  expect(method({ pool: "mean" }).evaluated).toEqual({ weights: "student", feature: "mean" });
});

test("pictures: hidden patches are grey in one and predicted in the other, visible ones are the image's", async () => {
  const tested = method({ normalizeTargets: false });
  const shape = [2, 3, IMAGE_SIZE, IMAGE_SIZE];
  const kept = [0, 5, 10, 15, 1, 2, 3, 4];
  const results = await evaluate({ ...someParameters(tested), v1: noise(shape) }, (inputs) => {
    const { encoded } = traceStages(tested, inputs, { mask: { kept: constant(kept, [2, 4]) } });
    return encoded.pictures as Record<string, Tensor>;
  });
  const pixel = (name: string, sample: number, patch: number) => {
    const [y, x] = [4 * Math.floor(patch / 4), 4 * (patch % 4)];
    return Number(get(results, name).data[(sample * 3 * IMAGE_SIZE + y) * IMAGE_SIZE + x]);
  };
  for (const [sample, seen] of [kept.slice(0, 4), kept.slice(4)].entries()) {
    for (let patch = 0; patch < 16; patch++) {
      const expected = seen.includes(patch) ? pixel("image", sample, patch) : 0.485;
      expect(pixel("visible", sample, patch)).toBeCloseTo(expected, 5);
      const isSame = Math.abs(pixel("reconstruction", sample, patch) - pixel("image", sample, patch)) < 1e-5;
      expect(isSame).toBe(seen.includes(patch));
    }
  }
});

test("patches and images are inverse; a patch's values stand by row, column, channel", async () => {
  const images = hostValue(
    "float32",
    Float32Array.from({ length: 2 * 3 * 64 }, (_, i) => i),
    [2, 3, 8, 8],
  );
  const results = await evaluate({ images }, ({ images: x }) => {
    const { targets } = patchTargets(x as Tensor, 4, false);
    return { targets, back: imagesOfPatches(reshape(targets, [2, 4, 48]), 4) };
  });
  expect([...(get(results, "targets").data as Float32Array).slice(0, 6)]).toEqual([0, 64, 128, 1, 65, 129]);
  expect(relativeError(get(results, "back").data as Float32Array, images.data)).toBe(0);
});

describe("bad input is refused with the fix", () => {
  test.each([
    [
      { maskRatio: 0.99 },
      {},
      /a "maskRatio" of 0.99 leaves 0 of 16 patches visible; use one between 0.063 and 0.938/,
    ],
    [
      { decoderHeads: 5 },
      {},
      /the decoder: 5 heads do not divide its width 12; use a width that is a multiple of 5/,
    ],
    [
      { decoderDim: 6 },
      {},
      /the decoder: its sine-cosine positions need a width that is a multiple of 4, got 6/,
    ],
    [{}, { classToken: false }, /MAE: the decoder takes the class token along/],
    [{}, { registers: 4 }, /MAE: its decoder has no place for registers/],
    [{}, { dropPath: 0.1 }, /leave out "encoder.dropPath"/],
  ])("%j %j", (options, encoder, message) => {
    expect(() => method(options, smallEncoder({ ...maeEncoder, ...encoder }))).toThrow(message);
  });

  test("a ratio outside (0, 1)", () => {
    for (const maskRatio of [0, 1, -0.5, 75]) expect(() => maeOptions.parse({ maskRatio })).toThrow();
  });

  test("tokens and places that do not fit", () => {
    const tested = method();
    const p = mapTree(parameterTree(tested), (spec, name) => input(name, spec.shape));
    const config = { embedDim: 12, depth: 2, numHeads: 3, epsilon: 1e-6, initialization: "mae" } as const;
    const fed = { encoded: input("z", [2, 5, 16]), kept: input("kept", [2, 5], "int64") };
    expect(() => maeDecoder(p, smallEncoder(maeEncoder), config, fed)).toThrow(/a class token and 4 patches/);
  });
});

function parameterTree(tested: ReturnType<typeof method>) {
  return tested.parameters.decoder;
}
