/** @file Cross-attention: PyTorch's values and gradients, central differences in float64, bad input. */

import { expect, test } from "vitest";
import { grad, input, mul, slice, sum, type Tensor } from "#src/graph/index.js";
import { crossAttention, crossAttentionParameters, flattenTree, mapTree, treeLike } from "#src/nn/index.js";
import { Device, hostValue } from "#src/runtime/index.js";
import { expectParity, StoredModel } from "../models/helpers.js";
import { get } from "./helpers.js";

test("cross-attention is PyTorch's", async () => {
  const model = await StoredModel.open("cross_attention");
  const { features, heads, lengths } = model.config as { features: number; heads: number; lengths: number[] };
  const [queries] = lengths as [number];
  await expectParity(model, crossAttentionParameters(features), "tokens", (p, tokens) => {
    const output = crossAttention(p, slice(tokens, 1, 0, queries), slice(tokens, 1, queries), heads);
    return { outputs: { output }, weighed: output };
  });
});

test("gradients are central differences in float64, also with keys of another width", async () => {
  const specs = crossAttentionParameters(4, { context: 6 });
  const shapes = {
    ...Object.fromEntries(Object.entries(flattenTree(specs)).map(([name, { shape }]) => [name, shape])),
    x: [2, 3, 4],
    y: [2, 5, 6],
  } as Record<string, readonly number[]>;
  let seed = 1;
  const draw = (count: number) =>
    Float64Array.from({ length: count }, () => {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      return (2 * seed) / 2 ** 32 - 1;
    });
  const size = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
  const values = Object.fromEntries(
    Object.entries(shapes).map(([name, shape]) => [name, draw(size(shape))]),
  ) as Record<string, Float64Array>;
  const weights = draw(2 * 3 * 4);
  const types = Object.fromEntries(
    Object.entries({ ...shapes, weights: [2, 3, 4] }).map(([name, shape]) => [
      name,
      { dtype: "float64" as const, shape },
    ]),
  );
  await using device = await Device.open({ threads: 1 });
  const names = Object.keys(shapes);
  const program = await device.compile({
    name: "cross-attention",
    inputs: types,
    trace: (inputs) => {
      const output = crossAttention(treeLike(specs, inputs), inputs.x as Tensor, inputs.y as Tensor, 2);
      const loss = sum(mul(output, inputs.weights as Tensor));
      const gradients = grad(
        loss,
        names.map((name) => inputs[name] as Tensor),
      );
      return {
        outputs: {
          loss,
          ...Object.fromEntries(names.map((name, i) => [`d ${name}`, gradients[i] as Tensor])),
        },
      };
    },
  });
  const run = (changed: Record<string, Float64Array>) =>
    program.run(
      Object.fromEntries(
        Object.entries(types).map(([name, { shape }]) => [
          name,
          hostValue("float64", Float64Array.from(get({ ...changed, weights }, name)), shape),
        ]),
      ),
    );
  const gradients = await run(values);
  const step = 1e-5;
  for (const name of names) {
    const original = get(values, name);
    for (const place of [0, Math.floor(original.length / 2), original.length - 1]) {
      const [high, low] = await Promise.all(
        [step, -step].map(async (change) => {
          const moved = original.slice();
          moved[place] = (moved[place] as number) + change;
          return Number((await run({ ...values, [name]: moved })).loss?.data[0]);
        }),
      );
      const slope = ((high as number) - (low as number)) / (2 * step);
      expect(Number(get(gradients, `d ${name}`).data[place]), `${name}[${place}]`).toBeCloseTo(slope, 8);
    }
  }
});

test("tokens that do not fit are refused", () => {
  const p = mapTree(crossAttentionParameters(6), (spec, name) => input(name, spec.shape));
  const tokens = (batch: number) => input("t", [batch, 3, 6]);
  expect(crossAttention(p, tokens(2), input("y", [2, 8, 6]), 3).shape).toEqual([2, 3, 6]);
  expect(() => crossAttention(p, tokens(2), tokens(3), 3)).toThrow("of one batch");
  expect(() => crossAttention(p, tokens(2), tokens(2), 4)).toThrow("4 heads do not divide the 6 features");
});
