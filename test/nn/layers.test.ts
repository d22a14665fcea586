/** @file Layers against stored values of PyTorch and, in float64, against central differences. */

import fc from "fast-check";
import { expect, test } from "vitest";
import { grad, input, mul, reshape, sum, type Tensor } from "#src/graph/index.js";
import {
  attention,
  batchNorm,
  conv2d,
  convTranspose2d,
  drawDropPath,
  dropPath,
  dropPathRates,
  layerNorm,
  layerScale,
  linear,
  mlp,
  patchEmbedding,
  swiglu,
  swigluHidden,
} from "#src/nn/index.js";
import { randomStream } from "#src/random.js";
import { Device, type HostValue, hostValue } from "#src/runtime/index.js";
import { evaluate, expectCase, fixture, get, type Traced } from "./helpers.js";

/** Parameters of a layer from inputs named as the layer's leaves. */
const affine = (t: Traced) => ({ weight: get(t, "weight"), bias: get(t, "bias") });
const pair = (t: Traced, name: string) => ({
  weight: get(t, `${name}.weight`),
  bias: get(t, `${name}.bias`),
});

const layers: Readonly<Record<string, (t: Traced) => Tensor>> = {
  linear: (t) => linear(affine(t), get(t, "x")),
  layerNorm: (t) => layerNorm(affine(t), get(t, "x"), 1e-6),
  batchNorm: (t) => batchNorm(affine(t), get(t, "x")),
  batchNorm4d: (t) => batchNorm(affine(t), get(t, "x")),
  batchNormPlain: (t) => batchNorm(undefined, get(t, "x")),
  attention: (t) => {
    const rows = reshape(get(t, "x"), [10, 8]);
    return reshape(attention({ qkv: pair(t, "qkv"), proj: pair(t, "proj") }, rows, 5, 2), [2, 5, 8]);
  },
  mlp: (t) => mlp({ fc1: pair(t, "fc1"), fc2: pair(t, "fc2") }, get(t, "x")),
  swiglu: (t) => swiglu({ fc1: pair(t, "fc1"), fc2: pair(t, "fc2") }, get(t, "x")),
  patchEmbedding: (t) => patchEmbedding({ proj: affine(t) }, get(t, "x")),
  conv2d: (t) => conv2d(affine(t), get(t, "x"), { padding: 1 }),
  convTranspose2d: (t) => convTranspose2d(affine(t), get(t, "x"), { stride: 2, padding: 1 }),
};

test.each(Object.keys(fixture.layers))("%s agrees with PyTorch", async (name) => {
  await expectCase(get(fixture.layers, name), get(layers, name));
});

/**
 * The layers composed of operators that have float64 kernels, over random sizes: the shapes of the inputs and the
 * layer. (The MLP's GELU and the convolutions have none; layer normalisation is one operator, checked as such.)
 */
const checked: Readonly<
  Record<
    string,
    (size: (low: number, high: number) => number) => [Record<string, number[]>, (t: Traced) => Tensor]
  >
> = {
  linear: (size) => {
    const [batch, features, outputs] = [size(1, 3), size(1, 4), size(1, 3)];
    const shapes = { x: [batch, 2, features], weight: [outputs, features], bias: [outputs] };
    return [shapes, (t) => linear(affine(t), get(t, "x"))];
  },
  batchNorm: (size) => {
    const channels = size(1, 3);
    return [{ x: [size(3, 5), channels], weight: [channels], bias: [channels] }, get(layers, "batchNorm")];
  },
  attention: (size) => {
    const [batch, tokens, heads] = [size(1, 2), size(1, 3), size(1, 2)];
    const features = heads * size(1, 2);
    const shapes = { "qkv.weight": [3 * features, features], "qkv.bias": [3 * features] };
    return [
      {
        x: [batch * tokens, features],
        ...shapes,
        "proj.weight": [features, features],
        "proj.bias": [features],
      },
      (t) => attention({ qkv: pair(t, "qkv"), proj: pair(t, "proj") }, get(t, "x"), tokens, heads),
    ];
  },
  swiglu: (size) => {
    const [features, hidden] = [size(1, 3), size(1, 3)];
    const fc1 = { "fc1.weight": [2 * hidden, features], "fc1.bias": [2 * hidden] };
    const fc2 = { "fc2.weight": [features, hidden], "fc2.bias": [features] };
    return [{ x: [size(1, 3), features], ...fc1, ...fc2 }, get(layers, "swiglu")];
  },
  layerScale: (size) => {
    const features = size(1, 4);
    return [
      { x: [size(1, 3), features], gamma: [features] },
      (t) => layerScale({ gamma: get(t, "gamma") }, get(t, "x")),
    ];
  },
  dropPath: (size) => {
    const [batch, tokens] = [size(1, 3), size(1, 3)];
    return [{ x: [batch * tokens, 2], factor: [batch] }, (t) => dropPath(get(t, "x"), get(t, "factor"))];
  },
  patchEmbedding: (size) => {
    const [channels, patch, features] = [size(1, 2), size(1, 2), size(1, 3)];
    const x = [size(1, 2), channels, patch * size(1, 2), patch * size(1, 2)];
    return [
      { x, weight: [features, channels, patch, patch], bias: [features] },
      get(layers, "patchEmbedding"),
    ];
  },
};

