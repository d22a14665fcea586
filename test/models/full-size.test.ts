/**
 * @file ViT-S/16 at 224 pixels and the full decoder against PyTorch in float64: forward to 1e-5, every parameter's
 * gradient to 1e-4. Weights and inputs come from a formula that both sides compute.
 */

import { expect, test } from "vitest";
import { grad, mul, type Shape, sizeOf, sum, type Tensor } from "#src/graph/index.js";
import {
  type DecoderOptions,
  decoder,
  decoderParameters,
  type VisionTransformerOptions,
  visionTransformer,
  visionTransformerConfig,
  visionTransformerParameters,
} from "#src/models/index.js";
import { flattenTree, type ParameterSpec, type TreeOf, treeLike } from "#src/nn/index.js";
import { Device, type HostValue, hostValue } from "#src/runtime/index.js";
import { largestOf, readFixture } from "../nn/helpers.js";

interface Samples {
  readonly indices: readonly number[];
  readonly values: readonly number[];
}

interface FullSize {
  readonly config: unknown;
  readonly loss: number;
  readonly outputMaximum: number;
  readonly samples: Samples;
  readonly gradients: Readonly<Record<string, { shape: number[]; norm: number; samples: Samples }>>;
  readonly formula: { readonly name: string; readonly values: readonly number[] };
}

/** The formula of test/fixtures/oracle.py. */
function formula(name: string, shape: Shape, base = 0, amplitude = 1): HostValue<"float32"> {
  let seed = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) seed = Math.imul(seed ^ byte, 0x01000193);
  const data = new Float32Array(sizeOf(shape));
  for (let i = 0; i < data.length; i++) {
    let x = (seed + Math.imul(i, 0x9e3779b9)) | 0;
    x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
    x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
    x ^= x >>> 15;
    data[i] = base + amplitude * ((x >>> 0) / 2 ** 31 - 1);
  }
  return hostValue("float32", data, shape);
}

/** The weights of test/fixtures/models/check_vit_small.py. @param amplitude Of weights that are no norm's. */
interface Weights {
  readonly prefix: string;
  readonly amplitude: number;
}

function weight(
  name: string,
  { shape }: ParameterSpec,
  { prefix, amplitude }: Weights,
): HostValue<"float32"> {
  if (/norm[12]?\.weight$/.test(name)) return formula(prefix + name, shape, 1, 0.1);
  return formula(prefix + name, shape, 0, name.endsWith("bias") ? 0.02 : amplitude);
}

async function expectFullSize<Specs extends object>(
  stored: FullSize,
  specs: Specs,
  filled: Weights,
  given: HostValue<"float32">,
  outputShape: Shape,
  trace: (p: TreeOf<Specs, Tensor>, input: Tensor) => Tensor,
): Promise<void> {
  const types = flattenTree(specs) as Record<string, ParameterSpec>;
  expect({ ...types, input: given }).toMatchObject(
    Object.fromEntries(Object.entries(stored.gradients).map(([name, { shape }]) => [name, { shape }])),
  );
  const weights = Object.fromEntries(
    Object.entries(types).map(([name, spec]) => [name, weight(name, spec, filled)]),
  );
  const feeds = { ...weights, input: given, "output weights": formula("outputWeights", outputShape) };
  const names = [...Object.keys(types), "input"];
  await using device = await Device.open();
  const program = await device.compile({
    name: "full size",
    inputs: feeds,
    trace: (inputs) => {
      const output = trace(treeLike(specs, inputs), inputs.input as Tensor);
      const loss = sum(mul(output, inputs["output weights"] as Tensor));
      const found = grad(
        loss,
        names.map((name) => inputs[name] as Tensor),
      );
      const gradients = names.map((name, i) => [`gradient of ${name}`, found[i] as Tensor]);
      return { outputs: { output, ...Object.fromEntries(gradients) } };
    },
  });
  const results = await program.run(feeds);
  expect(error(results.output, stored.samples, stored.outputMaximum), "output").toBeLessThan(1e-5);
  for (const [name, { norm, samples }] of Object.entries(stored.gradients)) {
    const gradient = results[`gradient of ${name}`];
    const data = gradient?.data as Float32Array;
    const ours = Math.sqrt(data.reduce((total, value) => total + value * value, 0));
    expect(Math.abs(ours - norm) / norm, `norm of the gradient of ${name}`).toBeLessThan(1e-4);
    expect(error(gradient, samples, largestOf(data)), `gradient of ${name}`).toBeLessThan(1e-4);
  }
}

/** The largest difference at the sampled places, relative to the whole tensor's largest value. */
function error(actual: HostValue | undefined, { indices, values }: Samples, largest: number): number {
  const data = actual?.data as Float32Array;
  return largestOf(indices.map((index, i) => (data[index] as number) - (values[i] as number))) / largest;
}

test("the formula is the script's", () => {
  const { formula: check } = readFixture<FullSize>("models/vit_small.json");
  expect([...formula(check.name, [check.values.length]).data]).toEqual(check.values);
});

test("ViT-S/16 at 224 pixels", async () => {
  const stored = readFixture<FullSize>("models/vit_small.json");
  const config = visionTransformerConfig(stored.config as VisionTransformerOptions);
  const images = formula("images", [2, 3, 224, 224], 0, 1.7);
  await expectFullSize(
    stored,
    visionTransformerParameters(config),
    { prefix: "", amplitude: 0.05 },
    images,
    [2, 197, 384],
    (p, x) => visionTransformer(p, config, x).all,
  );
});

test("the decoder at 224 pixels", async () => {
  const stored = readFixture<FullSize>("models/decoder_full.json");
  const specs = decoderParameters(stored.config as DecoderOptions);
  await expectFullSize(
    stored,
    specs,
    { prefix: "decoder.", amplitude: 0.1 },
    formula("tokens", [1, 196, 512]),
    [1, 3, 224, 224],
    decoder,
  );
});
