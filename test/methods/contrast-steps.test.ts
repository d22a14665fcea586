/** @file Whole steps of SimCLR, MoCo v2, MoCo v3, SIE and cross-attention reconstruction against PyTorch. */

import { expect, test } from "vitest";
import { grad, type Tensor } from "#src/graph/index.js";
import { type Method, makeMethod, methodSchema } from "#src/methods/index.js";
import { randomStream } from "#src/random.js";
import { StoredModel } from "../models/helpers.js";
import { evaluate, expectClose, get, largestOf } from "../nn/helpers.js";
import { IMAGE_SIZE, noise, plainViews, smallEncoder, someParameters, traceStages } from "./helpers.js";
import { expectStep } from "./step-parity.js";

const BATCH = 4;

function made(
  options: Readonly<Record<string, unknown>>,
  encoder: Parameters<typeof smallEncoder>[0] = {},
  batchSize = BATCH,
): Method {
  return makeMethod(methodSchema.parse(options), {
    encoder: smallEncoder(encoder),
    views: plainViews,
    batchSize,
    augmentation: "all",
  });
}

const open = (name: string) => StoredModel.open(`${name}_step`, "methods");

test("a step of SimCLR is PyTorch's", async () => {
  const model = await open("simclr");
  await expectStep(model, made({ name: "simclr", ...model.config }));
});

test("a step of MoCo v2 is PyTorch's, and the queue's oldest keys give way to the new ones", async () => {
  const model = await open("mocov2");
  const method = made({ name: "mocov2", ...model.config });
  const { queue } = await expectStep(
    model,
    method,
    { buffers: { queue: model.get("queue") } },
    (_, objective) => objective.buffers ?? {},
  );
  expectClose(queue, model.stored("newQueue"), 1e-5, "the new queue");
});

test("a step of MoCo v3 is PyTorch's: fixed positions, a frozen patch projection", async () => {
  const model = await open("mocov3");
  const method = made({ name: "mocov3", ...model.config }, { positions: "rowFirst" });
  await expectStep(model, method);
  expect(Object.keys(model.under("gradients.")).some((name) => name.includes("patch_embed"))).toBe(false);
});

test("a step of SIE is PyTorch's: every transformation in sequence, every part of the loss", async () => {
  const model = await open("sie");
  const theta = Object.fromEntries(
    ["color", "blur", "se2"].map((name) => [`${name}/theta`, model.get(`theta.${name}`)]),
  );
  await expectStep(model, made({ name: "sie", ...model.config }), { draws: { theta } });
});

test("a step of the cross-attention reconstruction is PyTorch's", async () => {
  const model = await open("cross_attention");
  const draws = { theta: { theta: model.get("theta.theta") } };
  await expectStep(model, made({ name: "cross-attention", ...model.config }), { draws });
});

test("the in-between task over SimCLR: its own rows of the head, and theirs, get its gradients alone", async () => {
  const base = { name: "simclr", width: 16, outputDim: 8 };
  const options = { name: "inbetween", base, equivariantDim: 4, decoderWidths: [8, 8, 8, 8] };
  const method = made({ ...options, transformation: "blur" });
  const images = noise([3, 3, IMAGE_SIZE, IMAGE_SIZE], 7);
  const feeds = { ...someParameters(method), v1: images, u: noise(images.shape, 8), theta: noise([3, 1], 9) };
  const results = await evaluate(feeds, (inputs) => {
    const { losses } = traceStages(method, inputs, { theta: { theta: inputs.theta as Tensor } });
    const weight = get(inputs, "head.weight");
    return Object.fromEntries(
      Object.entries(losses).map(([part, { value }]) => [part, grad(value, [weight])[0] as Tensor]),
    );
  });
  expect(Object.keys(results).sort()).toEqual(["contrast", "reconstruction"]);
  const invariant = 12 * 16;
  const parts = (part: string) => {
    const data = get(results, part).data as Float32Array;
    return [data.subarray(0, invariant), data.subarray(invariant)].map((rows) => largestOf(rows) > 0);
  };
  expect(parts("contrast")).toEqual([true, false]);
  expect(parts("reconstruction")).toEqual([false, true]);
});

test("MoCo v3's momentum goes from 0.99 to 1 along a cosine, one step ahead of the code's", () => {
  const momentum = made({ name: "mocov3" }).teacher?.momentum({ totalSteps: 40, stepsPerEpoch: 10 });
  for (const step of [0, 3, 17, 38]) {
    // moco-v3, main_moco.py, adjust_moco_momentum, at the fractional epoch of the next step.
    const epoch = (step + 1) / 10;
    expect(momentum?.(step)).toBeCloseTo(1 - 0.5 * (1 + Math.cos((Math.PI * epoch) / 4)) * (1 - 0.99), 12);
  }
  expect(momentum?.(39)).toBe(1);
});

test("MoCo v2's teacher keeps 0.999, its queue starts as directions", () => {
  const method = made({ name: "mocov2", queue: 64, outputDim: 8 });
  expect(method.teacher?.momentum({ totalSteps: 40, stepsPerEpoch: 10 })(7)).toBe(0.999);
  const { shape, initializer } = get(method.buffers, "queue");
  expect(shape).toEqual([64, 8]);
  const values = initializer(shape, randomStream(0, "queue"));
  for (let row = 0; row < 64; row++) {
    expect(Math.hypot(...values.subarray(row * 8, row * 8 + 8))).toBeCloseTo(1, 5);
  }
});

test("titles read as the paper's", () => {
  const title = (name: string, options = {}) => made({ name, ...options }).title;
  expect(["rot", "color", "blur", "trans", "all"].map((mode) => title("sie", { mode }))).toEqual([
    "SIE(rot)",
    "SIE(color)",
    "SIE(blur)",
    "SIE(trans)",
    "SIE(all)",
  ]);
  expect(title("inbetween", { base: { name: "simclr" }, equivariantDim: 256 })).toBe(
    "Ours(SimCLR, all, se2)",
  );
  expect(title("cross-attention")).toBe("Cross-attention reconstruction");
});

test("what cannot be is refused with the reason and what to do", () => {
  const refused = (options: Readonly<Record<string, unknown>>, encoder = {}, batch = BATCH) => {
    try {
      made(options, encoder, batch);
    } catch (error) {
      return (error as Error).message;
    }
    throw new Error(`${JSON.stringify(options)} was taken`);
  };
  expect(refused({ name: "mocov2", queue: 100 }, {}, 48)).toMatch(
    /"method.queue" 100 is not a multiple of "batchSize" 48.*use 96/,
  );
  expect(refused({ name: "simclr", temperature: 0 })).toMatch(/must be above 0, such as 0.1/);
  expect(refused({ name: "mocov3", momentum: 1.1 })).toMatch(/from 0 to 1, such as 0.99/);
  expect(refused({ name: "mocov2", momentum: -0.1 })).toMatch(/from 0 to 1/);
  expect(refused({ name: "sie", width: 64, equivariantDim: 64 })).toMatch(
    /64 leaves nothing of the 64 channels.*fewer than 64/,
  );
  expect(refused({ name: "cross-attention", numHeads: 7 })).toMatch(/7 does not divide .* 256/);
  expect(refused({ name: "mocov3" }, { classToken: false })).toMatch(/no class token; use pool mean/);
  for (const name of ["simclr", "mocov2", "mocov3", "sie", "cross-attention"]) {
    expect(made({ name }).minimumBatch, name).toBe(2);
  }
});
