/** @file Layers as pure functions over typed parameter trees, initialisers, optimisers, schedules. */

export * from "./attention.js";
export * from "./bicubic.js";
export * from "./convolution.js";
export * from "./cross-attention.js";
export * from "./drop-path.js";
export * from "./initializers.js";
export * from "./l2-normalize.js";
export * from "./layer-scale.js";
export * from "./linear.js";
export * from "./mlp.js";
export * from "./normalization.js";
export * from "./optimizers/index.js";
export * from "./parameter.js";
export * from "./patch-embedding.js";
export * from "./position-embedding.js";
export * from "./schedules.js";
export * from "./tree.js";
