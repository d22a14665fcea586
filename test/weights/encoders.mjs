/**
 * @file Small random encoders, one for each way in which an export can differ. Plain JavaScript, so that the script
 * that makes their fixture runs it too.
 */

import { visionTransformerConfig, visionTransformerParameters } from "#src/models/index.js";
import { initialize } from "#src/nn/index.js";
import { randomStream } from "#src/random.js";

/** @typedef {import("#src/weights/index.js").Encoder} Encoder */
/** @typedef {Partial<import("#src/models/index.js").VisionTransformerOptions>} Options */

export const IMAGE_SIZE = 32;

/** What is special about each, and the feature that it is said to be trained by. */
export const variants = /** @type {const} */ ({
  plain: [{}, "mean"],
  "large epsilon, no bias": [{ epsilon: 0.01, qkvBias: false, mlpRatio: 2.5 }, "cls"],
  "fixed positions": [{ positions: "columnFirst" }, "cls"],
  "class token without position": [{ classPosition: false }, "cls"],
  "no class token": [{ classToken: false }, "mean"],
  "mask token": [{ maskToken: true }, "cls"],
  LayerScale: [{ layerScale: 0.1 }, "mean"],
  SwiGLU: [{ swiglu: true }, "cls"],
  registers: [{ registers: 4, classPosition: false }, "mean"],
  "all of DINOv2": [{ registers: 2, layerScale: 0.5, swiglu: true, maskToken: true }, "cls"],
});

/** @typedef {keyof typeof variants} Variant */

export const names = /** @type {readonly Variant[]} */ (Object.keys(variants));

/**
 * An encoder whose every parameter is random, so that none can be left out unseen.
 * @param {Variant} name
 * @param {Options} [changes]
 * @returns {Encoder}
 */
export function randomEncoder(name, changes = {}) {
  const [special, trained] = variants[name];
  const size = { imageSize: IMAGE_SIZE, patchSize: 8, embedDim: 24, depth: 2, numHeads: 3 };
  const config = visionTransformerConfig({ ...size, ...special, ...changes });
  const weights = initialize(visionTransformerParameters(config), 1);
  for (const [key, { data }] of Object.entries(weights)) {
    const random = randomStream(1, "noise", key);
    for (let i = 0; i < data.length; i++) data[i] = (data[i] ?? 0) + random.uniform(-0.3, 0.3);
  }
  const origin = { method: "Ours(VICReg, all, se2)", recipe: "tiny", steps: 20, seed: 1 };
  return { config, weights, label: name, trained, origin };
}

/**
 * Normalised images, `[batch, 3, size, size]`.
 * @param {number} batch
 * @param {number} [size]
 */
export function randomImages(batch, size = IMAGE_SIZE) {
  const random = randomStream(2, "images");
  return Float32Array.from({ length: batch * 3 * size * size }, () => random.uniform(-2, 2));
}
