/** @file Tiling: every rule computes what the whole graph computes, and really works on blocks. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  add,
  broadcastTo,
  concat,
  constant,
  conv2d,
  convTranspose2d,
  customVjp,
  exp,
  fold,
  type Graph,
  grad,
  greater,
  gridSample,
  input,
  inputName,
  layerNorm,
  makeGraph,
  matmul,
  max,
  mean,
  mul,
  nodesOf,
  pad,
  reshape,
  slice,
  softmax,
  split,
  square,
  stopGradient,
  sub,
  sum,
  type Tensor,
  tanh,
  tile,
  transpose,
  unfold,
  where,
} from "#src/graph/index.js";
import { Device, float32 } from "#src/runtime/index.js";

const [SAMPLES, TOKENS, WIDTH] = [8, 4, 6];
const ROWS = SAMPLES * TOKENS;
/** Four blocks of eight rows, two samples. */
const options = { blockElements: (ROWS * WIDTH) / 4, minimumRows: 2 };

interface Given {
  /** The layer's output, `[32, 6]`, of which blocks are made. */
  readonly rows: Tensor;
  /** `[8, 4, 6]` */
  readonly samples: Tensor;
  /** `[6, 6]` */
  readonly weight: Tensor;
  /** `[8, 6, 2, 2]` */
  readonly images: Tensor;
  /** `[6, 2, 2, 2]` */
  readonly kernel: Tensor;
}

/** What follows the layer. */
const cases: Readonly<Record<string, (given: Given) => Tensor>> = {
  "a bias and a factor per row": ({ rows, weight }) =>
    mul(add(rows, slice(weight, 0, 0, 1)), sum(rows, [-1], { keepDims: true })),
  "a second layer": ({ rows, weight }) => matmul(tanh(rows), weight, { transposeB: true }),
  "a layer norm": ({ rows, weight }) =>
    layerNorm(rows, reshape(slice(weight, 0, 0, 1), [WIDTH]), reshape(slice(weight, 0, 1, 2), [WIDTH]), 1e-5),
  attention: ({ samples }) => {
    const heads = transpose(reshape(samples, [SAMPLES, TOKENS, 3, 1, 2]), [2, 0, 3, 1, 4]);
    const [q, k, v] = split(heads, 0, [1, 1, 1]).map((part) => reshape(part, [SAMPLES, 1, TOKENS, 2]));
    const mixed = matmul(softmax(matmul(q as Tensor, k as Tensor, { transposeB: true })), v as Tensor);
    return reshape(transpose(mixed, [0, 2, 1, 3]), [ROWS, 2]);
  },
  "one matrix for all samples": ({ samples, weight }) => matmul(samples, reshape(weight, [1, WIDTH, WIDTH])),
  "one table for the matrices of all samples": ({ samples }) => {
    const table = constant(
      Float32Array.from({ length: 2 * ROWS * WIDTH }, (_, i) => Math.cos(i)),
      [2 * ROWS, WIDTH],
    );
    return matmul(table, transpose(samples, [0, 2, 1]));
  },
  "a token in front": ({ samples, weight }) =>
    concat([broadcastTo(reshape(slice(weight, 0, 0, 1), [1, 1, WIDTH]), [SAMPLES, 1, WIDTH]), samples], 1),
  "two halves of the batch beside each other": ({ samples }) =>
    concat(split(samples, 0, [SAMPLES / 2, SAMPLES / 2]), 2),
  "parts of uneven size": ({ rows }) => {
    const [first, second] = split(rows, 0, [3, ROWS - 3]);
    return concat([second as Tensor, first as Tensor], 0);
  },
  "a slice and padding": ({ samples }) => pad(slice(samples, 1, 1), { axis: 2, before: 1, after: 0 }),
  "a slice of the batch": ({ samples }) => slice(samples, 0, 1, 4),
  "sums over samples": ({ samples }) => sum(samples, [0]),
  "means over samples and tokens": ({ samples }) => mean(samples, [0, 1]),
  "the mean of all": ({ samples }) => mean(samples),
  "a mean per sample, taken away": ({ samples }) => sub(samples, mean(samples, [1], { keepDims: true })),
  "a mean over the batch, taken away": ({ samples }) => sub(samples, mean(samples, [0], { keepDims: true })),
  "maxima over samples and over tokens": ({ samples }) =>
    add(max(samples, [0], { keepDims: true }), max(samples, [1], { keepDims: true })),
  "a choice": ({ rows }) => where(greater(rows, 0), rows, 0),
  "the product of rows with rows": ({ rows }) => matmul(rows, exp(rows), { transposeA: true }),
  "rows turned": ({ rows, weight }) => matmul(weight, transpose(rows, [1, 0])),
  "what stands for its operand": ({ rows }) =>
    at0(customVjp([rows], [mul(rows, stopGradient(rows))], (_, __, [g]) => [g])),
  "a convolution": ({ images, kernel }) => conv2d(images, transpose(kernel, [1, 0, 2, 3]), { padding: 1 }),
  "a transposed convolution": ({ images, kernel }) => convTranspose2d(images, kernel, { stride: 2 }),
  "columns and back": ({ images }) =>
    fold(mul(unfold(images, { kernel: 2, padding: 1 }), 2), { kernel: 2, padding: 1, size: 2 }),
  "sampled images": ({ images, samples }) =>
    gridSample(images, reshape(tanh(slice(samples, 2, 0, 4)), [SAMPLES, 2, 4, 2])),
  "channels by position": ({ images }) => reshape(transpose(images, [1, 0, 2, 3]), [WIDTH, -1]),
};

