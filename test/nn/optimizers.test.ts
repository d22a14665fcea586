/** @file Optimisers, clipping and moving averages against PyTorch; what may be written in place; parameter groups. */

import { expect, test } from "vitest";
import { input, type Tensor } from "#src/graph/index.js";
import {
  adam,
  adamW,
  clipGradients,
  excludeNamedAsDinov2,
  excludeVectors,
  layerwiseRate,
  movingAverage,
  type Optimizer,
  parameterScales,
  patchEmbeddingRate,
  rateFor,
  sgd,
} from "#src/nn/index.js";
import { Device, float32Scalar } from "#src/runtime/index.js";
import { evaluate, expectClose, feedAll, fixture, get } from "./helpers.js";

const optimizers: Readonly<Record<string, Optimizer>> = {
  adamW: adamW({ beta1: 0.9, beta2: 0.95, epsilon: 1e-6 }),
  adam: adam({ beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }),
  sgd: sgd({ momentum: 0.9 }),
  nesterov: sgd({ momentum: 0.9, nesterov: true }),
  plainSgd: sgd(),
};

/** The fixture's second group: half the rate, no decay. */
const scales = { w: { learningRate: 1, weightDecay: 1 }, b: { learningRate: 0.5, weightDecay: 0 } };

const prefixed = <T>(record: Readonly<Record<string, T>>, prefix: string): Record<string, T> =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [`${prefix}${name}`, value]));
const without = (record: Readonly<Record<string, Tensor>>, prefix: string): Record<string, Tensor> =>
  Object.fromEntries(
    Object.entries(record).flatMap(([name, value]) =>
      name.startsWith(prefix) ? [[name.slice(prefix.length), value]] : [],
    ),
  );

test.each(fixture.optimizers)(
  "five steps of $optimizer are PyTorch's",
  async ({ optimizer: name, weightDecay, start, steps }) => {
    const optimizer = get(optimizers, name);
    await using device = await Device.open({ threads: 1 });
    const parameters = feedAll(start);
    const state = { ...prefixed(parameters, "param."), ...optimizer.state(parameters) };
    const scalarNames = Object.keys(optimizer.scalars({ step: 0, learningRate: 1 }));
    const program = await device.compile({
      name,
      inputs: {
        ...prefixed(parameters, "grad."),
        ...Object.fromEntries(
          scalarNames.map((scalar) => [scalar, { dtype: "float32", shape: [] }] as const),
        ),
      },
      state,
      trace: (inputs, held) => {
        const updated = optimizer.update({
          parameters: without(held, "param."),
          gradients: without(inputs, "grad."),
          state: held,
          scalars: inputs,
          scales,
        });
        return { state: { ...prefixed(updated.parameters, "param."), ...updated.state } };
      },
    });
    // Parameters and moments need no second buffer.
    expect(program.compiled.updates.map(({ inPlace }) => inPlace)).toEqual(
      Object.keys(state).map(() => true),
    );
    await device.setState(prefixed(parameters, "param."));
    for (const [step, { learningRate, gradients, parameters: expected }] of steps.entries()) {
      const scalars = optimizer.scalars({ step, learningRate, weightDecay });
      await program.run({
        ...prefixed(feedAll(gradients), "grad."),
        ...Object.fromEntries(Object.entries(scalars).map(([key, value]) => [key, float32Scalar(value)])),
      });
      const now = await device.getState(["param.w", "param.b"]);
      for (const key of ["w", "b"])
        expectClose(now[`param.${key}`], get(expected, key), 2e-6, `${key}, step ${step}`);
    }
  },
);

