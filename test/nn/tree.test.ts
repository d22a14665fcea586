/** @file Parameter trees: names, types, and the drawing of initial values. */

import { expect, expectTypeOf, test } from "vitest";
import type { Tensor } from "#src/graph/index.js";
import {
  convTranspose2dParameters,
  flattenTree,
  type Initializer,
  initialize,
  kaimingUniformInitializer,
  type Linear,
  linearParameters,
  mapTree,
  normalInitializer,
  onesInitializer,
  type ParameterSpec,
  parameter,
  parameterCount,
  type TracedTree,
  treeLike,
  truncatedNormalInitializer,
  xavierUniformInitializer,
} from "#src/nn/index.js";
import { randomStream } from "#src/random.js";
import { fixture } from "./helpers.js";

interface Net<Leaf> {
  readonly layers: readonly Linear<Leaf>[];
  readonly scale: Leaf;
  readonly extra?: Leaf;
}

const net: Net<ParameterSpec> = {
  layers: [linearParameters(3, 2), linearParameters(2, 1, { bias: false })],
  scale: parameter([2], onesInitializer),
};

test("names are the paths, in the tree's order", () => {
  expect(Object.keys(flattenTree(net))).toEqual([
    "layers.0.weight",
    "layers.0.bias",
    "layers.1.weight",
    "scale",
  ]);
  expect(parameterCount(net)).toBe(6 + 2 + 2 + 2);
});

test("a tree of other leaves has the same type and shape", () => {
  const sizes = mapTree(net, (spec, name) => ({ name, count: spec.shape.length }));
  expect(sizes.layers[0]?.weight).toEqual({ name: "layers.0.weight", count: 2 });
  expectTypeOf<TracedTree<Net<ParameterSpec>>>().toExtend<Net<Tensor>>();
  const values = treeLike(net, { "layers.0.weight": 1, "layers.0.bias": 2, "layers.1.weight": 3, scale: 4 });
  expect(values).toEqual({ layers: [{ weight: 1, bias: 2 }, { weight: 3 }], scale: 4 });
});

test("a missing value and a node that is none are named", () => {
  expect(() => treeLike(net, {})).toThrow('no value for the parameter "layers.0.weight"');
  expect(() => flattenTree({ a: [{ b: 3 }] })).toThrow('"a.0.b" is 3; a tree\'s nodes are');
});

test("initial values depend on seed and name alone", () => {
  const all = initialize(net, 7);
  expect(Object.keys(all)).toEqual(Object.keys(flattenTree(net)));
  expect(initialize({ layers: [linearParameters(3, 2)] }, 7)["layers.0.weight"]).toEqual(
    all["layers.0.weight"],
  );
  expect(initialize(net, 8)["layers.0.weight"]?.data).not.toEqual(all["layers.0.weight"]?.data);
  expect(all.scale?.data).toEqual(Float32Array.of(1, 1));
});

function moments(initializer: Initializer, shape: readonly number[]) {
  const values = initializer(shape, randomStream(3, "moments"));
  const mean = values.reduce((a, b) => a + b, 0) / values.length;
  const std = Math.sqrt(values.reduce((total, v) => total + (v - mean) ** 2, 0) / values.length);
  return { mean, std, largest: values.reduce((m, v) => Math.max(m, Math.abs(v)), 0) };
}

test("normal initialisers have their deviation; the truncated one is cut at 2, absolute", () => {
  const usual = moments(truncatedNormalInitializer(0.02), [200, 200]);
  expect(usual.mean).toBeCloseTo(0, 3);
  expect(usual.std).toBeCloseTo(0.02, 3);
  expect(moments(truncatedNormalInitializer(1.5), [100, 100]).largest).toBeLessThanOrEqual(2);
  expect(moments(normalInitializer(1.5), [100, 100]).largest).toBeGreaterThan(3);
});

test("uniform initialisers reach PyTorch's bounds and not further", () => {
  const { xavierUniform, linearDefault, convTransposeDefault } = fixture.bounds;
  expect(moments(xavierUniformInitializer(), [24, 40]).largest).toBeCloseTo(xavierUniform, 2);
  expect(moments(kaimingUniformInitializer, [24, 40]).largest).toBeCloseTo(linearDefault, 2);
  const { weight } = convTranspose2dParameters(8, 6, 4);
  expect(moments(weight.initializer, weight.shape).largest).toBeCloseTo(convTransposeDefault, 3);
});

test("query, key and value start as three matrices, a patch projection as one (MoCo v3, vits.py)", () => {
  const joint = moments(xavierUniformInitializer({ parts: 3 }), [3 * 64, 64]).largest;
  expect(joint).toBeCloseTo(Math.sqrt(6 / (64 + 64)), 3);
  const patch = moments(xavierUniformInitializer({ asMatrix: true }), [384, 3, 16, 16]).largest;
  expect(patch).toBeCloseTo(Math.sqrt(6 / (3 * 256 + 384)), 4);
});
