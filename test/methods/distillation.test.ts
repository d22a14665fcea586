/** @file Losses of the DINO family against PyTorch, and the properties of Sinkhorn-Knopp. */

import { expect, test } from "vitest";
import { add, constant, div, grad, mul, sum, type Tensor } from "#src/graph/index.js";
import {
  centredProbabilities,
  koleo,
  prototypeCrossEntropy,
  sinkhornProbabilities,
} from "#src/methods/losses/index.js";
import { prefixed } from "#src/records.js";
import { float32, type HostValue } from "#src/runtime/index.js";
import { StoredModel } from "../models/helpers.js";
import { evaluate, expectClose, get, type Traced } from "../nn/helpers.js";
import { noise } from "./helpers.js";

const stored = await StoredModel.open("distillation", "methods");

test("centred probabilities, cross-entropies and their gradients are PyTorch's", async () => {
  const values = prefixed(stored.under("centred."), "fed ");
  const results = await evaluate(values, (fed) => {
    const input = (name: string): Tensor => get(fed, `fed ${name}`);
    const probabilities = centredProbabilities(input("teacher"), input("teacherWeight"), {
      centre: input("centre"),
      temperature: input("temperature"),
    });
    const entropies = prototypeCrossEntropy(input("z"), input("weight"), probabilities, { temperature: 0.1 });
    const loss = sum(mul(entropies, input("weights")));
    const wrt = [input("z"), input("weight"), input("teacher"), input("teacherWeight")];
    const [dz, dWeight, dTeacher, dTeacherWeight] = grad(loss, wrt) as [Tensor, Tensor, Tensor, Tensor];
    return {
      probabilities,
      entropies,
      zGradient: dz,
      weightGradient: dWeight,
      "teacher's": dTeacher,
      "teacher weight's": dTeacherWeight,
    };
  });
  for (const name of ["probabilities", "entropies", "zGradient", "weightGradient"]) {
    const tolerance = name.endsWith("Gradient") ? 1e-4 : 1e-5;
    expectClose(results[name], stored.stored(`centred.${name}`), tolerance, name);
  }
  for (const name of ["teacher's", "teacher weight's"]) {
    expect([...get(results, name).data].every((value) => value === 0)).toBe(true);
  }
});

test("two teacher views of one student view are one cross-entropy of mass 2", async () => {
  const feeds = {
    z: noise([2, 3, 4], 1),
    weight: noise([7, 4], 2),
    first: noise([3, 7], 3),
    second: noise([3, 7], 4),
  };
  const normalized = (x: Tensor): Tensor => div(x, sum(x, [1], { keepDims: true }));
  const results = await evaluate(feeds, (fed) => {
    const [z, weight] = [get(fed, "z"), get(fed, "weight")];
    const targets = [normalized(get(fed, "first")), normalized(get(fed, "second"))] as const;
    const one = (t: Tensor, mass = 1): Tensor =>
      sum(prototypeCrossEntropy(z, weight, t, { temperature: 0.2, mass }));
    const apart = add(one(targets[0]), one(targets[1]));
    const joint = one(add(targets[0], targets[1]), 2);
    const [a, b] = [grad(apart, [z, weight]), grad(joint, [z, weight])];
    return {
      apart,
      joint,
      "apart z": a[0] as Tensor,
      "joint z": b[0] as Tensor,
      "apart weight": a[1] as Tensor,
      "joint weight": b[1] as Tensor,
    };
  });
  for (const name of ["", " z", " weight"]) {
    const { shape, data } = get(results, `apart${name}`);
    expectClose(results[`joint${name}`], { shape, data: [...data].map(Number) }, 1e-5, `joint${name}`);
  }
});

