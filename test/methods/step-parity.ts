/** @file Compares a method's whole step with a stored one of PyTorch: every part of the loss, every gradient. */

import { expect } from "vitest";
import { add, grad, mul, type Tensor } from "#src/graph/index.js";
import type { Encoded, LossTerm, Method, Objective } from "#src/methods/index.js";
import { flattenTree, treeLike } from "#src/nn/index.js";
import { prefixed, unprefixed } from "#src/records.js";
import type { HostValue } from "#src/runtime/index.js";
import { trainedSpecs } from "#src/training/index.js";
import type { StoredModel } from "../models/helpers.js";
import {
  evaluate,
  expectClose,
  get,
  largestOf,
  relativeError,
  type Stored,
  type Traced,
} from "../nn/helpers.js";

type Values = Readonly<Record<string, HostValue>>;

export interface StepFeeds {
  /** The method's draws: by draw, then by parameter. */
  readonly draws?: Readonly<Record<string, Values>>;
  readonly buffers?: Values;
}

/**
 * Expects the parts of the loss to 1e-5 and every gradient to 1e-4 of `<name>_step.safetensors`
 * (make_contrast_steps.py says what is in it).
 * @param others Further outputs to be computed, returned as they are.
 */
export async function expectStep(
  model: StoredModel,
  method: Method,
  { draws = {}, buffers = {} }: StepFeeds = {},
  others: (encoded: Encoded, objective: Objective) => Traced = () => ({}),
): Promise<Values> {
  const parameters = model.under("parameters.");
  expect(Object.keys(flattenTree(method.parameters)).sort()).toEqual(Object.keys(parameters).sort());
  const trained = Object.keys(trainedSpecs(method));
  expect([...trained].sort()).toEqual(Object.keys(model.under("gradients.")).sort());
  const averaged = method.teacher?.parameters ?? {};
  const feeds = {
    ...prefixed(parameters, "parameter "),
    ...prefixed(model.under("teacher."), "teacher "),
    ...prefixed(buffers, "buffer "),
    ...Object.assign({}, ...Object.entries(draws).map(([draw, values]) => prefixed(values, `draw ${draw} `))),
    "view v1": model.get("v1"),
    "view u": model.get("u"),
  };
  const results = await evaluate(feeds, (inputs) => {
    const shared = {
      parameters: treeLike(method.parameters, unprefixed(inputs, "parameter ")),
      teacher: treeLike(averaged, unprefixed(inputs, "teacher ")),
      buffers: unprefixed(inputs, "buffer "),
      scalars: {},
    };
    const drawn = Object.keys(draws).map((draw) => [draw, unprefixed(inputs, `draw ${draw} `)]);
    const encoded = method.encode({
      ...shared,
      views: unprefixed(inputs, "view "),
      draws: Object.fromEntries(drawn) as Record<string, Traced>,
    });
    const objective = method.objective({ ...shared, features: encoded.features });
    const losses: Record<string, LossTerm> = { ...objective.losses, ...encoded.losses };
    const loss = Object.values(losses)
      .map(({ value, weight }) => mul(value, weight))
      .reduce((a, b) => add(a, b));
    const gradients = grad(
      loss,
      trained.map((name) => get(inputs, `parameter ${name}`)),
    );
    return {
      loss,
      ...Object.fromEntries(Object.entries(losses).map(([part, { value }]) => [`losses.${part}`, value])),
      ...Object.fromEntries(trained.map((name, i) => [`gradients.${name}`, gradients[i] as Tensor])),
      ...prefixed(others(encoded, objective), "other "),
    };
  });
  expectClose(results.loss, model.stored("loss"), 1e-5, "loss");
  const parts = Object.keys(unprefixed(results, "losses."));
  expect(parts.sort()).toEqual(Object.keys(model.under("losses.")).sort());
  for (const part of parts) {
    expectClose(results[`losses.${part}`], model.stored(`losses.${part}`), 1e-5, part);
  }
  expectGradients(trained, results, model);
  return unprefixed(results, "other ");
}

/** A gradient that is zero in exact arithmetic (a bias before a batch norm) is compared with the others' size. */
function expectGradients(names: readonly string[], results: Values, model: StoredModel): void {
  const expected = names.map((name) => model.stored(`gradients.${name}`));
  const overall = Math.max(...expected.map(({ data }) => largestOf(data)));
  names.forEach((name, i) => {
    const { shape, data } = expected[i] as Stored;
    const actual = get(results, `gradients.${name}`);
    expect(actual.shape, name).toEqual(shape);
    const isZero = data.map((value) => Math.abs(value) < 1e-9 * overall);
    const values = [...(actual.data as Float32Array)];
    const rounding = values.filter((_, at) => isZero[at]);
    expect(largestOf(rounding), `gradient of ${name} where it is zero`).toBeLessThan(1e-6 * overall);
    const [rest, wanted] = [values, data].map((all) => all.filter((_, at) => !isZero[at]));
    const error = relativeError(rest as number[], wanted as number[]);
    expect(error, `relative error of the gradient of ${name}`).toBeLessThan(1e-4);
  });
}
