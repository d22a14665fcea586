/** @file The paper's method: a whole step against PyTorch, and what its options change. */

import { expect, test } from "vitest";
import { add, grad, mul, type Tensor } from "#src/graph/index.js";
import {
  type InbetweenOptions,
  inbetween,
  inbetweenOptions,
  makeMethod,
  methodSchema,
  vicreg,
  vicregOptions,
} from "#src/methods/index.js";
import { prefixed, unprefixed } from "#src/records.js";
import { parameterSpecs } from "#src/training/index.js";
import { type Transformation, transformation, transformationNames } from "#src/transforms/index.js";
import { StoredModel } from "../models/helpers.js";
import { evaluate, expectClose, get, largestOf, relativeError, type Traced } from "../nn/helpers.js";
import { IMAGE_SIZE, noise, plainViews, smallEncoder, someParameters, traceStages } from "./helpers.js";

/** The weighted sum of all parts. */
function totalOf(losses: ReturnType<typeof traceStages>["losses"]): Tensor {
  return Object.values(losses)
    .map(({ value, weight }) => mul(value, weight))
    .reduce((a, b) => add(a, b));
}

const MEAN = [0.485, 0.456, 0.406];
const STD = [0.229, 0.224, 0.225];

/** The value of the channel that element `i` of `[B, 3, H, W]` belongs to. */
function channelOf(values: readonly number[], i: number): number {
  return values[Math.floor(i / IMAGE_SIZE ** 2) % 3] as number;
}

test("a whole step is PyTorch's: targets, reconstructions, every part of the loss, every gradient", async () => {
  const tensors = await StoredModel.open("inbetween_step_tensors", "methods");
  const weights = await StoredModel.open("inbetween_step_parameters", "methods");
  const { depth, width, equivariantDim, decoderWidths, count } = weights.config as Record<string, number>;
  const expander = (weights.config.expander as number[]).slice(1).map((channels) => 2 * channels);
  const method = makeMethod(
    methodSchema.parse({
      name: "inbetween",
      base: { name: "vicreg", width, expander },
      transformation: "se2",
      equivariantDim,
      decoderWidths,
      count,
    }),
    { encoder: smallEncoder({ depth }), views: plainViews, augmentation: "all", batchSize: 2 },
  );
  const parameters = weights.under("parameters.");
  const names = Object.keys(parameterSpecs(method));
  expect([...names].sort()).toEqual(Object.keys(parameters).sort());

  const feeds = {
    ...parameters,
    v1: tensors.get("v1"),
    u: tensors.get("u"),
    theta: tensors.get("thetaFraction"),
  };
  const results = await evaluate(feeds, (inputs) => {
    const { encoded, losses } = traceStages(method, inputs, { theta: { theta: inputs.theta as Tensor } });
    const loss = totalOf(losses);
    const gradients = grad(
      loss,
      names.map((name) => get(inputs, name)),
    );
    const { "target 1": target1, "target 2": target2, v2, ...pictures } = encoded.pictures ?? {};
    const [equivariant1, equivariant2] = encoded.equivariant as [Tensor, Tensor];
    return {
      loss,
      z1: equivariant1,
      z2: equivariant2,
      v2: v2 as Tensor,
      "targets.0": target1 as Tensor,
      "targets.1": target2 as Tensor,
      "picture 1": pictures["reconstruction 1"] as Tensor,
      "picture 2": pictures["reconstruction 2"] as Tensor,
      reconstruction: (losses.reconstruction as { value: Tensor }).value,
      ...Object.fromEntries(
        ["invariance", "variance", "covariance"].map((term) => [
          `terms.${term}`,
          (losses[term] as { value: Tensor }).value,
        ]),
      ),
      ...Object.fromEntries(names.map((name, i) => [`gradients.${name}`, gradients[i] as Tensor])),
    };
  });

  for (const name of ["loss", "reconstruction", "terms.invariance", "terms.variance", "terms.covariance"]) {
    expectClose(results[name], tensors.stored(name), 1e-5, name);
  }
  for (const name of ["targets.0", "targets.1", "v2"]) {
    expectClose(results[name], tensors.stored(name), 1e-5, name);
  }
  // The equivariant channels are the last ones of the representation.
  for (const name of ["z1", "z2"]) {
    const { shape, data } = tensors.stored(name);
    const last = data.filter(
      (_, i) => i % (width as number) >= (width as number) - (equivariantDim as number),
    );
    expectClose(
      results[name],
      { shape: [...shape.slice(0, -1), equivariantDim as number], data: last },
      1e-5,
      name,
    );
  }
  // The pictures are the reconstructions in [0, 1].
  for (const k of [0, 1]) {
    const { shape, data } = tensors.stored(`reconstructions.${k}`);
    const shown = data.map((value, i) => value * channelOf(STD, i) + channelOf(MEAN, i));
    expectClose(results[`picture ${k + 1}`], { shape, data: shown }, 1e-5, `picture ${k + 1}`);
  }

  const expected = names.map((name) => weights.stored(`gradients.${name}`));
  const overall = Math.max(...expected.map(({ data }) => largestOf(data)));
  names.forEach((name, i) => {
    const { shape, data } = expected[i] as (typeof expected)[number];
    const actual = get(results, `gradients.${name}`);
    expect(actual.shape, name).toEqual(shape);
    // Zero in exact arithmetic (a bias before a batch norm, in `head.bias` the half of it that leads to one): there
    // rounding is compared with the other gradients' size.
    const isZero = (value: number) => Math.abs(value) < 1e-9 * overall;
    const values = [...(actual.data as Float32Array)];
    const rounding = values.filter((_, at) => isZero(data[at] as number));
    expect(largestOf(rounding), `gradient of ${name} where it is zero`).toBeLessThan(1e-6 * overall);
    const rest = values.filter((_, at) => !isZero(data[at] as number));
    const error = relativeError(
      rest,
      data.filter((value) => !isZero(value)),
    );
    expect(error, `relative error of the gradient of ${name}`).toBeLessThan(1e-4);
  });
});

