/** @file VICReg: its terms against PyTorch, and what its options change. */

import { expect, test } from "vitest";
import { add, constant, grad, mul, type Tensor } from "#src/graph/index.js";
import {
  type RandomDraw,
  type VicregOptions,
  vicreg,
  vicregOptions,
  vicregTerms,
} from "#src/methods/index.js";
import { visionTransformer } from "#src/models/index.js";
import { treeLike } from "#src/nn/index.js";
import { randomStream } from "#src/random.js";
import { parameterSpecs } from "#src/training/index.js";
import { normalize } from "#src/transforms/index.js";
import { StoredModel } from "../models/helpers.js";
import { evaluate, expectClose, get, relativeError } from "../nn/helpers.js";
import { IMAGE_SIZE, noise, plainViews, smallEncoder, someParameters, traceStages } from "./helpers.js";

const stored = await StoredModel.open("vicreg", "methods");

test.each(stored.config.cases as string[])(
  "the terms and their gradients are PyTorch's: %s",
  async (name) => {
    const values = stored.under(`${name}.`);
    const weights = stored.config.coefficients as Record<string, number>;
    const results = await evaluate({ x: get(values, "x"), y: get(values, "y") }, ({ x, y }) => {
      const terms = vicregTerms(x as Tensor, y as Tensor);
      const total = Object.entries(terms)
        .map(([term, value]: [string, Tensor]) => mul(value, get(weights, term)))
        .reduce((a, b) => add(a, b));
      const all: Record<string, Tensor> = { ...terms, total };
      const outputs = Object.entries(all).flatMap(([term, value]) => {
        const [dx, dy] = grad(value, [x as Tensor, y as Tensor]) as [Tensor, Tensor];
        return [
          [term, value],
          [`${term}.xGradient`, dx],
          [`${term}.yGradient`, dy],
        ];
      });
      return Object.fromEntries(outputs) as Record<string, Tensor>;
    });
    expect(Object.keys(results)).toHaveLength(12);
    for (const [key, value] of Object.entries(results)) {
      expectClose(value, stored.stored(`${name}.${key}`), key.endsWith("Gradient") ? 1e-4 : 1e-5, key);
    }
  },
);

function small(options: Partial<VicregOptions> = {}, reserved = 0) {
  const complete = vicregOptions.parse({ width: 16, expander: [16, 16], ...options });
  return vicreg(smallEncoder(), plainViews, complete, reserved);
}

test("the head is a linear layer on patches, or the encoder itself; the expander narrows with what is reserved", () => {
  const shapes = (method: ReturnType<typeof small>) =>
    Object.fromEntries(
      Object.entries(parameterSpecs(method))
        .filter(([name]) => !name.startsWith("encoder."))
        .map(([name, { shape }]) => [name, shape.join("x")]),
    );
  expect(shapes(small({ width: 32 }))).toMatchObject({
    "head.weight": "32x16",
    "expander.hidden.0.linear.weight": "16x32",
    "expander.last.weight": "16x16",
  });
  const narrow = shapes(small({ width: 32 }, 8));
  expect(narrow).toMatchObject({
    "head.weight": "32x16",
    "expander.hidden.0.linear.weight": "12x24",
    "expander.last.weight": "12x12",
  });
  const direct = shapes(small({ site: "encoder", width: 512 }, 4));
  expect(Object.keys(direct).some((name) => name.startsWith("head"))).toBe(false);
  expect(direct["expander.hidden.0.linear.weight"]).toBe("12x12");
});

test("as many reserved channels as there are is an error that names both", () => {
  expect(() => small({}, 16)).toThrow(
    /^16 equivariant channels leave nothing of the 16 for the loss; use fewer/,
  );
  expect(() => small({ site: "encoder", width: 512 }, 17)).toThrow(/^17 equivariant channels .* of the 16 /);
  expect(() => small({}, 15)).not.toThrow();
});

test.each(["mean", "cls"] as const)("the loss sees the %s token through the head", async (pool) => {
  const method = small({ pool }, 4);
  const feeds = {
    ...someParameters(method),
    v1: noise([2, 3, IMAGE_SIZE, IMAGE_SIZE], 7),
    u: noise([2, 3, IMAGE_SIZE, IMAGE_SIZE], 8),
  };
  const results = await evaluate(feeds, (inputs) => {
    const parameters = treeLike(method.parameters, inputs);
    const { cls, patches } = visionTransformer(
      parameters.encoder,
      smallEncoder(),
      normalize(inputs.u as Tensor),
    );
    const { pooled2 } = traceStages(method, inputs).encoded.features;
    return { cls: cls as Tensor, patches, pooled: pooled2 as Tensor };
  });
  const [cls, patches, pooled] = ["cls", "patches", "pooled"].map((name) => get(results, name));
  const [, tokens, width] = get(results, "patches").shape as [number, number, number];
  const weight = get(feeds, "head.weight").data as Float32Array;
  const bias = get(feeds, "head.bias").data as Float32Array;
  const expected = Array.from({ length: 2 * 12 }, (_, at) => {
    const [row, channel] = [Math.floor(at / 12), at % 12];
    let sum = bias[channel] as number;
    for (let i = 0; i < width; i++) {
      let feature = 0;
      if (pool === "cls") feature = Number(cls?.data[row * width + i]);
      else
        for (let t = 0; t < tokens; t++)
          feature += Number(patches?.data[(row * tokens + t) * width + i]) / tokens;
      sum += feature * (weight[channel * width + i] as number);
    }
    return sum;
  });
  expect(pooled?.shape).toEqual([2, 12]);
  expect(relativeError(pooled?.data as Float32Array, expected)).toBeLessThan(1e-5);
});

test("coefficients are SIE's unless they are given", () => {
  expect(vicregOptions.parse({})).toMatchObject({
    width: 512,
    expander: [2048, 2048, 2048],
    invarianceWeight: 10,
    varianceWeight: 10,
    covarianceWeight: 1,
  });
  expect(small().title).toBe("VICReg");
});

test("drop path: each view's branches are dropped by its own draw", async () => {
  const options = vicregOptions.parse({ width: 16, expander: [16, 16] });
  const method = vicreg(smallEncoder({ dropPath: 0.5, depth: 2 }), plainViews, options, 8);
  const draw = get(method.draws, "dropPath") as RandomDraw;
  expect(draw.parameters).toEqual({ first: [4], second: [4] });
  // Growing linearly: block 0 is never dropped, block 1 with probability 0.5.
  const { first = [] } = draw.draw(randomStream(1, "drop"));
  expect(first.slice(0, 2)).toEqual([1, 1]);
  for (const factor of first.slice(2)) expect([0, 2]).toContain(factor);
  expect(small().draws).toEqual({});
  // The second block's branches dropped in view 2 alone: its tokens change, those of view 1 do not.
  const shape = [2, 3, IMAGE_SIZE, IMAGE_SIZE];
  const run = (second: readonly number[]) =>
    evaluate({ v1: noise(shape), u: noise(shape, 2), ...someParameters(method) }, (inputs) => {
      const factors = (values: readonly number[]) => constant([...values, ...values], [2, 4]);
      const draws = { dropPath: { first: factors([1, 1, 1, 1]), second: factors(second) } };
      const [one, two] = traceStages(method, inputs, draws).encoded.equivariant as [Tensor, Tensor];
      return { one, two };
    });
  const [kept, dropped] = [await run([1, 1, 1, 1]), await run([1, 1, 0, 0])];
  expect(get(dropped, "one").data).toEqual(get(kept, "one").data);
  expect(get(dropped, "two").data).not.toEqual(get(kept, "two").data);
});
