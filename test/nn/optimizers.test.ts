/** @file Optimisers, clipping and moving averages against PyTorch; what may be written in place; parameter groups. */

import { expect, test } from "vitest";
import { input, type Tensor } from "#src/graph/index.js";
import { visionTransformerConfig, visionTransformerParameters } from "#src/models/index.js";
import {
  adam,
  adamW,
  clipGradients,
  excludeNamedAsDinov2,
  excludeVectors,
  flattenTree,
  type LarsOptions,
  lars,
  layerwiseRate,
  movingAverage,
  type Optimizer,
  type ParameterScale,
  parameterScales,
  patchEmbeddingRate,
  rateFor,
  sgd,
} from "#src/nn/index.js";
import { Device, float32Scalar } from "#src/runtime/index.js";
import { evaluate, expectClose, feedAll, fixture, get, readFixture, type Stored } from "./helpers.js";

const prefixed = <T>(record: Readonly<Record<string, T>>, prefix: string): Record<string, T> =>
  Object.fromEntries(Object.entries(record).map(([name, value]) => [`${prefix}${name}`, value]));
const without = (record: Readonly<Record<string, Tensor>>, prefix: string): Record<string, Tensor> =>
  Object.fromEntries(
    Object.entries(record).flatMap(([name, value]) =>
      name.startsWith(prefix) ? [[name.slice(prefix.length), value]] : [],
    ),
  );

interface Step {
  readonly learningRate: number;
  readonly weightDecay: number;
  readonly gradients: Readonly<Record<string, Stored>>;
  readonly parameters: Readonly<Record<string, Stored>>;
}

/** Runs an optimiser's steps on a device and expects each one's parameters. */
async function expectSteps(
  optimizer: Optimizer,
  start: Readonly<Record<string, Stored>>,
  steps: readonly Step[],
  scales?: Readonly<Record<string, ParameterScale>>,
): Promise<void> {
  await using device = await Device.open({ threads: 1 });
  const parameters = feedAll(start);
  const state = { ...prefixed(parameters, "param."), ...optimizer.state(parameters) };
  const scalarNames = Object.keys(optimizer.scalars({ step: 0, learningRate: 1 }));
  const program = await device.compile({
    name: "update",
    inputs: {
      ...prefixed(parameters, "grad."),
      ...Object.fromEntries(scalarNames.map((scalar) => [scalar, { dtype: "float32", shape: [] }] as const)),
    },
    state,
    trace: (inputs, held) => {
      const updated = optimizer.update({
        parameters: without(held, "param."),
        gradients: without(inputs, "grad."),
        state: held,
        scalars: inputs,
        ...(scales ? { scales } : {}),
      });
      return { state: { ...prefixed(updated.parameters, "param."), ...updated.state } };
    },
  });
  // Parameters and moments need no second buffer.
  expect(program.compiled.updates.map(({ inPlace }) => inPlace)).toEqual(Object.keys(state).map(() => true));
  await device.setState(prefixed(parameters, "param."));
  for (const [step, { learningRate, weightDecay, gradients, parameters: expected }] of steps.entries()) {
    const scalars = optimizer.scalars({ step, learningRate, weightDecay });
    await program.run({
      ...prefixed(feedAll(gradients), "grad."),
      ...Object.fromEntries(Object.entries(scalars).map(([key, value]) => [key, float32Scalar(value)])),
    });
    const now = await device.getState(Object.keys(state));
    for (const [key, value] of Object.entries(expected)) {
      expectClose(now[`param.${key}`], value, 2e-6, `${key} after step ${step}`);
    }
  }
}

type Nested = number | readonly Nested[];
type Values = Readonly<Record<string, Nested>>;

interface OptimizerCase {
  readonly name: string;
  readonly kind: "adamw" | "adam" | "sgd";
  readonly learningRates: readonly number[];
  readonly weightDecays: readonly number[];
  readonly options: { betas?: [number, number]; eps?: number; momentum?: number; nesterov?: boolean };
  readonly initial: Values;
  readonly values: readonly Values[];
  readonly gradients: readonly Values[];
}

interface ClipCase {
  readonly kind: "perTensor" | "global";
  readonly limit: number;
  readonly globalNorm: number;
  readonly gradients: Values;
  readonly clipped: Values;
}

interface Groups {
  readonly depth: number;
  readonly decay: number;
  readonly layerDecayBeit: Readonly<Record<string, number>>;
  readonly decayedIbot: Readonly<Record<string, boolean>>;
}

const torch = readFixture<{ optimizers: OptimizerCase[]; clipping: ClipCase[]; groups: Groups }>(
  "models/optimizers.json",
);

function stored(value: Nested): Stored {
  const shape: number[] = [];
  for (let inner = value; typeof inner !== "number"; inner = inner[0] as Nested) shape.push(inner.length);
  return { shape, data: [value].flat(9) as number[] };
}

const storedAll = (values: Values): Record<string, Stored> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, stored(value)]));

function made({ kind, options: { betas, eps, momentum, nesterov } }: OptimizerCase): Optimizer {
  if (kind === "sgd") return sgd({ momentum: momentum ?? 0, nesterov: nesterov ?? false });
  const [beta1, beta2] = betas as [number, number];
  return (kind === "adam" ? adam : adamW)({ beta1, beta2, epsilon: eps as number });
}

