/** @file iBOT and DINOv2: whole steps against PyTorch, accumulation, teacher, centres, late layers, bad options. */

import { describe, expect, test } from "vitest";
import { abs, constant, max, mean, square, stack, sub, type Tensor, transpose } from "#src/graph/index.js";
import { dinov2, dinov2Options, ibot, ibotOptions, type Method, methodSchema } from "#src/methods/index.js";
import { adamW } from "#src/nn/index.js";
import { Device, type HostValue } from "#src/runtime/index.js";
import { GradientStep, parameterSpecs, UpdateStep } from "#src/training/index.js";
import { StoredModel } from "../models/helpers.js";
import { expectClose, get, largestOf } from "../nn/helpers.js";
import { smallEncoder } from "./helpers.js";
import {
  gradientStep,
  methodOf,
  multiCropViews,
  randomStep,
  smallHead,
  smallMethod,
  storedInputs,
  storedState,
} from "./self-distillation-helpers.js";

const dinov2Encoder = { layerScale: 0.1, initialization: "dinov2" } as const;
const methods = {
  dino: smallMethod({ name: "dino" }, { maskToken: false }),
  ibot: smallMethod({ name: "ibot" }),
  dinov2: smallMethod({ name: "dinov2" }, dinov2Encoder),
  dinov2_sinkhorn: smallMethod(
    { name: "dinov2", centring: "sinkhorn_knopp", patchOutputDim: 18 },
    dinov2Encoder,
  ),
};
type Case = keyof typeof methods;
const cases = Object.keys(methods) as Case[];
const stored = Object.fromEntries(
  await Promise.all(
    cases.map(async (name) => [name, await StoredModel.open(`step_${name}`, "methods")] as const),
  ),
) as Record<Case, StoredModel>;
const BATCH = 4;

/** A bias of keys does not move attention: zero in exact arithmetic, compared with the other gradients' size. */
function expectGradients(
  actual: Record<string, HostValue>,
  expected: (name: string) => { shape: readonly number[]; data: readonly number[] },
  tolerance: number,
): void {
  const all = Object.keys(actual).map((name) => [name, expected(name)] as const);
  const overall = Math.max(...all.map(([, { data }]) => largestOf(data)));
  for (const [name, value] of all) {
    expectClose(actual[name], value, tolerance, `gradient of ${name}`, 1e-3 * overall);
  }
}

test.each(cases)("a whole step is PyTorch's: %s, every part of the loss, every gradient", async (name) => {
  const [method, model] = [methods[name], stored[name]];
  expect(Object.keys(parameterSpecs(method)).sort()).toEqual(Object.keys(model.under("student.")).sort());
  const { losses, gradients, metrics } = await gradientStep(
    method,
    storedState(model, method),
    storedInputs(model, method),
    { batch: BATCH },
  );
  const parts = name === "dino" ? ["cls"] : name === "ibot" ? ["cls", "patch"] : ["cls", "patch", "koleo"];
  expect(Object.keys(losses)).toHaveLength(parts.length + 1);
  for (const part of parts) {
    const [expected] = model.get(part).data;
    expect(Math.abs(get(losses, part) / (expected as number) - 1), part).toBeLessThan(1e-5);
  }
  const [total] = model.get("loss").data;
  expect(Math.abs(losses.total as number) / (total as number)).toBeCloseTo(1, 5);
  expectGradients(gradients, (parameter) => model.stored(`gradients.${parameter}`), 1e-4);
  expect(metrics.teacherEntropy).toBeGreaterThan(0);
  expect(metrics.teacherEntropy).toBeLessThan(Math.log(24));
});

test.each(cases)("accumulation gives the whole batch's losses and gradients: %s", async (name) => {
  const [method, model] = [methods[name], stored[name]];
  const state = storedState(model, method);
  const whole = await gradientStep(method, state, storedInputs(model, method), { batch: BATCH });
  const divided = await gradientStep(method, state, storedInputs(model, method, 2), {
    batch: BATCH,
    accumulate: 2,
  });
  for (const [part, value] of Object.entries(whole.losses)) {
    expect(Math.abs(get(divided.losses, part) / value - 1), part).toBeLessThan(1e-5);
  }
  expectGradients(
    divided.gradients,
    (parameter) => {
      const { shape, data } = get(whole.gradients, parameter);
      return { shape, data: [...(data as Float32Array)] };
    },
    1e-5,
  );
});