test.each(Object.keys(checked))("the gradients of %s are its central differences (float64)", async (name) => {
  await using device = await Device.open({ threads: 1 });
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 2 ** 31 }), async (seed) => {
      const random = randomStream(seed, name);
      const [shapes, layer] = get(checked, name)((low, high) => low + random.integer(high - low + 1));
      const names = Object.keys(shapes);
      const types = Object.fromEntries(
        names.map((key) => [key, { dtype: "float64", shape: get(shapes, key) } as const]),
      );
      const draw = (shape: readonly number[]): HostValue<"float64"> => {
        const length = shape.reduce((a, b) => a * b, 1);
        return hostValue(
          "float64",
          Float64Array.from({ length }, () => random.normal()),
          shape,
        );
      };
      const feeds = Object.fromEntries(names.map((key) => [key, draw(get(shapes, key))]));
      // A random weight for each output makes a scalar that depends on all of them.
      const weights = draw(
        layer(Object.fromEntries(names.map((key) => [key, input(key, get(shapes, key), "float64")]))).shape,
      );
      const all = { ...feeds, weights };
      // The runtime's own fusions know float32 only.
      const asWritten = { optimize: false };
      const loss = await device.compile(
        {
          name: "loss",
          inputs: { ...types, weights },
          trace: (t) => ({ outputs: { loss: sum(mul(layer(t), get(t, "weights"))) } }),
        },
        asWritten,
      );
      const gradient = await device.compile(
        {
          name: "gradient",
          inputs: { ...types, weights },
          trace: (t) => {
            const found = grad(
              sum(mul(layer(t), get(t, "weights"))),
              names.map((key) => get(t, key)),
            );
            return { outputs: Object.fromEntries(names.map((key, i) => [`d ${key}`, found[i] as Tensor])) };
          },
        },
        asWritten,
      );
      const exact = await gradient.run(all);
      for (const key of names) {
        const { shape, data } = get(feeds, key);
        for (let i = 0; i < data.length; i++) {
          const at = async (offset: number) => {
            const moved = data.slice();
            moved[i] = (moved[i] as number) + offset;
            const result = await loss.run({ ...all, [key]: hostValue("float64", moved, shape) });
            return Number(result.loss?.data[0]);
          };
          const step = 1e-5;
          const difference = ((await at(step)) - (await at(-step))) / (2 * step);
          expect(Number(exact[`d ${key}`]?.data[i]), `${key}[${i}]`).toBeCloseTo(difference, 5);
        }
      }
    }),
    { numRuns: 4 },
  );
});

test("drop path: rates grow linearly, a draw keeps the expectation, a dropped branch is zero", async () => {
  expect(dropPathRates(0.3, 4)).toEqual([0, 0.09999999999999999, 0.19999999999999998, 0.3]);
  expect(dropPathRates(0.3, 3, "uniform")).toEqual([0.3, 0.3, 0.3]);
  expect(() => dropPathRates(1, 4)).toThrow("must be in [0, 1), got 1");
  const draws = Array.from({ length: 4000 }, (_, i) => drawDropPath([0, 0.25], randomStream(1, "drop", i)));
  expect(draws.every(([a, b]) => a === 1 && b === 1)).toBe(true);
  const third = draws.map((draw) => draw[2] as number);
  expect(new Set(third)).toEqual(new Set([0, 1 / 0.75]));
  expect(third.reduce((a, b) => a + b) / third.length).toBeCloseTo(1, 1);
  const x = hostValue("float32", Float32Array.of(1, 2, 3, 4), [4, 1]);
  const factor = hostValue("float32", Float32Array.of(0, 2), [2]);
  const { y } = await evaluate({ x, factor }, (t) => ({ y: dropPath(get(t, "x"), get(t, "factor")) }));
  expect(y?.data).toEqual(Float32Array.of(0, 0, 6, 8));
});

test("SwiGLU's hidden widths are DINOv2's", () => {
  expect(swigluHidden(4 * 1536)).toBe(4096);
  expect(swigluHidden(4 * 1024)).toBe(2736);
});

test("operands that do not fit are named", () => {
  const weight = input("w", [4, 6]);
  expect(() => linear({ weight }, input("x", [2, 5]))).toThrow("takes 6 features, got float32[2, 5]");
  expect(() => batchNorm(undefined, input("x", [1, 5]))).toThrow("use a larger batch");
  const proj = { weight: input("p", [4, 3, 16, 16]) };
  expect(() => patchEmbedding({ proj }, input("x", [1, 3, 100, 224]))).toThrow(
    "an image of 100x224 does not divide into patches of 16x16; resize it to multiples of 16, e.g. 96x224",
  );
  const qkv = { weight: input("q", [24, 8]) };
  expect(() => attention({ qkv, proj: { weight } }, input("x", [10, 8]), 5, 3)).toThrow(
    "3 heads do not divide the 8",
  );
});
