/** @file Augmentations, and the transformations g with their paths, as batched graph functions. */

export * from "./augmentation.js";
export * from "./blur.js";
export * from "./color.js";
export * from "./color-jitter.js";
export * from "./crops.js";
export * from "./hue.js";
export { denormalize, imagenetMean, imagenetStd, normalize, toUnitRange } from "./images.js";
export * from "./masking/index.js";
export * from "./pipelines.js";
export * from "./random-transform.js";
export * from "./transformation.js";
export * from "./warp.js";
