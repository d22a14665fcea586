/** @file The free batch dimension of an exported model: traced with a prime batch, it runs at any. */

import { afterAll, beforeAll, it } from "vitest";
import {
  add,
  broadcastTo,
  concat,
  conv2d,
  convTranspose2d,
  input,
  inputName,
  layerNorm,
  makeGraph,
  matmul,
  mean,
  mul,
  reshape,
  resize,
  runPasses,
  slice,
  softmax,
  type Tensor,
  transpose,
  unfold,
  writeOnnx,
} from "#src/graph/index.js";
import { Device, float32, type HostValue } from "#src/runtime/index.js";
import { expectClose, numbers, sample, uniform } from "./operator-oracle.js";

let device: Device;
beforeAll(async () => {
  device = await Device.open({ threads: 1 });
});
afterAll(() => device.close());

const [DIM, HEADS, SIDE, PATCH] = [8, 2, 8, 4];
const TOKENS = (SIDE / PATCH) ** 2 + 1;

const weights = {
  patch: [DIM, 3, PATCH, PATCH],
  token: [1, 1, DIM],
  position: [1, TOKENS, DIM],
  scale: [DIM],
  shift: [DIM],
  qkv: [DIM, 3 * DIM],
  up: [DIM, 4, 4, 4],
} as const;
type Weights = Readonly<Record<keyof typeof weights, Tensor>>;

/** A transformer block with all that makes batch sizes hard: flattened products, heads, a repeated class token. */
function model(images: Tensor, w: Weights): Record<string, Tensor> {
  const batch = images.shape[0] as number;
  const patches = conv2d(images, w.patch, { stride: PATCH });
  const tokens = transpose(reshape(patches, [batch, DIM, -1]), [0, 2, 1]);
  const h = add(concat([broadcastTo(w.token, [batch, 1, DIM]), tokens], 1), w.position);
  const normal = reshape(layerNorm(h, w.scale, w.shift, 1e-6), [batch * TOKENS, DIM]);
  const qkv = reshape(matmul(normal, w.qkv), [batch, TOKENS, 3, HEADS, DIM / HEADS]);
  const [q, k, v] = [0, 1, 2].map((i) =>
    reshape(transpose(slice(qkv, 2, i, i + 1), [2, 0, 3, 1, 4]), [batch * HEADS, TOKENS, DIM / HEADS]),
  ) as [Tensor, Tensor, Tensor];
  const attention = softmax(matmul(q, k, { transposeB: true, scale: 0.5 }));
  const mixed = reshape(
    transpose(reshape(matmul(attention, v), [batch, HEADS, TOKENS, DIM / HEADS]), [0, 2, 1, 3]),
    [batch, TOKENS, DIM],
  );
  const grid = reshape(transpose(slice(mixed, 1, 1), [0, 2, 1]), [batch, DIM, 2, 2]);
  const decoded = convTranspose2d(grid, w.up, { stride: 2, padding: 1 });
  return {
    features: reshape(slice(mixed, 1, 0, 1), [batch, DIM]),
    pooled: mean(mixed, [1]),
    decoded: resize(decoded, { size: 8, mode: "nearest" }),
    smooth: resize(decoded, { size: [3, 5], mode: "bicubic" }),
    windows: unfold(decoded, { kernel: 3, padding: 1, stride: 2 }),
    total: mul(add(h, mixed), 2),
  };
}

function weightInputs(): Weights {
  const entries = Object.entries(weights).map(([name, shape]) => [name, input(name, shape)]);
  return Object.fromEntries(entries) as Record<keyof typeof weights, Tensor>;
}

it.each(["portable", "cpu"] as const)(
  "runs at other batch sizes with equal results (%s)",
  async (provider) => {
    const target = { provider, contrib: provider === "cpu" };
    const random = uniform(5);
    const given: Record<string, HostValue> = Object.fromEntries(
      Object.entries(weights).map(([name, shape]) => [name, sample({ shape }, random, "float32")]),
    );
    const pixels = sample({ shape: [5, 3, SIDE, SIDE] }, random, "float32").data as Float32Array;
    const perImage = 3 * SIDE * SIDE;

    const run = async (traced: number, batch: number, isFree: boolean) => {
      const images = input("images", [traced, 3, SIDE, SIDE]);
      const graph = runPasses(makeGraph(model(images, weightInputs())));
      // The free size is taken from the first input.
      const inputs = [images, ...graph.inputs.filter((tensor) => tensor !== images)];
      const bytes = writeOnnx({ ...graph, inputs }, { target, ...(isFree ? { batchStandIn: traced } : {}) });
      const sized = ({ dtype, shape }: Tensor) => ({
        dtype,
        shape: shape.map((dim) => (isFree && dim % traced === 0 ? (dim / traced) * batch : dim)),
      });
      const program = await device.load({
        name: "exported",
        model: bytes,
        inputs: Object.fromEntries(inputs.map((tensor) => [inputName(tensor), sized(tensor)])),
        reads: {},
        updates: [],
        outputs: Object.fromEntries(
          Object.entries(graph.outputs).map(([name, tensor]) => [name, sized(tensor)]),
        ),
      });
      const fed = float32(pixels.slice(0, batch * perImage), [batch, 3, SIDE, SIDE]);
      return program.run({ ...given, images: fed });
    };

    const fixed = await run(5, 5, false);
    for (const batch of [1, 2, 5]) {
      const free = await run(7, batch, true);
      for (const [name, value] of Object.entries(free)) {
        const all = numbers(fixed[name]);
        expectClose(
          numbers(value),
          all.slice(0, (all.length / 5) * batch),
          1e-6,
          `${name} at batch ${batch}`,
        );
      }
    }
  },
);
