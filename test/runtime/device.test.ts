/** @file The device: calls and their errors, closing, buffers, programs that share state. */

import type { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import {
  add,
  type DType,
  erf,
  mul,
  reshape,
  type Shape,
  sub,
  sum,
  type TensorType,
} from "#src/graph/index.js";
import { Device, float32, float32Scalar, itemOf, type ProgramDefinition } from "#src/runtime/index.js";

const type = (shape: Shape, dtype: DType = "float32"): TensorType => ({ dtype, shape });

/** y = x + 1, with `count` elements. */
function increment(count: number): ProgramDefinition {
  return {
    name: "increment",
    inputs: { x: type([count]) },
    trace: ({ x }) => ({ outputs: { y: add(x as never, 1) } }),
  };
}

/** The only state becomes itself plus the input; its sum is returned. */
const accumulate: ProgramDefinition = {
  name: "accumulate",
  inputs: { x: type([4]) },
  state: { total: type([4]) },
  trace: ({ x }, { total }) => {
    const next = add(total as never, x as never);
    return { outputs: { sum: sum(next) }, state: { total: next } };
  },
};

const vector = (...values: number[]) => float32(Float32Array.from(values), [values.length]);

test("an error inside a run names program and input, and the device stays usable", async () => {
  await using device = await Device.open({ threads: 1 });
  const program = await device.compile(increment(3));
  await expect(program.run({})).rejects.toThrow(
    'program "increment": input "x" is float32[3], and was not fed',
  );
  await expect(program.run({ x: vector(1, 2) })).rejects.toThrow("is float32[3], got float32[2]");
  await expect(device.getState(["nothing"])).rejects.toThrow('no state "nothing" on this device');
  expect((await program.run({ x: vector(1, 2, 3) })).y?.data).toEqual(Float32Array.of(2, 3, 4));
});

test("a program that the runtime cannot load is named, with what the runtime says and where to look", async () => {
  await using device = await Device.open({ threads: 1 });
  const definition: ProgramDefinition = {
    name: "no kernel",
    inputs: { x: type([2], "float64") },
    trace: ({ x }) => ({ outputs: { y: erf(x as never) } }),
  };
  // ONNX Runtime has no float64 Erf on the CPU.
  await expect(device.compile(definition)).rejects.toThrow(
    /program "no kernel" could not be loaded on "cpu": .*Erf.*printProgram/s,
  );
  const program = await device.compile(increment(1));
  expect((await program.run({ x: vector(1) })).y?.data).toEqual(Float32Array.of(2));
});

test("one name of state stands for one type", async () => {
  await using device = await Device.open({ threads: 1 });
  await device.compile(accumulate);
  await expect(device.setState({ total: vector(1, 2) })).rejects.toThrow(
    'state "total" is float32[4], not float32[2]',
  );
});

test("closing waits for the run in flight, rejects what comes later, and may be repeated", async () => {
  const device = await Device.open({ threads: 1 });
  const program = await device.compile(increment(1 << 20));
  const running = program.run({ x: float32(new Float32Array(1 << 20), [1 << 20]) });
  const closing = device.close();
  await expect(program.run()).rejects.toThrow("the device is closed");
  expect((await running).y?.data[5]).toBe(1);
  await closing;
  await device.close();
  await expect(device.getState([])).rejects.toThrow("the device is closed");
});

test("calls that wait for a worker that dies are rejected with the reason", async () => {
  const workers: Worker[] = [];
  const collect = (worker: Worker) => workers.push(worker);
  process.on("worker", collect);
  const device = await Device.open({ threads: 1 });
  process.off("worker", collect);
  const program = await device.compile(increment(1));
  const running = program.run({ x: vector(1) });
  for (const worker of workers) void worker.terminate();
  await expect(running).rejects.toThrow(
    "the device's worker ended unexpectedly (exit code 1); open a new device",
  );
  await expect(program.run({ x: vector(1) })).rejects.toThrow("ended unexpectedly");
  await device.close();
});

test("two devices hold their own state", async () => {
  await using first = await Device.open({ threads: 1 });
  await using second = await Device.open({ threads: 1 });
  const programs = await Promise.all([first.compile(accumulate), second.compile(accumulate)]);
  await first.setState({ total: vector(10, 10, 10, 10) });
  const x = vector(1, 1, 1, 1);
  const sums = await Promise.all(programs.map((program) => program.run({ x })));
  expect(sums.map(({ sum: value }) => itemOf(value as never))).toEqual([44, 4]);
});

test("state is copied unless it is handed over, and two names of one array hold two values", async () => {
  await using device = await Device.open({ threads: 1 });
  const program = await device.compile(accumulate);
  const start = vector(1, 2, 3, 4);
  await device.setState({ total: start, other: start });
  await program.run({ x: vector(1, 1, 1, 1) });
  expect(start.data).toEqual(Float32Array.of(1, 2, 3, 4));
  const { total, other } = await device.getState(["total", "other"]);
  expect(total?.data).toEqual(Float32Array.of(2, 3, 4, 5));
  expect(other?.data).toEqual(start.data);
  await device.setState({ total: start, other: start }, { transfer: true });
  expect(start.data).toHaveLength(0);
  await program.run({ x: vector(1, 1, 1, 1) });
  expect((await device.getState(["other"])).other?.data).toEqual(Float32Array.of(1, 2, 3, 4));
});

test("a released program frees its session and keeps the state", async () => {
  await using device = await Device.open({ threads: 1 });
  const program = await device.compile(accumulate);
  await program.run({ x: vector(1, 2, 3, 4) });
  await program.release();
  await expect(program.run({ x: vector(1, 2, 3, 4) })).rejects.toThrow("the program was released");
  expect((await device.getState(["total"])).total?.data).toEqual(Float32Array.of(1, 2, 3, 4));
});

test("transferred inputs are handed over, views into larger buffers and shared memory are copied", async () => {
  await using device = await Device.open({ threads: 1 });
  const program = await device.compile(increment(2));
  const own = Float32Array.of(1, 2);
  expect((await program.run({ x: float32(own, [2]) }, { transfer: true })).y?.data).toEqual(
    Float32Array.of(2, 3),
  );
  expect(own.length).toBe(0);
  const large = Float32Array.of(0, 5, 6, 0);
  const view = float32(large.subarray(1, 3), [2]);
  expect((await program.run({ x: view }, { transfer: true })).y?.data).toEqual(Float32Array.of(6, 7));
  expect(large).toEqual(Float32Array.of(0, 5, 6, 0));
  const shared = new Float32Array(new SharedArrayBuffer(8));
  shared.set([8, 9]);
  expect((await program.run({ x: float32(shared as never, [2]) })).y?.data).toEqual(Float32Array.of(9, 10));
});

test("state set from views of one large buffer carries the views only", async () => {
  await using device = await Device.open({ threads: 1 });
  const file = new Float32Array(1 << 22);
  file.set([1, 2], 10);
  const before = process.memoryUsage().rss;
  await device.setState(
    Object.fromEntries(
      Array.from({ length: 64 }, (_, i) => [`weight ${i}`, float32(file.subarray(10 + i, 12 + i), [2])]),
    ),
  );
  // 64 copies of the file would be a gigabyte.
  expect(process.memoryUsage().rss - before).toBeLessThan(300e6);
  expect((await device.getState(["weight 0"]))["weight 0"]?.data).toEqual(Float32Array.of(1, 2));
});

test("an output fed to the next run keeps its values, and the first output keeps its own", async () => {
  await using device = await Device.open({ threads: 1 });
  const program = await device.compile(increment(4));
  let value = vector(0, 1, 2, 3);
  const seen: unknown[] = [];
  for (let i = 0; i < 20; i++) {
    value = (await program.run({ x: value })).y as typeof value;
    seen.push(value.data);
  }
  expect(seen).toEqual(seen.map((_, i) => Float32Array.of(i + 1, i + 2, i + 3, i + 4)));
});

test("a gradient program writes state that an update program reads, in place", async () => {
  await using device = await Device.open({ threads: 1 });
  const gradients = await device.compile({
    name: "gradients",
    inputs: { x: type([2]) },
    state: { weight: type([2]) },
    // d(sum(x w²))/dw
    trace: ({ x }, { weight }) => ({ state: { "grad/weight": mul(mul(weight as never, x as never), 2) } }),
  });
  const update = await device.compile({
    name: "update",
    inputs: { rate: type([]) },
    state: { weight: type([2]), "grad/weight": type([2]) },
    trace: ({ rate }, { weight, "grad/weight": gradient }) => ({
      state: { weight: sub(weight as never, mul(gradient as never, rate as never)) },
    }),
  });
  expect(update.compiled.updates.map(({ inPlace }) => inPlace)).toEqual([true]);
  await device.setState({ weight: vector(1, -2) });
  const expected = [1, -2];
  for (let i = 0; i < 5; i++) {
    await gradients.run({ x: vector(1, 0.5) });
    await update.run({ rate: float32Scalar(0.25) });
    expected[0] = (expected[0] as number) * (1 - 0.25 * 2 * 1);
    expected[1] = (expected[1] as number) * (1 - 0.25 * 2 * 0.5);
    expect((await device.getState(["weight"])).weight?.data).toEqual(Float32Array.from(expected));
  }
  // Only the rate crossed.
  expect(update.transfers).toEqual({ toDevice: 4, fromDevice: 0 });
});

test("a state that something still reads is not written in place, and stays right", async () => {
  await using device = await Device.open({ threads: 1 });
  const program = await device.compile({
    name: "exchange",
    state: { a: type([2, 1]), b: type([1, 2]) },
    trace: (_, { a, b }) => ({
      state: { a: reshape(add(b as never, 1), [2, 1]), b: reshape(add(a as never, 10), [1, 2]) },
    }),
  });
  await device.setState({
    a: float32(Float32Array.of(1, 2), [2, 1]),
    b: float32(Float32Array.of(3, 4), [1, 2]),
  });
  await program.run();
  const { a, b } = await device.getState(["a", "b"]);
  expect([[...(a?.data ?? [])], [...(b?.data ?? [])]]).toEqual([
    [4, 5],
    [11, 12],
  ]);
});

test("1,000 runs do not grow the process", async () => {
  await using device = await Device.open({ threads: 1 });
  const count = 50_000;
  const program = await device.compile(increment(count));
  const step = async () => {
    await program.run({ x: float32(new Float32Array(count), [count]) }, { transfer: true });
  };
  for (let i = 0; i < 300; i++) await step();
  const before = process.memoryUsage().rss;
  for (let i = 0; i < 1000; i++) await step();
  // Each run makes 200 kB in and out: kept, they would be 400 MB.
  expect(process.memoryUsage().rss - before).toBeLessThan(60e6);
});

test("a profile names each node and the provider that ran it", async () => {
  await using device = await Device.open({ threads: 1 });
  const program = await device.compile(increment(4), { profile: true });
  for (let i = 0; i < 3; i++) await program.run({ x: vector(0, 0, 0, 0) });
  const rows = await program.endProfiling();
  expect(rows.map(({ operator, provider, count }) => [operator, provider, count])).toEqual([
    ["Add", "CPUExecutionProvider", 3],
  ]);
  await expect(program.endProfiling()).rejects.toThrow('program "increment" is not being profiled');
});

test("an unknown provider is refused with the known ones", async () => {
  await expect(Device.open({ provider: "cuda" as never })).rejects.toThrow(
    'no provider "cuda"; there are cpu and webgpu',
  );
});
