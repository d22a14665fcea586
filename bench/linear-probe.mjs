/**
 * @file Times a linear probe's training on cached features: made-up features, all settings of a sweep at once, and how
 * long the same matrix products take alone. Run it on an otherwise idle machine, after `npm run build`.
 *
 *     node bench/linear-probe.mjs [--images 50000] [--dim 384] [--classes 10] [--settings 45] [--epochs 100]
 *                                 [--optimizer sgd|adamw] [--share 1]
 *
 * `--share 0.1` makes a tenth of the steps and says what all of them would take.
 */
import { parseArgs } from "node:util";
import { linearProtocols, matrix, trainLinear } from "#src/evaluation/index.js";
import { matmul } from "#src/graph/index.js";
import { randomStream } from "#src/random.js";
import { Device, float32, peakMemory } from "#src/runtime/index.js";

const option = (value) => ({ type: "string", default: value });
const { values } = parseArgs({
  options: {
    images: option("50000"),
    dim: option("384"),
    classes: option("10"),
    settings: option("45"),
    epochs: option("100"),
    optimizer: option("sgd"),
    share: option("1"),
  },
});
const [images, dim, classes, count, epochs, share] = [
  values.images,
  values.dim,
  values.classes,
  values.settings,
  values.epochs,
  values.share,
].map(Number);
const batchSize = 1024;
const steps = Math.round((epochs * images) / batchSize);

const random = randomStream(0, "features");
const data = {
  features: matrix(
    images,
    dim,
    Float32Array.from({ length: images * dim }, () => random.uniform(-1, 1)),
  ),
  labels: Int32Array.from({ length: images }, () => random.integer(classes)),
  views: 1,
};
const rates = linearProtocols.ibot.learningRates;
const settings = Array.from({ length: count }, (_, i) => ({
  columns: [0, dim],
  learningRate: 4 * rates[i % rates.length],
  weightDecay: 0,
}));

const device = await Device.open();
const made = Math.max(1, Math.round(share * steps));
const start = performance.now();
const sweep = await trainLinear(device, data, Int32Array.from(data.labels.keys()), {
  classes,
  optimizer: values.optimizer,
  settings,
  batchSize,
  steps: made,
  seed: 0,
});
const seconds = (performance.now() - start) / 1000;
const scored = performance.now();
await sweep.score(
  data,
  Int32Array.from({ length: Math.min(images, 10_000) }, (_, i) => i),
);
const scoring = (performance.now() - scored) / 1000;

// The two products of a step and nothing else; the result is summed up, so that nothing large leaves the device.
const across = count * classes;
const products = await device.compile({
  name: "products",
  inputs: { x: { dtype: "float32", shape: [batchSize, dim + 1] } },
  state: { "bench/w": { dtype: "float32", shape: [dim + 1, across] } },
  trace: ({ x }, state) => ({
    state: { "bench/w": matmul(x, matmul(x, state["bench/w"]), { transposeA: true }) },
  }),
});
await device.setState({ "bench/w": float32(new Float32Array((dim + 1) * across), [dim + 1, across]) });
const x = float32(new Float32Array(batchSize * (dim + 1)), [batchSize, dim + 1]);
await products.run({ x });
let alone = 0;
for (let i = 0; i < 20; i++) {
  await products.run({ x });
  alone += products.seconds / 20;
}
await device.close();

const perStep = seconds / made;
const flops = 4 * batchSize * (dim + 1) * across;
console.log(
  `${images} images x ${dim} features, ${count} settings, ${classes} classes, ${values.optimizer}: ` +
    `${made} of ${steps} steps of ${batchSize} in ${seconds.toFixed(1)} s` +
    (made < steps ? `, all of them ${(perStep * steps).toFixed(0)} s` : ""),
);
console.log(
  `${(1000 * perStep).toFixed(2)} ms a step, of which the two matrix products take ${(1000 * alone).toFixed(2)} ms ` +
    `alone (${(flops / alone / 1e9).toFixed(0)} GFLOP/s); 10,000 tests of all settings: ${scoring.toFixed(1)} s; ` +
    `peak memory ${(peakMemory() / 2 ** 20).toFixed(0)} MiB`,
);
