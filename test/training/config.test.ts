/** @file The configuration: defaults, and errors that name the key, what it is, what it should be. */

import { describe, expect, test } from "vitest";
import { methodSchema } from "#src/methods/index.js";
import { buildMethod, ConfigError, parseConfig, runLength } from "#src/training/index.js";
import { thrown } from "./helpers.js";
import { tinyConfig, tinyMethods, tinySource } from "./tiny.js";

/** Every method, as an error lists them. */
const methodNames = methodSchema.options.map(({ shape }) => `"${shape.name.value}"`).join(", ");

/** The message about a source that must be refused, without the name of its place. */
function complaint(source: unknown): string {
  const error = thrown(() => parseConfig(source, "tiny.yaml"));
  expect(error).toBeInstanceOf(ConfigError);
  const { message } = error as Error;
  expect(message.startsWith("tiny.yaml: ")).toBe(true);
  return message.slice("tiny.yaml: ".length);
}

test("what is left out has its documented default", () => {
  const { seed, accumulate, log, augmentation, optimizer, method } = parseConfig(
    {
      ...tinySource(),
      log: undefined,
      method: { name: "inbetween", base: { name: "vicreg" }, equivariantDim: 256 },
    },
    "tiny",
  );
  expect({ seed, accumulate }).toEqual({ seed: 0, accumulate: 1 });
  expect(log).toEqual({ every: 10, pictures: 4, probes: 4, checkpointEvery: 500, keep: 2 });
  expect(augmentation).toMatchObject({ pipeline: "all", blurProbabilities: "effective", sharedCrop: false });
  expect(optimizer).toMatchObject({ name: "adamw", weightDecay: 0.04, betas: [0.9, 0.999] });
  expect(method).toMatchObject({
    transformation: "se2",
    count: 2,
    includeFinal: false,
    lambda: 1,
    decoderWidths: [256, 128, 64, 32],
    base: { width: 512, expander: [2048, 2048, 2048], site: "linear", pool: "mean" },
  });
});

test("a configuration read back from JSON is the same", () => {
  const config = tinyConfig();
  expect(parseConfig(JSON.parse(JSON.stringify(config)), "again")).toEqual(config);
});

const { inbetween, vicreg } = tinyMethods;

describe("unknown keys are refused with the nearest name", () => {
  test.each<[string, Record<string, unknown>, string]>([
    ["at the top", { bachSize: 3 }, 'unknown key "bachSize"; did you mean "batchSize"?'],
    ["in a section", { log: { evry: 1 } }, 'unknown key "log.evry"; did you mean "every"?'],
    [
      "two levels down",
      { optimizer: { baseLearningRate: 1, clip: { norm: 1, scop: "tensor" } } },
      'unknown key "optimizer.clip.scop"; did you mean "scope"?',
    ],
    [
      "of a method",
      { method: { ...inbetween, lamda: 1 } },
      'unknown key "method.lamda"; did you mean "lambda"?',
    ],
    [
      "of a method's base",
      { method: { ...inbetween, base: { ...vicreg, expandr: [3] } } },
      'unknown key "method.base.expandr"; did you mean "expander"?',
    ],
    [
      "of another method",
      { method: { ...vicreg, lambda: 1 } },
      'unknown key "method.lambda"; known: site, width, pool, expander, invarianceWeight, varianceWeight, covarianceWeight, name',
    ],
  ])("%s", (_, changes, message) => {
    expect(complaint(tinySource(changes))).toBe(message);
  });
});