const at0 = (list: readonly Tensor[]): Tensor => list[0] as Tensor;

let device: Device;
beforeAll(async () => {
  device = await Device.open({ threads: 1 });
});
afterAll(() => device.close());

const types = { x: [ROWS, WIDTH], weight: [WIDTH, WIDTH], kernel: [WIDTH, 2, 2, 2] };

function trace(make: (given: Given) => Tensor, { x, weight, kernel }: Record<keyof typeof types, Tensor>) {
  const rows = matmul(x, weight);
  const samples = reshape(rows, [SAMPLES, TOKENS, WIDTH]);
  const images = reshape(transpose(samples, [0, 2, 1]), [SAMPLES, WIDTH, 2, 2]);
  const y = make({ rows, samples, weight, images, kernel });
  const loss = sum(square(tanh(add(y, 0.1))));
  const [dx, dWeight, dKernel] = grad(loss, [x, weight, kernel]) as [Tensor, Tensor, Tensor];
  return { y, dx, dWeight, dKernel };
}

describe("tiling", () => {
  it.each(Object.entries(cases))("leaves the values and gradients of %s", async (_, make) => {
    const values = Object.fromEntries(
      Object.entries(types).map(([name, shape], seed) => {
        const size = shape.reduce((product, dim) => product * dim, 1);
        return [
          name,
          float32(
            Float32Array.from({ length: size }, (_, i) => Math.sin(1 + 1.7 * i + seed)),
            shape,
          ),
        ];
      }),
    );
    const results = [];
    for (const tiling of [false, options] as const) {
      const program = await device.compile({
        name: "tiled",
        inputs: values,
        tile: tiling,
        trace: (inputs) => ({ outputs: trace(make, inputs as Parameters<typeof trace>[1]) }),
      });
      results.push(await program.run(values));
      await program.release();
    }
    const [whole, tiled] = results as [Record<string, { data: Float32Array }>, (typeof results)[0]];
    for (const [name, { data }] of Object.entries(whole)) {
      const scale = Math.max(...data.map(Math.abs), 1);
      const other = tiled[name]?.data ?? [];
      expect(other).toHaveLength(data.length);
      const error = data.reduce((most, value, i) => Math.max(most, Math.abs(value - Number(other[i]))), 0);
      expect(error, name).toBeLessThan(3e-6 * scale);
    }
  });

  const traced = (make: (given: Given) => Tensor): Graph => {
    const inputs = Object.fromEntries(
      Object.entries(types).map(([name, shape]) => [name, input(name, shape)]),
    );
    return makeGraph(trace(make, inputs as Parameters<typeof trace>[1]));
  };
  const count = (graph: Graph, operator: string): number =>
    nodesOf(graph).filter((node) => node.operator === operator).length;

  it("runs layers and attention in four blocks, forward and backward", () => {
    for (const [name, products] of [
      ["attention", 1 + 2 + 4 + 2],
      ["a second layer", 2 + 4],
    ] as const) {
      const graph = traced(cases[name] as (given: Given) => Tensor);
      expect(count(graph, "matmul")).toBe(products);
      expect(count(tile(graph, options), "matmul")).toBe(4 * products);
      expect(count(tile(graph, options), "concat")).toBeLessThanOrEqual(count(graph, "concat") * 4 + 2);
    }
  });

  it("begins at layers: a large weight whose rows are centred stays whole, as does its gradient", () => {
    // As many rows as the batch, and large: nothing but the product tells them apart.
    const graph = traced(({ rows }) => {
      const large = input("large", [ROWS, WIDTH]);
      const means = matmul(large, constant(new Float32Array(WIDTH).fill(1 / WIDTH), [WIDTH, 1]));
      const centred = sub(large, broadcastTo(means, large.shape));
      const [gradient] = grad(sum(square(tanh(centred))), [large]);
      return add(rows, gradient as Tensor);
    });
    const ofLarge = (tiled: Graph) =>
      nodesOf(tiled).filter(({ inputs }) =>
        inputs.some((tensor) => tensor.producer.operator === "input" && inputName(tensor) === "large"),
      );
    expect(ofLarge(tile(graph, options)).length).toBe(ofLarge(graph).length);
    expect(count(tile(graph, options), "matmul")).toBe(count(graph, "matmul") + 3 * 3);
  });

  it("leaves a graph whose activations are small as it is", () => {
    const graph = traced(({ rows }) => rows);
    expect(tile(graph)).toBe(graph);
  });
});
