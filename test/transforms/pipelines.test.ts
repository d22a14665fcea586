/** @file Base pipelines: probabilities as configured and as drawn, order of the steps, and what identity draws do. */

import { describe, expect, test } from "vitest";
import type { Tensor } from "#src/graph/index.js";
import { randomStream } from "#src/random.js";
import { float32 } from "#src/runtime/index.js";
import {
  augmentation,
  drawBatch,
  gaussianBlur,
  grayscale,
  pipeline,
  pipelineNames,
  type RandomTransform,
  rigidWarp,
  sequence,
  solarize,
} from "#src/transforms/index.js";
import {
  expectBinomial,
  largestDifference,
  readFixture,
  type StoredArray,
  stored,
  useDevice,
} from "./helpers.js";

const images = stored(readFixture<{ images: StoredArray }>("color.json").images); // [3, 3, 12, 16]
const evaluate = useDevice();
const N = 10_000;

/** How often each step that has a probability acts over N draws. */
function countActive(transform: RandomTransform): Record<string, number> {
  const streams = Array.from({ length: N }, (_, i) => randomStream(5, "count", i));
  const batch = drawBatch(transform, streams);
  const active: Readonly<Record<string, (value: number) => boolean>> = {
    "jitter/hue": (shift) => shift !== 0,
    "grayscale/amount": (amount) => amount === 1,
    "blur/sigma": (sigma) => sigma !== 0,
    "solarize/threshold": (threshold) => threshold < 1,
  };
  return Object.fromEntries(
    Object.entries(active).map(([name, isActive]) => [name, batch[name]?.data.filter(isActive).length ?? 0]),
  );
}

interface Expected {
  readonly jitter: number;
  readonly grayscale: number;
  readonly blurs: readonly [number, number, number?];
  readonly solarize: number;
}

/** What the papers' codes declare: first and second global view, local view. */
const expectations: readonly [string, ReturnType<typeof pipeline>, Expected][] = [
  ["all", pipeline("all"), { jitter: 0.8, grayscale: 0.2, blurs: [0, 0.9, 0.5], solarize: 0.2 }],
  [
    "all, declared blur",
    pipeline("all", { blurProbabilities: "declared" }),
    { jitter: 0.8, grayscale: 0.2, blurs: [1, 0.1, 0.5], solarize: 0.2 },
  ],
  ["ibot", pipeline("ibot"), { jitter: 0.8, grayscale: 0.2, blurs: [1, 0.1, 0.5], solarize: 0.2 }],
  ["mocov3", pipeline("mocov3"), { jitter: 0.8, grayscale: 0.2, blurs: [1, 0.1], solarize: 0.2 }],
  ["simclr", pipeline("simclr"), { jitter: 0.8, grayscale: 0.2, blurs: [0.5, 0.5], solarize: 0 }],
  ["mae", pipeline("mae"), { jitter: 0, grayscale: 0, blurs: [0, 0], solarize: 0 }],
];

describe.each(expectations)("%s", (_, { globals, local }, expected) => {
  const views = local ? [...globals, local] : globals;
  test.each(views.map((view, i) => [["global 1", "global 2", "local"][i] as string, i, view] as const))(
    "%s acts as often as configured",
    (__, i, view) => {
      const counts = countActive(augmentation(view.augmentation));
      expectBinomial(counts["jitter/hue"] as number, N, expected.jitter);
      expectBinomial(counts["grayscale/amount"] as number, N, expected.grayscale);
      expectBinomial(counts["blur/sigma"] as number, N, expected.blurs[i] as number);
      expectBinomial(counts["solarize/threshold"] as number, N, i === 1 ? expected.solarize : 0);
    },
  );
});

test("a probability does not shift the draws of the other steps", () => {
  const draw = (blurProbabilities: "effective" | "declared") =>
    augmentation(pipeline("all", { blurProbabilities }).globals[1].augmentation).draw(
      randomStream(2, "view", 0),
    );
  const [effective, declared] = [draw("effective"), draw("declared")];
  expect(effective["jitter/slots"]).toEqual(declared["jitter/slots"]);
  expect(effective["solarize/threshold"]).toEqual(declared["solarize/threshold"]);
  expect(effective["grayscale/amount"]).toEqual(declared["grayscale/amount"]);
});