describe("wrong values are refused with what is expected", () => {
  test.each<[string, Record<string, unknown>, string]>([
    [
      "an unknown method",
      { method: { ...inbetween, name: "inbetwen" } },
      `"method.name": expected one of ${methodNames} (got "inbetwen"); did you mean "inbetween"?`,
    ],
    [
      "a method without a name",
      { method: { width: 16 } },
      `"method.name": expected one of ${methodNames} (missing)`,
    ],
    [
      "an unknown base",
      { method: { ...inbetween, base: { name: "vicrag" } } },
      '"method.base.name": expected one of "vicreg", "simclr", "ibot", "dinov2" (got "vicrag"); did you mean "vicreg"?',
    ],
    [
      "a method by its name alone",
      { method: "vicreg" },
      '"method": expected a mapping of keys to values (got "vicreg")',
    ],
    [
      "an unknown transformation",
      { method: { ...inbetween, transformation: "rotaton" } },
      '"method.transformation": expected one of "rotation", "translation", "se2", "color", "blur" (got "rotaton"); did you mean "rotation"?',
    ],
    [
      "a negative lambda",
      { method: { ...inbetween, lambda: -1 } },
      '"method.lambda": expected number to be >=0 (got -1)',
    ],
    ["a text for a number", { imageSize: "16" }, '"imageSize": expected a number (got "16")'],
    ["half an image", { imageSize: 1.5 }, '"imageSize": expected a whole number (got 1.5)'],
    ["an empty batch", { batchSize: 0 }, '"batchSize": expected number to be >0 (got 0)'],
    ["nothing to learn with", { optimizer: {} }, '"optimizer.baseLearningRate": expected a number (missing)'],
    ["no length", { steps: undefined }, 'neither "steps" nor "epochs" sets the length of the run; give one'],
    ["two lengths", { epochs: 2 }, '"steps" 6 and "epochs" 2 both set the length; keep one'],
    [
      "micro-batches that do not divide",
      { accumulate: 3 },
      '"batchSize" 8 is not a multiple of "accumulate" 3; choose a divisor',
    ],
    [
      "an image that is no whole number of patches",
      { imageSize: 17 },
      '"imageSize" 17 is not a multiple of "encoder.patchSize" 4; use 16, or another patch size',
    ],
    [
      "a crop from much to little",
      { augmentation: { crop: { scale: [1, 0.2] } } },
      '"augmentation.crop.scale" goes from 1 down to 0.2; exchange them',
    ],
  ])("%s", (_, changes, message) => {
    expect(complaint(tinySource(changes))).toBe(message);
  });

  test("no mapping at all", () => {
    expect(complaint(null)).toBe("expected a mapping of keys to values (got null)");
    expect(complaint([])).toBe("expected a mapping of keys to values (got [])");
  });

  test("all that is wrong is said at once", () => {
    expect(complaint(tinySource({ imageSize: "x", batchSize: -1, sed: 3 })).split("\n  ")).toEqual([
      "",
      '"imageSize": expected a number (got "x")',
      '"batchSize": expected number to be >0 (got -1)',
      'unknown key "sed"; did you mean "seed"?',
    ]);
  });
});

describe("sizes that do not fit each other", () => {
  const encoder = { patchSize: 4, embedDim: 16, depth: 1, numHeads: 2 };
  test.each<[string, Record<string, unknown>, RegExp]>([
    [
      "heads",
      { encoder: { ...encoder, numHeads: 3 } },
      /^tiny: .*numHeads 3 does not divide embedDim 16; use for example [24]/,
    ],
    ["no width", { encoder: { patchSize: 4 } }, /^tiny: .*embedDim must be .*; name a preset or set it/],
    [
      "too many equivariant channels",
      { method: { ...inbetween, equivariantDim: 16 } },
      /^tiny: 16 equivariant channels leave nothing of the 16 for the loss; use fewer than 16/,
    ],
    [
      "more equivariant channels than the encoder has",
      { method: { ...inbetween, base: { ...vicreg, site: "encoder" }, equivariantDim: 20 } },
      /^tiny: 20 equivariant channels leave nothing of the 16/,
    ],
    [
      "a batch that the loss is not defined for",
      { batchSize: 1, method: vicreg },
      /^tiny: "batchSize" 1 is too small: the loss of VICReg compares the samples of a batch; use at least 2/,
    ],
  ])("%s", (_, changes, message) => {
    const error = thrown(() => buildMethod(tinyConfig(changes)));
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as Error).message).toMatch(message);
  });

  test("the title names the method as the paper does", () => {
    expect(buildMethod(tinyConfig()).method.title).toBe("Ours(VICReg, all, se2)");
    const rotated = tinyConfig({
      augmentation: { pipeline: "rot" },
      method: { ...inbetween, transformation: "rotation" },
    });
    expect(buildMethod(rotated).method.title).toBe("Ours(VICReg, rot, rot)");
  });
});

test("the length of a run is its steps, or its epochs of whole batches", () => {
  const method = { minimumBatch: 2 };
  const photos = (length: number) => ({ length, name: "photos" });
  expect(runLength(tinyConfig({ steps: 7 }), photos(20), method)).toEqual({
    totalSteps: 7,
    stepsPerEpoch: 2,
  });
  expect(runLength(tinyConfig({ steps: undefined, epochs: 3 }), photos(23), method).totalSteps).toBe(6);
  expect(runLength(tinyConfig({ steps: undefined, epochs: 0.1 }), photos(23), method).totalSteps).toBe(1);
  const refusal = (length: number) =>
    (thrown(() => runLength(tinyConfig(), photos(length), method)) as Error).message;
  expect(refusal(5)).toBe('"batchSize" 8 is more than the 5 images of photos; use at most 5, or add images');
  expect(refusal(1)).toBe('"batchSize" 8 is more than the 1 image of photos; add images');
});
