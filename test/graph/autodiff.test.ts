/** @file Differentiation: higher orders, broadcasting, cut and replaced gradients, rematerialisation. */

import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  add,
  apply,
  broadcastTo,
  checkpoint,
  constant,
  conv2d,
  convTranspose2d,
  cumsum,
  customVjp,
  div,
  exp,
  GraphError,
  gather,
  grad,
  gridSample,
  input,
  layerNorm,
  makeGraph,
  matmul,
  mul,
  nodesOf,
  type Operator,
  reshape,
  resize,
  sin,
  slice,
  softmax,
  square,
  stopGradient,
  sub,
  sum,
  type Tensor,
  tanh,
  topK,
  vjp,
} from "#src/graph/index.js";
import { Device, type HostValue, hostValue } from "#src/runtime/index.js";
import {
  checkDifferencesOf,
  cosineLoss,
  type Example,
  expectClose,
  numbers,
  runOnce,
} from "./operator-oracle.js";

let device: Device;
beforeAll(async () => {
  device = await Device.open({ threads: 1 });
});
afterAll(() => device.close());

const float64 = (values: readonly number[], shape: readonly number[]): HostValue =>
  hostValue("float64", Float64Array.from(values), shape);

const ramp = (...shape: number[]): HostValue => {
  const size = shape.reduce((a, b) => a * b, 1);
  return float64(
    Array.from({ length: size }, (_, i) => Math.sin(1 + 2 * i)),
    shape,
  );
};

describe("second derivatives", () => {
  it("equal the closed form", async () => {
    const values = [-1.5, -0.2, 0.7, 2];
    // f = x^2 sin x, f'' = (2 - x^2) sin x + 4 x cos x
    const result = await runOnce(device, [float64(values, [4])], (x) => {
      const [first] = grad(sum(mul(square(x), sin(x))), [x]);
      return { second: grad(sum(first as Tensor), [x])[0] as Tensor };
    });
    const wanted = values.map((x) => (2 - x * x) * Math.sin(x) + 4 * x * Math.cos(x));
    expectClose(numbers(result.second), wanted, 1e-13, "second derivative");
  });

  const functions: Readonly<Record<string, Example>> = {
    div: {
      inputs: [{ shape: [2, 3] }, { shape: [3], low: 0.5, high: 2 }],
      build: ([a, b]) => div(a, b),
    },
    matmul: { inputs: [{ shape: [2, 3, 2] }, { shape: [2, 4] }], build: ([a, b]) => square(matmul(a, b)) },
    softmax: { inputs: [{ shape: [2, 4] }], build: ([x]) => softmax(x) },
    layerNorm: {
      inputs: [{ shape: [2, 4] }, { shape: [4] }, { shape: [4] }],
      build: ([x, w, b]) => layerNorm(x, w, b, 0.1),
    },
    conv2d: {
      inputs: [{ shape: [2, 2, 5, 4] }, { shape: [2, 1, 3, 2] }],
      build: ([x, w]) => square(conv2d(x, w, { stride: [2, 1], padding: 1, groups: 2 })),
    },
    convTranspose2d: {
      inputs: [{ shape: [2, 2, 3, 2] }, { shape: [2, 3, 3, 2] }],
      build: ([x, w]) => square(convTranspose2d(x, w, { stride: 2, padding: 1, outputPadding: 1 })),
    },
    gridSample: {
      inputs: [{ shape: [1, 2, 3, 4] }, { shape: [1, 2, 3, 2], low: -0.9, high: 0.9 }],
      build: ([x, grid]) => gridSample(x, grid),
    },
    resize: {
      inputs: [{ shape: [1, 1, 3, 4] }],
      build: ([x]) => square(resize(x, { size: [4, 2], mode: "bicubic" })),
    },
    gather: {
      inputs: [{ shape: [3, 4] }, { shape: [5], dtype: "int64", low: 0, high: 3 }],
      build: ([x, i]) => square(gather(x, 0, i)),
    },
    topK: { inputs: [{ shape: [3, 4] }], build: ([x]) => square(topK(x, 2).values) },
    cumsum: { inputs: [{ shape: [4] }], build: ([x]) => square(cumsum(x, 0)) },
  };
  it.each(Object.entries(functions))("of %s agree with central differences of the gradient", (_, example) => {
    const gradientOf: Example = {
      inputs: example.inputs,
      build: (inputs) => {
        const wrt = inputs.filter(({ dtype }) => dtype === "float64");
        const outputs = example.build(inputs);
        return grad(cosineLoss(Array.isArray(outputs) ? outputs : [outputs]), wrt);
      },
    };
    return checkDifferencesOf(device, fc.constant(gradientOf), 2);
  });
});