test("a parameter without a gradient is left alone: no moments, no decay", () => {
  const tensor = (name: string) => input(name, [2]);
  const optimizer = adamW();
  const scalars = Object.fromEntries(
    Object.keys(optimizer.scalars({ step: 0, learningRate: 1 })).map((name) => [name, input(name, [])]),
  );
  const parameters = { w: tensor("w"), b: tensor("b") };
  const state = Object.fromEntries(
    Object.keys(optimizer.state(parameters)).map((name) => [name, tensor(name)]),
  );
  const updated = optimizer.update({ parameters, gradients: { w: tensor("g") }, state, scalars });
  expect(Object.keys(updated.parameters)).toEqual(["w"]);
  expect(Object.keys(updated.state)).toEqual(["optimizer.m.w", "optimizer.v.w"]);
  expect(() => optimizer.update({ parameters, gradients: { q: tensor("g") }, state, scalars })).toThrow(
    'optimiser: no parameter "q" was given',
  );
});

test.each(["all", "tensor", "module"] as const)("clipping by the norm of %s", async (scope) => {
  const { gradients, maximum, scopes } = fixture.clipping;
  const expected = scopes[scope];
  const names = Object.keys(gradients);
  const results = await evaluate(feedAll(gradients), (traced) => {
    const clipped = clipGradients(traced, maximum, scope);
    return { ...prefixed(clipped.gradients, "clipped "), ...prefixed(clipped.norms, "norm ") };
  });
  for (const name of names)
    expectClose(results[`clipped ${name}`], get(expected.gradients, name), 1e-6, name);
  for (const [name, norm] of Object.entries(expected.norms)) {
    expectClose(results[`norm ${name}`], { shape: [], data: [norm] }, 1e-6, name);
  }
});

test("a moving average is written in place", async () => {
  await using device = await Device.open({ threads: 1 });
  const vector = { dtype: "float32", shape: [2] } as const;
  const program = await device.compile({
    name: "average",
    inputs: { student: vector, momentum: { dtype: "float32", shape: [] } },
    state: { teacher: vector },
    trace: ({ student, momentum }, { teacher }) => ({
      state: movingAverage(
        { teacher: teacher as Tensor },
        { teacher: student as Tensor },
        momentum as Tensor,
      ),
    }),
  });
  expect(program.compiled.updates[0]?.inPlace).toBe(true);
  await device.setState({ teacher: { ...vector, data: Float32Array.of(1, 2) } });
  await program.run({ student: { ...vector, data: Float32Array.of(3, -2) }, momentum: float32Scalar(0.75) });
  expect((await device.getState(["teacher"])).teacher?.data).toEqual(Float32Array.of(1.5, 1));
  expect(() => movingAverage({ teacher: input("t", [2]) }, {}, input("m", []))).toThrow(
    'no value for the average "teacher" was given',
  );
});

const shapes = {
  "encoder.pos_embed": { shape: [1, 5, 8] },
  "encoder.patch_embed.proj.weight": { shape: [8, 3, 2, 2] },
  "encoder.blocks.0.norm1.weight": { shape: [8] },
  "encoder.blocks.1.attn.qkv.weight": { shape: [24, 8] },
  "encoder.norm.bias": { shape: [8] },
  "head.last_layer.weight_g": { shape: [16, 1] },
};

test("weight decay exclusions of iBOT and of DINOv2", () => {
  const decay = (rule: Parameters<typeof parameterScales>[1][number]) =>
    Object.values(parameterScales(shapes, [rule])).map(({ weightDecay }) => weightDecay);
  expect(decay(excludeVectors)).toEqual([1, 1, 0, 1, 0, 1]);
  expect(decay(excludeNamedAsDinov2)).toEqual([1, 1, 0, 1, 0, 1]);
  expect(decay(rateFor(/last_layer/, 0))).toEqual([1, 1, 1, 1, 1, 1]);
});

test("layer-wise decay of the rate, with the patch projection's own factor (DINOv2, depth 2)", () => {
  const rates = parameterScales(shapes, [
    layerwiseRate(0.9, 2),
    patchEmbeddingRate(0.2),
    rateFor(/last_layer/, 0),
  ]);
  const expected = [0.9 ** 3, 0.9 ** 3 * 0.2, 0.9 ** 2, 0.9, 1, 0];
  Object.values(rates).forEach(({ learningRate }, i) => {
    expect(learningRate).toBeCloseTo(expected[i] as number, 12);
  });
});
