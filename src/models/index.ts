/** @file Vision transformers and what is trained on their features. */

export * from "./attention-maps.js";
export * from "./decoder.js";
export * from "./dino-head.js";
export * from "./equivariant-predictor.js";
export * from "./ijepa-predictor.js";
export * from "./mae-decoder.js";
export * from "./patches.js";
export * from "./projector.js";
export * from "./transformer.js";
export * from "./vision-transformer.js";
export * from "./vision-transformer-config.js";
export * from "./vision-transformer-parameters.js";