describe("vjp", () => {
  it("sums a cotangent over what was broadcast", async () => {
    const result = await runOnce(device, [ramp(3, 1), ramp(2, 1, 4), ramp()], (a, b, c) => {
      const [ga, gb, gc] = grad(sum(add(add(a, b), c)), [a, b, c]);
      return { ga: ga as Tensor, gb: gb as Tensor, gc: gc as Tensor };
    });
    expect(numbers(result.ga)).toEqual([8, 8, 8]);
    expect(result.ga?.shape).toEqual([3, 1]);
    expect(numbers(result.gb)).toEqual(Array(8).fill(3));
    expect(result.gb?.shape).toEqual([2, 1, 4]);
    expect(numbers(result.gc)).toEqual([24]);
    expect(result.gc?.shape).toEqual([]);
  });

  it("adds up the uses of a tensor, among several outputs and cotangents", async () => {
    const result = await runOnce(device, [ramp(3)], (x) => {
      const [g] = vjp([mul(x, 2), mul(x, x)], [constant([1, 1, 1], [3], "float64"), x], [x]);
      return { g: g as Tensor };
    });
    const wanted = numbers(ramp(3)).map((x) => 2 + 2 * x * x);
    expectClose(numbers(result.g), wanted, 1e-14, "gradient");
  });

  it("gives zeros for a tensor that the outputs do not depend on", async () => {
    const result = await runOnce(device, [ramp(3), ramp(2, 2)], (x, other) => {
      const [g] = grad(sum(x), [other]);
      return { g: g as Tensor, y: add(sum(x), sum(other)) };
    });
    expect(numbers(result.g)).toEqual([0, 0, 0, 0]);
  });

  it("differentiates with respect to an intermediate value", async () => {
    const result = await runOnce(device, [ramp(3)], (x) => {
      const middle = exp(x);
      return { g: grad(sum(square(middle)), [middle])[0] as Tensor };
    });
    const wanted = numbers(ramp(3)).map((x) => 2 * Math.exp(x));
    expectClose(numbers(result.g), wanted, 1e-14, "gradient");
  });

  it("refuses what has no gradient, and what does not fit", () => {
    const x = input("x", [3]);
    const opaque: Operator<object> = { name: "opaque", infer: () => x, lower: () => "x", vjp: "none" };
    const [hidden] = apply(opaque, [x], {}) as [Tensor];
    expect(() => grad(sum(hidden), [x])).toThrowErrorMatchingInlineSnapshot(
      `[GraphError: opaque has no gradient, and one was asked for through it; wrap its operand in stopGradient]`,
    );
    expect(() => grad(sum(stopGradient(hidden)), [x])).not.toThrow();
    expect(() => grad(x, [x])).toThrowErrorMatchingInlineSnapshot(
      `[GraphError: grad: the loss must be a floating point scalar, got float32[3]; sum or average it]`,
    );
    expect(() => vjp([x], [constant([1], [1])], [x])).toThrowErrorMatchingInlineSnapshot(
      `[GraphError: vjp: the cotangent of output 0 is float32[1], the output is float32[3]]`,
    );
    expect(() => grad(x, [x])).toThrow(GraphError);
  });
});

describe("customVjp", () => {
  it("puts a rule in place of the gradient", async () => {
    const result = await runOnce(device, [ramp(3)], (x) => {
      const doubled = mul(x, 2);
      const [y] = customVjp([x], [doubled], ([inner], [outer], [g]) => [
        g && mul(g, add(inner as Tensor, outer as Tensor)),
      ]) as [Tensor];
      return { y, g: grad(sum(y), [x])[0] as Tensor };
    });
    const values = numbers(ramp(3));
    expectClose(
      numbers(result.y),
      values.map((x) => 2 * x),
      1e-15,
      "value",
    );
    expectClose(
      numbers(result.g),
      values.map((x) => 3 * x),
      1e-15,
      "gradient",
    );
  });

  it("hands the rule only the cotangents that arrived", () => {
    const x = input("x", [2]);
    let seen: readonly boolean[] = [];
    const [, second] = customVjp([x], [mul(x, 2), mul(x, 3)], (_, __, cotangents) => {
      seen = cotangents.map((g) => g !== undefined);
      return [cotangents[1]];
    }) as [Tensor, Tensor];
    grad(sum(second), [x]);
    expect(seen).toEqual([false, true]);
  });
});

