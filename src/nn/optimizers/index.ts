/** @file Optimisers, clipping, moving averages and parameter groups, all traced. */

export * from "./adam.js";
export * from "./clip.js";
export * from "./lars.js";
export * from "./moving-average.js";
export type {
  Optimizer,
  ParameterScale,
  StepSettings,
  Tensors,
  TensorTypes,
  Updated,
  UpdateInput,
} from "./optimizer.js";
export * from "./parameter-scales.js";
export * from "./sgd.js";
