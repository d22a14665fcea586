/** @file The transforms on the WebGPU provider, where one starts, against the CPU. */

import { afterAll, beforeAll, expect, test } from "vitest";
import type { Tensor } from "#src/graph/index.js";
import { randomStream } from "#src/random.js";
import { Device, type ProgramDefinition } from "#src/runtime/index.js";
import {
  augmentation,
  drawBatch,
  pipeline,
  type RandomTransform,
  transformation,
} from "#src/transforms/index.js";
import { prepareWebGpu } from "../runtime/webgpu.js";
import { largestDifference, readFixture, type StoredArray, stored } from "./helpers.js";

const webgpu = await prepareWebGpu();
const images = stored(readFixture<{ square: StoredArray }>("blur.json").square); // [3, 3, 15, 15]

const transforms: readonly [string, RandomTransform][] = [
  ["all, second view", augmentation(pipeline("all").globals[1].augmentation)],
  ["se2", transformation("se2")],
  ["se2, reflected borders", transformation("se2", { padding: "reflection" })],
  ["color", transformation("color")],
  ["blur", transformation("blur", { ranges: { sigma: [0.1, 1.5] } })],
];

const devices: Device[] = [];
beforeAll(async () => {
  if ("missing" in webgpu) return;
  devices.push(await Device.open({ provider: "cpu", threads: 1 }), await Device.open({ provider: "webgpu" }));
});
afterAll(async () => {
  for (const device of devices) await device.close();
});

const reason = "missing" in webgpu ? ` (skipped: ${webgpu.missing})` : "";

test.skipIf(reason !== "").each(transforms)(`%s${reason}`, async (name, transform) => {
  const draws = drawBatch(
    transform,
    [4, 5, 6].map((sample) => randomStream(3, name, sample)),
  );
  const inputs = { images, ...draws };
  const definition: ProgramDefinition = {
    name,
    inputs,
    trace: (t) => ({ outputs: { result: transform.apply(t.images as Tensor, t) } }),
  };
  const [onCpu, onGpu] = await Promise.all(
    devices.map(async (device) => (await (await device.compile(definition)).run(inputs)).result),
  );
  expect(largestDifference(onGpu as typeof images, onCpu as typeof images)).toBeLessThan(2e-5);
  expect(largestDifference(onCpu as typeof images, images)).toBeGreaterThan(0.01);
});