test.each(stored.config.sinkhorn as string[])("Sinkhorn-Knopp is the official loop: %s", async (name) => {
  const { probabilities: _, ...values } = stored.under(`sinkhorn.${name}.`);
  const results = await evaluate(values, (fed) => ({
    probabilities: sinkhornProbabilities(get(fed, "z"), get(fed, "weight"), {
      temperature: constant([stored.config.sinkhornTemperature as number], []),
      present: get(fed, "present"),
    }),
  }));
  expectClose(results.probabilities, stored.stored(`sinkhorn.${name}.probabilities`), 1e-5, "probabilities");
});

/** `[rows, width]` of unit vectors around a few centres, so that the plain softmax is lopsided. */
function clustered(rows: number, width: number): HostValue<"float32"> {
  const { data } = noise([rows, width], 9);
  const values = data.map((value, i) => value - 0.5 + (i % width === 0 ? 1.5 : 0));
  for (let row = 0; row < rows; row++) {
    const cells = values.subarray(row * width, (row + 1) * width);
    const length = Math.hypot(...cells);
    cells.forEach((value, i) => {
      cells[i] = value / length;
    });
  }
  return float32(values, [rows, width]);
}

test("after many iterations rows sum to 1 and all prototypes are used equally, padding not at all", async () => {
  const [rows, prototypes] = [40, 8];
  const present = float32(
    Float32Array.from({ length: rows }, (_, i) => (i % 5 === 4 ? 0 : 1)),
    [rows],
  );
  const feeds = { z: clustered(rows, 6), weight: noise([prototypes, 6], 10), present };
  const run = (iterations: number) =>
    evaluate(feeds, (fed: Traced) => {
      const probabilities = sinkhornProbabilities(get(fed, "z"), get(fed, "weight"), {
        temperature: constant([0.1], []),
        present: get(fed, "present"),
        iterations,
      });
      return { ofSample: sum(probabilities, [1]), ofPrototype: sum(probabilities, [0]) };
    });
  const [few, many] = [await run(3), await run(100)];
  for (const { ofSample } of [few, many]) {
    [...(ofSample?.data ?? [])].forEach((total, i) => {
      expect(Number(total)).toBeCloseTo(i % 5 === 4 ? 0 : 1, 5);
    });
  }
  const worst = (result: typeof few) =>
    Math.max(
      ...[...(result.ofPrototype?.data ?? [])].map((total) => Math.abs(Number(total) - 32 / prototypes)),
    );
  expect(worst(many)).toBeLessThan(1e-3);
  expect(worst(few)).toBeGreaterThan(worst(many));
});

test("logits too large for exp do not overflow", async () => {
  const feeds = {
    z: clustered(6, 4),
    weight: noise([5, 4], 10),
    present: float32(new Float32Array(6).fill(1), [6]),
  };
  const { probabilities } = await evaluate(feeds, (fed) => ({
    probabilities: sinkhornProbabilities(get(fed, "z"), get(fed, "weight"), {
      temperature: constant([0.002], []),
      present: get(fed, "present"),
    }),
  }));
  expect([...(probabilities?.data ?? [])].every((value) => Number.isFinite(Number(value)))).toBe(true);
});

test.each(stored.config.koleo as string[])("KoLeo and its gradient are PyTorch's: %s", async (name) => {
  const values = stored.under(`koleo.${name}.`);
  const results = await evaluate({ x: get(values, "x") }, ({ x }) => {
    const loss = koleo(x as Tensor);
    return { loss, gradient: grad(loss, [x as Tensor])[0] as Tensor };
  });
  // Where all rows are close, distances are differences of nearly equal float32 numbers.
  const tolerance = name === "close" ? 1e-3 : 1e-4;
  expectClose(results.loss, stored.stored(`koleo.${name}.loss`), name === "close" ? 1e-4 : 1e-5, "loss");
  expectClose(results.gradient, stored.stored(`koleo.${name}.gradient`), tolerance, "gradient");
});

test("KoLeo of a single sample is refused", () => {
  expect(() => koleo(constant([1, 2], [1, 2]))).toThrow(/KoLeo compares the samples of a batch, got 1; use/);
});