describe("checkpoint", () => {
  /** Two layers on x with captured weights, one of them behind a reshape. */
  const layers = (w: Tensor, flat: Tensor) => (x: Tensor) =>
    tanh(matmul(sin(matmul(x, w)), reshape(flat, [4, 4])));

  it("changes neither values nor gradients, also of captured tensors", async () => {
    const run = (isCheckpointed: boolean) =>
      runOnce(device, [ramp(3, 4), ramp(4, 4), ramp(16)], (x, w, flat) => {
        const block = layers(w, flat);
        const wrap = (h: Tensor): Tensor =>
          isCheckpointed ? checkpoint((t) => block(t as Tensor), h) : block(h);
        const y = wrap(wrap(exp(x)));
        const [gx, gw, gf] = grad(cosineLoss([y]), [x, w, flat]);
        return { y, gx: gx as Tensor, gw: gw as Tensor, gf: gf as Tensor };
      });
    const [plain, saved] = [await run(false), await run(true)];
    for (const name of ["y", "gx", "gw", "gf"]) {
      expectClose(numbers(saved[name]), numbers(plain[name]), 1e-12, name);
      expect(
        numbers(plain[name]).some((value) => Math.abs(value) > 1e-3),
        name,
      ).toBe(true);
    }
  });

  it("counts a captured tensor once that also reaches the inputs or another captured tensor", async () => {
    const run = (isCheckpointed: boolean) =>
      runOnce(device, [ramp(4)], (x) => {
        const [before, beside] = [exp(x), sin(x)];
        const block = (t: Tensor): Tensor => mul(mul(sin(t), x), beside);
        const y = isCheckpointed ? checkpoint((t) => block(t as Tensor), before) : block(before);
        return { g: grad(sum(y), [x])[0] as Tensor };
      });
    expectClose(numbers((await run(true)).g), numbers((await run(false)).g), 1e-13, "gradient");
  });

  it("can be differentiated twice", async () => {
    const second = (isCheckpointed: boolean) =>
      runOnce(device, [ramp(4)], (x) => {
        const f = (t: Tensor): Tensor => sin(square(t));
        const y = isCheckpointed ? checkpoint((t) => f(t as Tensor), mul(x, 2)) : f(mul(x, 2));
        return { g: grad(sum(grad(sum(y), [x])[0] as Tensor), [x])[0] as Tensor };
      });
    expectClose(
      numbers((await second(true)).g),
      numbers((await second(false)).g),
      1e-12,
      "second derivative",
    );
  });

  it("nests", async () => {
    const result = await runOnce(device, [ramp(4)], (x) => {
      const inner = (t: Tensor): Tensor => checkpoint((u) => sin(u as Tensor), mul(t, 2));
      const outer = checkpoint((t) => exp(inner(t as Tensor)), x);
      return {
        nested: grad(sum(outer), [x])[0] as Tensor,
        plain: grad(sum(exp(sin(mul(x, 2)))), [x])[0] as Tensor,
      };
    });
    expectClose(numbers(result.nested), numbers(result.plain), 1e-13, "gradient");
  });

  it("recomputes: neither our passes nor the runtime's optimiser merge it back", async () => {
    const count = async (isCheckpointed: boolean): Promise<number> => {
      const program = await device.compile(
        {
          name: "checkpoint",
          inputs: { x: ramp(3, 4), w: ramp(4, 4) },
          trace: ({ x, w }) => {
            const block = (t: Tensor): Tensor => sin(matmul(t, w as Tensor));
            let h = x as Tensor;
            for (let layer = 0; layer < 3; layer++) {
              h = isCheckpointed ? checkpoint((t) => block(t as Tensor), h) : block(h);
            }
            const [g] = grad(sum(square(h)), [x as Tensor]);
            return { outputs: { g: g as Tensor } };
          },
        },
        { profile: true },
      );
      await program.run({ x: ramp(3, 4), w: ramp(4, 4) });
      const rows = await program.endProfiling();
      return rows
        .filter(({ operator }) => operator.endsWith("MatMul"))
        .reduce((total, row) => total + row.count, 0);
    };
    // A product a layer forward, one backward, and one more where it is computed again.
    expect(await count(false)).toBe(6);
    expect(await count(true)).toBe(9);
  });

  it("keeps no intermediate value alive between the forward and the backward pass", () => {
    const x = input("x", [4]);
    const inside: Tensor[] = [];
    const y = checkpoint((t) => {
      const middle = exp(t as Tensor);
      inside.push(middle);
      return sin(middle);
    }, x);
    const [g] = grad(sum(square(y)), [x]);
    const graph = makeGraph({ g: g as Tensor });
    const original = inside[0] as Tensor;
    const readers = nodesOf(graph).filter((node) => node.inputs.includes(original));
    // Only the forward pass reads the first computation; the backward pass reads its own.
    expect(readers.map(({ operator }) => operator)).toEqual(["sin"]);
    expect(inside.length).toBe(2);
  });
});

describe("indices and pieces", () => {
  it("a gradient reaches only the elements that were read", async () => {
    const result = await runOnce(device, [ramp(2, 5)], (x) => ({
      g: grad(sum(slice(x, 1, 1, 4, 2)), [x])[0] as Tensor,
      wide: sub(broadcastTo(x, [2, 5]), x),
    }));
    expect(numbers(result.g)).toEqual([0, 1, 0, 1, 0, 0, 1, 0, 1, 0]);
  });
});