/** g(u, theta) at a fraction of its way is `fraction` times u: what a target should be needs no warp to know. */
const fading: Transformation = {
  ...transformation("blur"),
  path: (images, _, fraction) => mul(images, fraction),
};

function fadingMethod(options: Partial<InbetweenOptions>, site: "linear" | "encoder" = "linear") {
  const base = vicregOptions.parse({ width: 16, expander: [16, 16], site });
  return inbetween(
    (views, reserved) => vicreg(smallEncoder(), views, base, reserved),
    plainViews,
    fading,
    { patchSize: 4, augmentation: "all" },
    inbetweenOptions.parse({ equivariantDim: 8, decoderWidths: [8, 8, 8, 8], ...options }),
  );
}

const images = { v1: noise([2, 3, IMAGE_SIZE, IMAGE_SIZE], 7), u: noise([2, 3, IMAGE_SIZE, IMAGE_SIZE], 8) };

test.each([
  { count: 1, includeFinal: false, fractions: [1 / 2] },
  { count: 2, includeFinal: false, fractions: [1 / 3, 2 / 3] },
  { count: 2, includeFinal: true, fractions: [1 / 3, 2 / 3, 1] },
  { count: 3, includeFinal: false, fractions: [1 / 4, 2 / 4, 3 / 4] },
])(
  "targets of K = $count, final $includeFinal, lie at $fractions",
  async ({ count, includeFinal, fractions }) => {
    const method = fadingMethod({ count, includeFinal });
    const decoders = new Set(
      Object.keys(parameterSpecs(method)).flatMap((name) => /^decoders\.\d+/.exec(name) ?? []),
    );
    expect(decoders.size).toBe(fractions.length);
    const results = await evaluate({ ...someParameters(method), ...images }, (inputs) => {
      const { encoded } = traceStages(method, inputs);
      return prefixed(
        { ...(encoded.pictures as Traced), ...(encoded.baselines?.reconstruction as Traced) },
        "out ",
      );
    });
    expect(Object.keys(results).filter((name) => name.startsWith("out target"))).toHaveLength(
      fractions.length,
    );
    fractions.forEach((fraction, k) => {
      const expected = { shape: images.u.shape, data: [...images.u.data].map((value) => fraction * value) };
      expectClose(results[`out target ${k + 1}`], expected, 1e-6, `target ${k + 1}`);
    });
    expectClose(results["out v2"], { shape: images.u.shape, data: [...images.u.data] }, 1e-6, "v2");
    // In normalised units the copy of v2 is off by (1 - fraction) u / std.
    const squares = [...images.u.data].map((u, i) => (u / channelOf(STD, i)) ** 2);
    const meanSquare = squares.reduce((a, b) => a + b, 0) / squares.length;
    const copy = fractions.reduce((sum, f) => sum + (1 - f) ** 2, 0) / fractions.length;
    expectClose(
      results["out copy of view 2"],
      { shape: [], data: [copy * meanSquare] },
      1e-5,
      "error of the copy",
    );
  },
);

