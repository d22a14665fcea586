/** @file Pretraining: configuration, steps, checkpoints, the run as a library call. */

export * from "./checkpoint.js";
export { CheckpointStore, type CheckpointStoreOptions } from "./checkpoint-store.js";
export * from "./config.js";
export * from "./dump.js";
export type { StepReport } from "./loop.js";
export * from "./optimization.js";
export { type PictureGrid, PictureMaker } from "./pictures.js";
export * from "./pretrain.js";
export { findCheckpoint } from "./restore.js";
export * from "./run-folder.js";
export * from "./run-plan.js";
export { issueLines, suggestion } from "./schema-errors.js";
export * from "./state.js";
export * from "./step.js";
export * from "./step-cost.js";
export * from "./step-inputs.js";
export * from "./training-step.js";
export * from "./update.js";
export * from "./views.js";
