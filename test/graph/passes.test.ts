/** @file Passes: off and on they compute the same, and they leave fewer nodes. */

import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  add,
  broadcastTo,
  constant,
  exp,
  type Graph,
  grad,
  input,
  makeGraph,
  matmul,
  mul,
  nodesOf,
  type PassName,
  passes,
  printGraph,
  reshape,
  runPasses,
  sin,
  slice,
  square,
  sub,
  sum,
  swapAxes,
  type Tensor,
  tanh,
  transpose,
} from "#src/graph/index.js";
import { Device } from "#src/runtime/index.js";
import { cosineLoss, expectClose, numbers, runOnce, sample, uniform } from "./operator-oracle.js";

let device: Device;
beforeAll(async () => {
  device = await Device.open({ threads: 1 });
});
afterAll(() => device.close());

/** Operations on 3 x 3 matrices; each takes two earlier values. */
const operations: readonly ((a: Tensor, b: Tensor) => Tensor)[] = [
  add,
  sub,
  mul,
  (a) => mul(a, 1),
  (a) => mul(1, a),
  (a) => add(a, 0),
  (a) => add(0, a),
  (a) => mul(mul(a, 0.5), 3),
  (a) => mul(a, broadcastTo(constant([0.5], [1, 1], a.dtype), [3, 3])),
  (a) => add(a, broadcastTo(constant([0.25], [], a.dtype), [3, 3])),
  (a) => mul(a, constant([1, 2, 3], [3], a.dtype)),
  (a, b) => matmul(a, b),
  (a, b) => matmul(swapAxes(a, 0, 1), b),
  (a, b) => matmul(mul(a, 2), swapAxes(mul(b, 0.5), 0, 1), { transposeB: true }),
  (a) => transpose(a, [1, 0]),
  (a) => reshape(reshape(a, [9]), [3, 3]),
  (a, b) => add(broadcastTo(slice(a, 0, 0, 1), [3, 3]), b),
  (a) => tanh(a),
  (a) => sin(a),
  // Two equal computations.
  (a, b) => mul(exp(mul(tanh(a), 0.1)), exp(mul(tanh(b), 0.1))),
];

type Step = readonly [operation: number, first: number, second: number];

/** The values of a random straight-line program, as a loss and its gradients. */
function build(steps: readonly Step[], inputs: readonly Tensor[]): Record<string, Tensor> {
  const values = [...inputs];
  for (const [operation, first, second] of steps) {
    const apply = operations[operation % operations.length] as (a: Tensor, b: Tensor) => Tensor;
    const pick = (i: number): Tensor => values[i % values.length] as Tensor;
    values.push(tanh(apply(pick(first), pick(second))));
  }
  const loss = cosineLoss(values.slice(-3));
  const [ga, gb] = grad(loss, inputs);
  return { loss, ga: ga as Tensor, gb: gb as Tensor };
}

const programs = fc.array(fc.tuple(fc.nat(999), fc.nat(999), fc.nat(999)), { minLength: 3, maxLength: 12 });
const names = Object.keys(passes) as PassName[];

describe("random graphs", () => {
  it.each([...names.map((name) => [name]), names].map((enabled) => ({ enabled })))(
    "compute the same with $enabled",
    async ({ enabled }) => {
      await fc.assert(
        fc.asyncProperty(programs, fc.nat(), async (steps, seed) => {
          const random = uniform(seed);
          const values = [0, 1].map(() => sample({ shape: [3, 3] }, random));
          const off = await runOnce(device, values, (...inputs) => build(steps, inputs), []);
          const on = await runOnce(device, values, (...inputs) => build(steps, inputs), enabled);
          for (const name of ["loss", "ga", "gb"])
            expectClose(numbers(on[name]), numbers(off[name]), 1e-11, name);
        }),
        { numRuns: 12, seed: 2 },
      );
    },
  );

  it("never grow", () => {
    fc.assert(
      fc.property(programs, (steps) => {
        const inputs = [input("a", [3, 3]), input("b", [3, 3])];
        const graph = makeGraph(build(steps, inputs), inputs);
        const before = computed(graph);
        for (const name of names) expect(computed(passes[name](graph))).toBeLessThanOrEqual(before);
      }),
      { numRuns: 30, seed: 3 },
    );
  });
});

/** How many nodes of a graph compute something. */
function computed(graph: Graph): number {
  return nodesOf(graph).filter(({ operator }) => operator !== "input" && operator !== "constant").length;
}

describe("simplify", () => {
  const x = input("x", [2, 3]);
  const listing = (y: Tensor): string => printGraph(runPasses(makeGraph({ y }, [x]), ["simplify"]));

  it("drops products with one and sums with zero", () => {
    expect(listing(add(mul(x, 1), 0))).toBe("graph(x: float32[2, 3])\n  return y = x");
    expect(listing(add(mul(broadcastTo(constant([1], [1]), [2, 3]), x), 0))).toMatch(/return y = x$/);
  });

  it("keeps a product with one that broadcasts", () => {
    expect(listing(mul(x, constant([1], [1, 1, 1])))).toContain("mul");
  });

  it("joins chains of scales", () => {
    const before = makeGraph({ y: mul(mul(mul(x, 2), 3), 0.5) }, [x]);
    expect(computed(before)).toBe(3);
    expect(computed(runPasses(before, ["simplify"]))).toBe(1);
  });

  it("takes transposes and scales into a product", () => {
    const y = matmul(mul(swapAxes(x, 0, 1), 2), x);
    expect(listing(y)).toMatchInlineSnapshot(`
      "graph(x: float32[2, 3])
        %0 = matmul(x, x) : float32[3, 3]
        return y = %0"
    `);
  });
});

describe("common subexpressions", () => {
  const x = input("x", [4]);

  it("merges equal computations, with equal attributes and equal constants only", () => {
    const twice = makeGraph({ y: add(exp(mul(x, 2)), exp(mul(x, 2))) }, [x]);
    expect(computed(runPasses(twice, ["eliminateCommonSubexpressions"]))).toBe(3);
    const apart = makeGraph({ y: add(exp(mul(x, 2)), exp(mul(x, 3))) }, [x]);
    expect(computed(runPasses(apart, ["eliminateCommonSubexpressions"]))).toBe(5);
    const sums = makeGraph({ y: add(sum(slice(x, 0, 0, 2)), sum(slice(x, 0, 2, 4))) }, [x]);
    expect(computed(runPasses(sums, ["eliminateCommonSubexpressions"]))).toBe(5);
  });

  it("merges what a gradient repeats", () => {
    const loss = sum(square(sin(x)));
    const graph = makeGraph({ loss, g: grad(loss, [x])[0] as Tensor, again: grad(loss, [x])[0] as Tensor }, [
      x,
    ]);
    expect(computed(runPasses(graph))).toBeLessThan(computed(graph) - 2);
  });
});
