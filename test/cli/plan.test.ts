/** @file `inbetween plan` and `inbetween recipes`: figures against published ones, and what is refused. */

import { expect, test } from "vitest";
import { parseConfig, stepCost } from "#src/training/index.js";
import { inbetween, inbetweenJson } from "./helpers.js";

const vits16 = (method: Readonly<Record<string, unknown>>, changes = {}) =>
  parseConfig(
    {
      name: "test",
      imageSize: 224,
      encoder: { preset: "small", patchSize: 16 },
      method,
      augmentation: { pipeline: "mae" },
      optimizer: { baseLearningRate: 1e-3 },
      batchSize: 4,
      steps: 1,
      ...changes,
    },
    "test",
  );

test("MAE with a ViT-S/16: parameters and operations are those of the architecture", () => {
  const { parameters, flops, memory, microBatch } = stepCost(vits16({ name: "mae" }));
  // Published 21,665,664, less the 197 fixed positions of 384.
  expect(parameters.encoder).toBe(21_665_664 - 197 * 384);
  const block = (width: number) => 12 * width * width + 13 * width;
  const decoder = (384 + 1) * 512 + 512 + 8 * block(512) + 2 * 512 + (512 + 1) * 768;
  expect(parameters).toMatchObject({ heads: { decoder }, total: parameters.encoder + decoder, teacher: 0 });
  // Forward products: 50 tokens in the encoder, 197 in the decoder; twice as many backward.
  const products = (tokens: number, width: number, depth: number) =>
    depth * (2 * tokens * 12 * width * width + 4 * tokens * tokens * width);
  const forward =
    products(50, 384, 12) +
    2 * 49 * 768 * 384 +
    2 * 50 * 384 * 512 +
    products(197, 512, 8) +
    2 * 196 * 512 * 768;
  expect(flops / (3 * 4 * forward)).toBeGreaterThan(0.99);
  expect(flops / (3 * 4 * forward)).toBeLessThan(1.01);
  // Parameters and two moments, float32.
  expect(memory.state / (12 * parameters.total)).toBeCloseTo(1, 2);
  expect(memory.activations).toBeGreaterThan(4 * 4 * 12 * 50 * 384 * 10);
  expect(microBatch).toBe(4);
});

test("a teacher is state and no trained parameter; accumulation takes less memory and an encoding more", () => {
  const method = { name: "ijepa" };
  const whole = stepCost(vits16(method));
  expect(whole.parameters.teacher).toBe(21_665_664 - 198 * 384);
  const averages = 4 * whole.parameters.teacher;
  expect(whole.memory.state / (12 * whole.parameters.total + averages)).toBeCloseTo(1, 2);
  const parts = stepCost(vits16(method, { accumulate: 2 }));
  // And the sums of the gradients.
  expect(parts.memory.state / (16 * parts.parameters.total + averages)).toBeCloseTo(1, 2);
  expect(parts.microBatch).toBe(2);
  expect(parts.memory.activations).toBeLessThan(0.7 * whole.memory.activations);
  expect(parts.flops).toBeGreaterThan(whole.flops);
});

test("plan prints one JSON object: lengths in steps, times in seconds", async () => {
  const plan = await inbetweenJson(
    "plan",
    "small/mae",
    "--images",
    "1280",
    "--epochs",
    "2",
    "--threads",
    "1",
  );
  expect(plan).toMatchObject({
    recipe: "small/mae",
    images: 1280,
    batchSize: 128,
    totalSteps: 20,
    paper: [{ gpus: 16, utilization: 0.35 }, { gpus: 64 }],
  });
  const { here, flops, paper } = plan as {
    readonly here: Readonly<Record<string, number>>;
    readonly flops: number;
    readonly paper: readonly { readonly seconds: number }[];
  };
  // Products take the share that is said of them.
  const products = (here.secondsPerStep as number) * (here.productShare as number);
  const moving = (here.secondsPerStep as number) - products;
  const { movedBytes } = plan as unknown as { readonly movedBytes: number };
  expect(flops / products / 1e9 / (here.gflops as number)).toBeCloseTo(1.6, 6);
  expect(movedBytes / moving / 1e9 / (here.gigabytesPerSecond as number)).toBeCloseTo(0.42, 6);
  expect(here.seconds).toBeCloseTo(20 * (here.secondsPerStep as number), 6);
  expect(paper[0]?.seconds).toBeCloseTo((20 * flops) / (16 * 312e12 * 0.35), 9);
});

test("plan refuses an unknown recipe and flags that it does not know, with the nearest", async () => {
  const unknown = await inbetween("plan", "small/mea");
  expect(unknown).toMatchObject({ code: 1 });
  expect(unknown.stderr).toMatch(/did you mean "small\/mae"/);
  const flag = await inbetween("plan", "small/mae", "--image", "5");
  expect(flag.code).not.toBe(0);
  expect(flag.stderr).toMatch(/--images/);
});

test("recipes come with their row in the paper, validated", async () => {
  const { recipes } = (await inbetweenJson("recipes")) as {
    readonly recipes: readonly { readonly name: string; readonly table?: unknown }[];
  };
  const found = recipes.find(({ name }) => name === "paper/mae");
  expect(found?.table).toEqual({ numbers: [], row: "MAE" });
  const wrong = () => vits16({ name: "mae" }, { table: { numbers: ["2"], row: "MAE" } });
  expect(wrong).toThrow(/"table.numbers/);
});
