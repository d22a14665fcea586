/** @file The WebGPU provider: state that stays on the GPU, what falls back to the CPU, and errors where it is missing. */

import { describe, expect, test } from "vitest";
import {
  add,
  cast,
  type DType,
  matmul,
  mean,
  mul,
  type Shape,
  square,
  sub,
  type TensorType,
} from "#src/graph/index.js";
import { differences } from "#src/runtime/conformance/index.js";
import { Device, float32, type HostValue, hostValue, itemOf, ProviderError } from "#src/runtime/index.js";
import { prepareWebGpu } from "./webgpu.js";

const type = (shape: Shape, dtype: DType = "float32"): TensorType => ({ dtype, shape });
const ramp = (shape: Shape): HostValue => {
  const size = shape.reduce((a, b) => a * b, 1);
  return float32(
    Float32Array.from({ length: size }, (_, i) => Math.sin(i + 1)),
    shape,
  );
};

function expectClose(found: HostValue | undefined, expected: HostValue): void {
  expect(differences({ value: found as HostValue }, { value: expected }, 1e-5)).toEqual([]);
}

test("without a driver it says what was tried and what to install", async () => {
  const before = process.env.VK_DRIVER_FILES;
  process.env.VK_DRIVER_FILES = "/no/such/driver.json";
  try {
    const error = await Device.open({ provider: "webgpu" }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ProviderError);
    expect((error as Error).message).toMatch(
      /^the provider "webgpu" does not start on this machine \(\w+\/\w+\): /,
    );
    expect((error as Error).message).toMatch(/install|onnxruntime-node does not contain it/);
    expect((error as Error).message).toContain("--device cpu");
  } finally {
    if (before === undefined) delete process.env.VK_DRIVER_FILES;
    else process.env.VK_DRIVER_FILES = before;
  }
});

const webgpu = await prepareWebGpu();
if ("missing" in webgpu) console.warn(`WebGPU tests skipped: ${webgpu.missing}`);

describe.skipIf("missing" in webgpu)("with a driver", () => {
  test("state never crosses in a step: the counters are the batch and the metrics", async () => {
    await using device = await Device.open({ provider: "webgpu" });
    const step = await device.compile({
      name: "step",
      inputs: { x: type([16, 8]), rate: type([]) },
      state: { weight: type([8, 4]), moment: type([8, 4]) },
      trace: ({ x, rate }, { weight, moment }) => {
        const [inputs, w, m, lr] = [x, weight, moment, rate] as never[] as [never, never, never, never];
        const out = matmul(inputs, w);
        const gradient = matmul(inputs, mul(out, 2 / out.size), { transposeA: true });
        const next = add(mul(m, 0.9), gradient);
        return {
          outputs: { loss: mean(square(out)) },
          state: { weight: sub(w, mul(next, lr)), moment: next },
        };
      },
    });
    await device.setState({ weight: ramp([8, 4]) });
    const losses: number[] = [];
    for (let i = 0; i < 6; i++) {
      const { loss } = await step.run({ x: ramp([16, 8]), rate: float32(Float32Array.of(0.5), []) });
      losses.push(itemOf(loss as HostValue));
      expect(step.transfers).toEqual({ toDevice: 16 * 8 * 4 + 4, fromDevice: 4 });
    }
    const after = await device.getState(["weight", "moment"]);
    await using cpu = await Device.open();
    const reference = await cpu.load({ ...step.compiled });
    await cpu.setState({ weight: ramp([8, 4]) });
    for (const loss of losses) {
      const expected = await reference.run({ x: ramp([16, 8]), rate: float32(Float32Array.of(0.5), []) });
      expect(loss).toBeCloseTo(itemOf(expected.loss as HostValue), 5);
    }
    for (const [name, value] of Object.entries(await cpu.getState(["weight", "moment"]))) {
      expectClose(after[name], value);
    }
  });

  test("state of every element type is written and read back", async () => {
    await using device = await Device.open({ provider: "webgpu" });
    const values = {
      float32: float32(Float32Array.of(1.5, -2, 3e-5), [3]),
      int64: hostValue("int64", BigInt64Array.of(1n, -(2n ** 40n), 7n), [3]),
      int32: hostValue("int32", Int32Array.of(1, -2, 3), [3]),
      bool: hostValue("bool", Uint8Array.of(1, 0, 1), [3]),
      scalar: float32(Float32Array.of(7), []),
    };
    await device.setState(values);
    expect(await device.getState(Object.keys(values))).toEqual(values);
    await device.setState({ scalar: float32(Float32Array.of(8), []) });
    expect((await device.getState(["scalar"])).scalar?.data).toEqual(Float32Array.of(8));
  });

  test("nodes that it leaves to the CPU are named", async () => {
    await using device = await Device.open({ provider: "webgpu" });
    const plain = await device.compile({
      name: "plain",
      inputs: { x: type([4, 4]) },
      trace: ({ x }) => ({ outputs: { y: matmul(x as never, x as never, { transposeB: true }) } }),
    });
    expect(await device.nodesOnCpu(plain)).toEqual([]);
    const mixed = await device.compile({
      name: "mixed",
      inputs: { x: type([4, 4]) },
      trace: ({ x }) => ({
        outputs: {
          y: add(cast(cast(x as never, "float64"), "float32"), x as never),
          d: cast(x as never, "float64"),
        },
      }),
    });
    expect(await device.nodesOnCpu(mixed)).toContainEqual(expect.stringMatching(/^Cast \(Cast_\d+\)$/));
  });

  test("two devices, and one opened after another was closed", async () => {
    const program = {
      name: "sum",
      inputs: { x: type([3]) },
      trace: ({ x }: Record<string, never>) => ({ outputs: { y: add(x as never, 1) } }),
    };
    for (let round = 0; round < 2; round++) {
      await using first = await Device.open({ provider: "webgpu" });
      await using second = await Device.open({ provider: "webgpu" });
      const programs = await Promise.all([first.compile(program as never), second.compile(program as never)]);
      const results = await Promise.all(programs.map((loaded) => loaded.run({ x: ramp([3]) })));
      const expected = float32(
        Float32Array.from([1, 2, 3], (i) => Math.sin(i) + 1),
        [3],
      );
      for (const { y } of results) {
        expectClose(y, expected);
      }
    }
  });

  test("state outlives the program that wrote it", async () => {
    await using device = await Device.open({ provider: "webgpu" });
    const increment = {
      name: "increment",
      state: { s: type([1000]) },
      trace: (_: unknown, { s }: Record<string, never>) => ({ state: { s: add(s as never, 1) } }),
    };
    for (let i = 1; i <= 3; i++) {
      const program = await device.compile(increment as never);
      await program.run();
      await program.run();
      await program.release();
      expect((await device.getState(["s"])).s?.data[999]).toBe(2 * i);
    }
  });

  test("300 steps do not grow the process", async () => {
    await using device = await Device.open({ provider: "webgpu" });
    const shape = [256, 256];
    const program = await device.compile({
      name: "grow",
      state: { s: type(shape) },
      trace: (_, { s }) => ({ state: { s: add(s as never, 1) } }),
    });
    for (let i = 0; i < 100; i++) await program.run();
    const before = process.memoryUsage().rss;
    for (let i = 0; i < 300; i++) await program.run();
    // Each step makes a buffer of 262 kB: kept, they would be 79 MB.
    expect(process.memoryUsage().rss - before).toBeLessThan(40e6);
    expect((await device.getState(["s"])).s?.data[0]).toBe(400);
  });
});