test("crops are those of the official codes", () => {
  const scales = pipelineNames.map((name) => [name, pipeline(name).globals[0].crop.scale]);
  expect(Object.fromEntries(scales)).toEqual({
    all: [0.32, 1],
    rot: [1, 1],
    none: [1, 1],
    dinov2: [0.32, 1],
    ibot: [0.25, 1],
    dino: [0.4, 1],
    mocov2: [0.2, 1],
    mocov3: [0.08, 1],
    mae: [0.2, 1],
    ijepa: [0.3, 1],
    simclr: [0.08, 1],
  });
  expect(pipeline("dinov2").local).toMatchObject({
    count: 8,
    crop: { size: 96, scale: [0.05, 0.32], flip: 0.5 },
  });
  expect(pipeline("ibot").local).toMatchObject({ count: 10, crop: { size: 96, scale: [0.05, 0.25] } });
  expect(pipeline("ijepa").globals[0].crop).toMatchObject({ flip: 0, interpolation: "bilinear" });
});

test("`none` leaves images alone and draws nothing", () => {
  const none = augmentation(pipeline("none").globals[0].augmentation);
  const marker = {} as Tensor;
  expect(none.parameters).toEqual({});
  expect(none.draw(randomStream(1))).toEqual({});
  expect(none.apply(marker, {})).toBe(marker);
});

test("`rot` rotates by up to 45 degrees and does nothing else", async () => {
  const rot = augmentation(pipeline("rot").globals[0].augmentation);
  expect(Object.keys(rot.parameters)).toEqual(["rotation/theta"]);
  const drawn = drawBatch(
    rot,
    Array.from({ length: N }, (_, i) => randomStream(9, i)),
  )["rotation/theta"]?.data as Float32Array;
  const [least, most] = drawn.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)], [0, 0]);
  expect([least < -44.5 && least >= -45, most > 44.5 && most <= 45]).toEqual([true, true]);

  const theta = float32(Float32Array.of(45, -20, 3), [3, 1]);
  const viaPipeline = await evaluate({ images, "rotation/theta": theta }, (t) =>
    rot.apply(t.images as Tensor, t),
  );
  const direct = await evaluate({ images, theta }, (t) =>
    rigidWarp(t.images as Tensor, { angle: t.theta as Tensor }),
  );
  expect(largestDifference(viaPipeline, direct)).toBe(0);
});

test("the steps run in the order jitter, grey, blur, solarise", async () => {
  const transform = augmentation({
    ...pipeline("all").globals[1].augmentation,
    jitter: { brightness: 0, contrast: 0, saturation: 0, hue: 0 },
  });
  const jitter = drawBatch(
    transform,
    [0, 1, 2].map((i) => randomStream(i)),
  );
  const amount = float32(Float32Array.of(1, 0, 1), [3, 1]);
  const sigma = float32(Float32Array.of(1.5, 0.4, 0), [3, 1]);
  const threshold = float32(Float32Array.of(127.5 / 255, 127.5 / 255, 2), [3, 1]);
  const inputs = {
    ...jitter,
    "grayscale/amount": amount,
    "blur/sigma": sigma,
    "solarize/threshold": threshold,
  };
  const whole = await evaluate({ images, ...inputs }, (t) => transform.apply(t.images as Tensor, t));
  const parts = await evaluate({ images, amount, sigma, threshold }, (t) =>
    solarize(
      gaussianBlur(grayscale(t.images as Tensor, t.amount as Tensor), t.sigma as Tensor, 9),
      t.threshold as Tensor,
    ),
  );
  // A level at the threshold may fall on either side after the jitter's rounding.
  const differing = whole.data.filter((value, i) => Math.abs(value - (parts.data[i] as number)) > 1e-5);
  expect(differing.length).toBeLessThan(3);
});

test("solarising inverts levels from 128 of 255 up, also behind the jitter's rounding", async () => {
  const levels = float32(
    Float32Array.from({ length: 3 * 256 }, (_, i) => (i % 256) / 255),
    [1, 3, 1, 256],
  );
  const transform = augmentation({
    jitter: { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1, probability: 0 },
    solarize: 1,
  });
  const draws = drawBatch(transform, [randomStream(0)]);
  const result = await evaluate({ levels, ...draws }, (t) => transform.apply(t.levels as Tensor, t));
  const rounded = Array.from(result.data, (value) => Math.round(255 * value));
  expect(rounded).toEqual(
    Array.from({ length: 3 * 256 }, (_, i) => (i % 256 < 128 ? i % 256 : 255 - (i % 256))),
  );
});

test("drawBatch refuses numbers that were not declared; a missing parameter is named", () => {
  const wrong = { parameters: { a: [2] }, draw: () => ({ a: [1] }) };
  expect(() => drawBatch(wrong, [randomStream(0)])).toThrow(
    'a transform drew 1 numbers for "a", whose shape is [2]',
  );
  const transform = sequence({ blur: augmentation({ grayscale: 0.2 }) });
  expect(() => transform.apply({} as Tensor, {})).toThrow(
    'the parameter "blur/grayscale/amount" was not given',
  );
});