/** The state after one update with AdamW at a rate of 0.01, in the first of ten epochs. */
async function updated(method: Method, model: StoredModel, names: readonly string[]) {
  await using device = await Device.open({ threads: 1 });
  const optimizer = adamW();
  const state = storedState(model, method);
  const specs = parameterSpecs(method);
  const moments = Object.entries(optimizer.state(specs)).map(([name, { shape }]) => [
    `optimizer/${name}`,
    { dtype: "float32", shape, data: new Float32Array(shape.reduce((a, b) => a * b, 1)) } as HostValue,
  ]);
  await device.setState({ ...state, ...(Object.fromEntries(moments) as Record<string, HostValue>) });
  const step = await GradientStep.compile(device, method, BATCH);
  await step.run(storedInputs(model, method));
  const length = { totalSteps: 40, stepsPerEpoch: 4 };
  const update = await UpdateStep.compile(device, method, { optimizer, rules: [], length });
  await update.run({ step: 0, learningRate: 0.01, weightDecay: 0.04 });
  return device.getState(names);
}

test.each(["dino", "ibot", "dinov2"] as const)(
  "after a step of %s: centres, the teacher's average, a last layer that waits",
  async (name) => {
    const [method, model] = [methods[name], stored[name]];
    const parameters = Object.keys(parameterSpecs(method));
    const after = await updated(method, model, [
      ...["param/", "teacher/"].flatMap((kind) => parameters.map((parameter) => kind + parameter)),
      ...Object.keys(method.buffers).map((buffer) => `buffer/${buffer}`),
    ]);
    expectClose(after["buffer/centre"], model.stored("nextCentre"), 1e-5, "centre");
    if (name !== "dino")
      expectClose(after["buffer/patchCentre"], model.stored("nextPatchCentre"), 1e-5, "patch centre");
    const momentum = name === "dinov2" ? 0.992 : 0.996;
    for (const parameter of parameters) {
      const { shape, data: before } = model.get(`teacher.${parameter}`);
      const student = get(after, `param/${parameter}`).data as Float32Array;
      const average = [...before].map(
        (value, i) => momentum * value + (1 - momentum) * (student[i] as number),
      );
      expectClose(after[`teacher/${parameter}`], { shape, data: average }, 1e-6, `teacher's ${parameter}`);
      const isLate = parameter.includes("last_layer");
      const start = model.get(`student.${parameter}`).data;
      expect(student.every((value, i) => value === start[i]) === isLate, parameter).toBe(true);
    }
  },
);