/** The gradients of some parts of the loss by the parameters of head, expander and decoders. */
async function gradientsOf(parts: readonly string[], method = fadingMethod({})) {
  const names = Object.keys(parameterSpecs(method)).filter((name) => !name.startsWith("encoder."));
  const results = await evaluate({ ...someParameters(method), ...images }, (inputs) => {
    const { losses } = traceStages(method, inputs);
    const kept = Object.entries(losses).filter(([name]) => parts.includes(name));
    const gradients = grad(
      totalOf(Object.fromEntries(kept)),
      names.map((name) => get(inputs, name)),
    );
    return Object.fromEntries(names.map((name, i) => [`d ${name}`, gradients[i] as Tensor]));
  });
  return unprefixed(results, "d ");
}

test("the base loss trains the invariant channels alone, the reconstruction the equivariant ones alone", async () => {
  const invariantRows = 8 * 16;
  const base = await gradientsOf(["invariance", "variance", "covariance"]);
  const task = await gradientsOf(["reconstruction"]);
  const head = (gradients: typeof base) => get(gradients, "head.weight").data as Float32Array;
  expect(largestOf(head(base).subarray(0, invariantRows))).toBeGreaterThan(0);
  expect(largestOf(head(base).subarray(invariantRows))).toBe(0);
  expect(largestOf(head(task).subarray(0, invariantRows))).toBe(0);
  expect(largestOf(head(task).subarray(invariantRows))).toBeGreaterThan(0);
  for (const [name, { data }] of Object.entries(base)) {
    if (name.startsWith("decoders.")) expect(largestOf(data as Float32Array), name).toBe(0);
  }
  for (const [name, { data }] of Object.entries(task)) {
    if (name.startsWith("expander.")) expect(largestOf(data as Float32Array), name).toBe(0);
    if (name.startsWith("decoders.")) expect(largestOf(data as Float32Array), name).toBeGreaterThan(0);
  }
});

test("lambda weighs the reconstruction, and 0 leaves it out", async () => {
  const all = ["invariance", "variance", "covariance", "reconstruction"];
  const weight = "decoders.0.linear.weight";
  const [none, one, ten] = (await Promise.all(
    [0, 1, 10].map(async (lambda) => get(await gradientsOf(all, fadingMethod({ lambda })), weight).data),
  )) as [Float32Array, Float32Array, Float32Array];
  expect(largestOf(none)).toBe(0);
  expectClose(
    { dtype: "float32", shape: [one.length], data: ten },
    { shape: [one.length], data: [...one].map((value) => 10 * value) },
    1e-5,
    "ten times the gradient",
  );
});

test("at site encoder the patches themselves are split", async () => {
  const method = fadingMethod({}, "encoder");
  expect(Object.keys(parameterSpecs(method)).some((name) => name.startsWith("head."))).toBe(false);
  const gradients = await gradientsOf(["reconstruction"], method);
  expect(largestOf(get(gradients, "decoders.1.linear.weight").data as Float32Array)).toBeGreaterThan(0);
  expect(() => fadingMethod({ equivariantDim: 16 }, "encoder")).toThrow(
    /16 equivariant channels leave nothing/,
  );
});

test("titles read as the paper's", () => {
  const title = (name: string, augmentation: string) =>
    makeMethod(
      methodSchema.parse({
        name: "inbetween",
        base: { name: "vicreg" },
        transformation: name,
        equivariantDim: 256,
      }),
      { encoder: smallEncoder(), views: plainViews, augmentation, batchSize: 2 },
    ).title;
  expect(transformationNames.map((name) => title(name, "all")).sort()).toEqual([
    "Ours(VICReg, all, blur)",
    "Ours(VICReg, all, color)",
    "Ours(VICReg, all, rot)",
    "Ours(VICReg, all, se2)",
    "Ours(VICReg, all, trans)",
  ]);
  expect(title("se2", "rot")).toBe("Ours(VICReg, rot, se2)");
});

test("options that make no sense are refused", () => {
  for (const wrong of [
    { count: 0 },
    { count: 4 },
    { lambda: -1 },
    { equivariantDim: 0 },
    { decoderWidths: [8, 8] },
  ]) {
    expect(() => inbetweenOptions.parse({ equivariantDim: 8, ...wrong }), JSON.stringify(wrong)).toThrow();
  }
});
