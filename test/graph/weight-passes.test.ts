/** @file Passes for exported models: folded constants are what ONNX Runtime computes; half precision is IEEE 754's. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  add,
  cast,
  constant,
  foldConstants,
  fromFloat16Bits,
  input,
  makeGraph,
  matmul,
  mean,
  mul,
  nodesOf,
  reshape,
  runPasses,
  slice,
  softmax,
  sub,
  type Tensor,
  toFloat16Bits,
  toHalfPrecision,
  transpose,
} from "#src/graph/index.js";
import { Device } from "#src/runtime/index.js";
import { expectClose, numbers, runOnce, uniform } from "./operator-oracle.js";

let device: Device;
beforeAll(async () => {
  device = await Device.open({ threads: 1 });
});
afterAll(() => device.close());

const random = uniform(7);
function noise(...shape: readonly number[]): Tensor {
  const size = shape.reduce((product, dim) => product * dim, 1);
  return constant(Float32Array.from({ length: size }, random), shape);
}

const cases: Record<string, () => Tensor> = {
  "sum that broadcasts": () => add(noise(3, 1, 4), noise(5, 1)),
  "difference with a number": () => sub(noise(3, 4), 0.5),
  "product over rows": () => mul(noise(3, 4), noise(4)),
  "means of rows": () => mean(noise(3, 4), [1], { keepDims: true }),
  "means over two dimensions": () => mean(noise(3, 4, 5), [0, 2]),
  "mean of all": () => mean(noise(3, 4)),
  reshape: () => reshape(noise(3, 4), [2, 6]),
  transpose: () => transpose(noise(2, 3, 4), [2, 0, 1]),
  "slice with steps": () => slice(noise(3, 7, 2), 1, 1, 6, 2),
  product: () => matmul(noise(3, 4), noise(4, 5)),
  "product of transposes": () =>
    matmul(noise(4, 3), noise(5, 4), { transposeA: true, transposeB: true, scale: 0.3 }),
  "product of batches": () => matmul(noise(3, 4), noise(2, 4, 5)),
  "product with a column": () => reshape(matmul(noise(3, 4), noise(4, 1)), [3]),
  "a norm's weights": () => {
    const scaled = mul(noise(6, 4), noise(4));
    return sub(scaled, mean(scaled, [1], { keepDims: true }));
  },
};

describe("foldConstants", () => {
  it.each(Object.keys(cases))("computes what the runtime computes: %s", async (name) => {
    const y = cases[name]?.() as Tensor;
    const folded = foldConstants(makeGraph({ y }));
    expect(nodesOf(folded).map(({ operator }) => operator)).toEqual(["constant"]);
    const ran = await runOnce(device, [], () => ({ y, folded: folded.outputs.y as Tensor }), []);
    expectClose(numbers(ran.folded), numbers(ran.y), 1e-6, name);
  });

  it("leaves what depends on inputs, in shape and type", () => {
    const x = input("x", [2, 3]);
    const graph = foldConstants(makeGraph({ y: mul(x, add(noise(3), noise(3))) }, [x]));
    const operators = nodesOf(graph).map(({ operator }) => operator);
    expect(operators.sort()).toEqual(["constant", "input", "mul"]);
  });
});

describe("half precision", () => {
  it("rounds numbers to the nearest half, ties to even", () => {
    // Python: numpy.float16(x).view(numpy.uint16)
    for (const [value, bits] of [
      [0, 0x0000],
      [-0, 0x8000],
      [1, 0x3c00],
      [-2.5, 0xc100],
      [1 / 3, 0x3555],
      [65504, 0x7bff],
      [65519, 0x7bff],
      [65520, 0x7c00],
      [2 ** -24, 0x0001],
      [2 ** -25, 0x0000],
      [2049, 0x6800],
      [2051, 0x6802],
    ] as const) {
      expect(toFloat16Bits(value), String(value)).toBe(bits);
    }
    for (let bits = 0; bits < 0x7c00; bits += 7) expect(toFloat16Bits(fromFloat16Bits(bits))).toBe(bits);
  });

  it("keeps inputs and outputs, scales before products, and softmax in float32", async () => {
    const x = input("x", [2, 3]);
    const y = softmax(matmul(x, constant([200, 0, 0, 0, 200, 0, 0, 0, 200], [3, 3]), { scale: 1 / 200 }));
    const graph = toHalfPrecision(runPasses(makeGraph({ y, wide: cast(x, "float32") }, [x])));
    expect(Object.values(graph.outputs).map(({ dtype }) => dtype)).toEqual(["float32", "float32"]);
    const values = { dtype: "float32" as const, shape: [2, 3], data: Float32Array.of(1, 2, 3, 400, 399, 0) };
    const program = await device.compile({
      name: "half",
      inputs: { x: values },
      trace: ({ x: fed }) => {
        const traced = softmax(
          matmul(fed as Tensor, constant([200, 0, 0, 0, 200, 0, 0, 0, 200], [3, 3]), { scale: 1 / 200 }),
        );
        return { outputs: { ...toHalfPrecision(runPasses(makeGraph({ y: traced }))).outputs } };
      },
    });
    // 400 * 200 exceeds the range of half; 400 does not.
    const rows = [
      [1, 2, 3],
      [400, 399, 0],
    ].flatMap((row) => {
      const powers = row.map((value) => Math.exp(value - Math.max(...row)));
      return powers.map((power) => power / powers.reduce((a, b) => a + b, 0));
    });
    expectClose(numbers((await program.run({ x: values })).y), rows, 2e-3, "softmax");
  });
});