describe("with reserved channels", () => {
  const RESERVED = 6;
  const bases = {
    ibot_split: ibot(
      smallEncoder({ depth: 2, maskToken: true }),
      multiCropViews,
      ibotOptions.parse(smallHead),
      RESERVED,
    ),
    dinov2_split: dinov2(
      smallEncoder({ depth: 2, maskToken: true, ...dinov2Encoder }),
      multiCropViews,
      dinov2Options.parse({ ...smallHead, width: 22 }),
      RESERVED,
    ),
  };

  test.each(["ibot_split", "dinov2_split"] as const)(
    "the base's losses, the reserved channels of all patches and all gradients are PyTorch's: %s",
    async (name) => {
      const base = bases[name] as unknown as Method;
      const model = await StoredModel.open(`step_${name}`, "methods");
      // The task is in the place of the decoders: mean(equivariant²).
      const method: Method = {
        ...base,
        encode: (input) => {
          const encoded = base.encode(input);
          const equivariant = stack(encoded.equivariant ?? []);
          const task = { value: mean(square(equivariant)), weight: 1 };
          const rows = transpose(equivariant, [1, 0, 2, 3]);
          return { ...encoded, losses: { ...encoded.losses, task }, features: { ...encoded.features, rows } };
        },
        objective: (input) => {
          const given = base.objective(input);
          const expected = constant(model.get("equivariant").data, model.get("equivariant").shape);
          const found = transpose(input.features.rows as Tensor, [1, 0, 2, 3]);
          return { ...given, metrics: { error: max(abs(sub(found, expected))) } };
        },
      };
      const { losses, gradients, metrics } = await gradientStep(
        method,
        storedState(model, method),
        storedInputs(model, method),
        { batch: BATCH },
      );
      expect(metrics.error).toBeLessThan(1e-5 * largestOf(model.get("equivariant").data));
      for (const [part, key] of [
        ["cls", "cls"],
        ["patch", "patch"],
        ["total", "loss"],
      ] as const) {
        const [expected] = model.get(key).data;
        expect(Math.abs(get(losses, part) / (expected as number) - 1), part).toBeLessThan(1e-5);
      }
      expectGradients(gradients, (parameter) => model.stored(`gradients.${parameter}`), 1e-4);
    },
  );

  test("the in-between task wraps both, at both sites", async () => {
    for (const [name, site, title] of [
      ["ibot", undefined, "Ours(iBOT, all, se2)"],
      ["ibot", "pre_head_linear", "Ours(iBOT, all, se2)"],
      ["dinov2", undefined, "Ours(DINOv2, all, se2)"],
      ["dinov2", "head_logits", "Ours(DINOv2, all, se2)"],
    ] as const) {
      const method = inbetweenOver({ name, width: 22, ...(site ? { site } : {}) });
      expect(method.title).toBe(title);
      const hasLinear = (site ?? (name === "ibot" ? "head_logits" : "pre_head_linear")) === "pre_head_linear";
      expect("projection.weight" in parameterSpecs(method)).toBe(hasLinear);
      expect(method.buffers.centre?.shape).toEqual([hasLinear ? 24 : 18]);
    }
    const { losses, gradients } = await randomStep(inbetweenOver({ name: "ibot" }));
    expect(Object.keys(losses).sort()).toEqual(["cls", "patch", "reconstruction", "total"]);
    // The reserved prototypes are trained by the reconstruction alone, and they are.
    const rows = get(gradients, "head.last_layer.weight_v").data as Float32Array;
    expect(largestOf(rows.subarray(18 * 8))).toBeGreaterThan(0);
  });

  test("more reserved channels than there are is an error that names both", () => {
    expect(() => inbetweenOver({ name: "ibot" }, 24)).toThrow(
      /^24 equivariant channels .* of the 24 for the loss/,
    );
    expect(() => inbetweenOver({ name: "dinov2", width: 22 }, 22)).toThrow(
      /^22 equivariant .* of the 22 for/,
    );
  });
});

function inbetweenOver(base: Readonly<Record<string, unknown>>, equivariantDim = 6): Method {
  const options = {
    name: "inbetween",
    base: { ...smallHead, ...base },
    equivariantDim,
    decoderWidths: [8, 8, 8, 8],
  };
  return methodOf(options, base.name === "dinov2" ? dinov2Encoder : {});
}

test.each([
  [
    { name: "ibot", maskRatios: [0.3], maskRatioSpreads: [0, 0.2] },
    /1 "maskRatios" and 2 "maskRatioSpreads"; give/,
  ],
  [
    { name: "ibot", maskRatios: [0.1], maskRatioSpreads: [0.2] },
    /masked patches goes from -0.1 to 0.3.*; choose/,
  ],
  [{ name: "dinov2", maskRatio: [0.5, 0.1] }, /masked patches goes from 0.5 to 0.1.*; choose/],
  [
    { name: "dinov2", site: "head_logits", patchOutputDim: 8 },
    /"head_logits" divides the prototypes of the one head.*; leave out/,
  ],
])("%j is refused with the reason and the fix", (options, message) => {
  expect(() => smallMethod(options)).toThrow(message);
});

test("masks that have no place on the grid are refused", () => {
  for (const name of ["ibot", "dinov2"]) {
    expect(() => smallMethod({ name }, { patchSize: 8 })).toThrow(
      /masks of up to 0.5 of 2 x 2 patches cannot be placed.*; use a larger imageSize or a smaller patchSize/,
    );
  }
});

test.each([
  [{ studentTemperature: 0 }, /a temperature above 0, as it divides the logits/],
  [{ teacherTemperature: -1 }, /a temperature above 0/],
  [{ teacherMomentum: 1.1 }, /<=1/],
  [{ centreMomentum: -0.1 }, />=0/],
  [{ outputDim: 1 }, />=2/],
])("options out of range are errors: %j", (options, message) => {
  for (const name of ["dino", "ibot", "dinov2"]) {
    const { error } = methodSchema.safeParse({ name, ...options });
    expect(error?.issues[0]?.message).toMatch(message);
  }
});

test("KoLeo needs two samples, the others none", () => {
  expect(methods.dinov2.minimumBatch).toBe(2);
  expect(smallMethod({ name: "dinov2", koleoWeight: 0 }, dinov2Encoder).minimumBatch).toBe(1);
  expect(methods.ibot.minimumBatch).toBe(1);
});