test.each(torch.optimizers)("five steps of $name are PyTorch's", async (found) => {
  const steps = found.values.map((values, i) => ({
    learningRate: found.learningRates[i] as number,
    weightDecay: found.weightDecays[i] as number,
    gradients: storedAll(found.gradients[i] as Values),
    parameters: storedAll(values),
  }));
  await expectSteps(made(found), storedAll(found.initial), steps);
});

const grouped: Readonly<Record<string, Optimizer>> = {
  adamW: adamW({ beta1: 0.9, beta2: 0.95, epsilon: 1e-6 }),
  adam: adam({ beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }),
  nesterov: sgd({ momentum: 0.9, nesterov: true }),
};

test.each(fixture.optimizers)(
  "$optimizer with two groups: half the rate and no decay for one",
  async (found) => {
    const steps = found.steps.map((step) => ({ ...step, weightDecay: found.weightDecay }));
    const scales = { w: { learningRate: 1, weightDecay: 1 }, b: { learningRate: 0.5, weightDecay: 0 } };
    await expectSteps(get(grouped, found.optimizer), found.start, steps, scales);
  },
);

test("five steps of LARS are SimCLR's: decayed and adapted but for the vector, zeros as they are", async () => {
  const found = readFixture<Omit<OptimizerCase, "options"> & { options: LarsOptions }>("models/lars.json");
  const steps = found.values.map((values, i) => ({
    learningRate: found.learningRates[i] as number,
    weightDecay: found.weightDecays[i] as number,
    gradients: storedAll(found.gradients[i] as Values),
    parameters: storedAll(values),
  }));
  const scales = { vector: { learningRate: 1, weightDecay: 0 } };
  await expectSteps(lars(found.options), storedAll(found.initial), steps, scales);
});

test.each(torch.clipping)(
  "clipping: $kind at $limit",
  async ({ kind, limit, globalNorm, gradients, clipped }) => {
    const results = await evaluate(feedAll(storedAll(gradients)), (traced) => {
      const ours = clipGradients(traced, limit, kind === "global" ? "all" : "tensor");
      return { ...prefixed(ours.gradients, "clipped "), ...prefixed(ours.norms, "norm ") };
    });
    for (const [name, value] of Object.entries(clipped))
      expectClose(results[`clipped ${name}`], stored(value), 1e-6, name);
    if (kind === "global") expectClose(results["norm all"], stored(globalNorm), 1e-6, "norm");
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

test("clipping by the norm of each submodule", async () => {
  const { gradients, maximum, norms, clipped: expected } = fixture.clipping;
  const results = await evaluate(feedAll(gradients), (traced) => {
    const clipped = clipGradients(traced, maximum, "module");
    return { ...prefixed(clipped.gradients, "clipped "), ...prefixed(clipped.norms, "norm ") };
  });
  for (const [name, value] of Object.entries(expected)) {
    expectClose(results[`clipped ${name}`], value, 1e-6, name);
  }
  for (const [name, norm] of Object.entries(norms)) {
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

test("groups of a ViT: layer-wise decay as BEiT's, weight decay as iBOT's", () => {
  const { depth, decay, layerDecayBeit, decayedIbot } = torch.groups;
  const config = visionTransformerConfig({ imageSize: 16, patchSize: 4, embedDim: 12, depth, numHeads: 2 });
  const parameters = flattenTree(visionTransformerParameters(config));
  expect(Object.keys(parameters).sort()).toEqual(Object.keys(layerDecayBeit).sort());
  const scales = parameterScales(parameters, [layerwiseRate(decay, depth), excludeVectors]);
  for (const [name, { learningRate, weightDecay }] of Object.entries(scales)) {
    expect(learningRate, name).toBeCloseTo(get(layerDecayBeit, name), 12);
    expect(weightDecay === 1, name).toBe(get(decayedIbot, name));
  }
});

test("rules multiply, under any prefix: DINOv2's patch factor and exclusions, a frozen last layer", () => {
  const shapes = {
    "encoder.pos_embed": { shape: [1, 5, 8] },
    "encoder.patch_embed.proj.weight": { shape: [8, 3, 2, 2] },
    "encoder.blocks.1.ls1.gamma": { shape: [8] },
    "encoder.blocks.0.norm1.weight": { shape: [8] },
    "head.last_layer.weight_g": { shape: [16, 1] },
  };
  const rules = [
    layerwiseRate(0.9, 2),
    patchEmbeddingRate(0.2),
    rateFor(/last_layer/, 0),
    excludeNamedAsDinov2,
  ];
  const scales = Object.values(parameterScales(shapes, rules));
  const rates = [0.9 ** 3, 0.9 ** 3 * 0.2, 0.9, 0.9 ** 2, 0];
  scales.forEach(({ learningRate }, i) => {
    expect(learningRate).toBeCloseTo(rates[i] as number, 12);
  });
  expect(scales.map(({ weightDecay }) => weightDecay)).toEqual([1, 1, 0, 0, 1]);
});
