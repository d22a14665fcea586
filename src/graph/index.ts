/** @file Symbolic tensors, operators, differentiation, passes and the ONNX writer. */

export * from "./autodiff.js";
export * from "./dtype.js";
export * from "./errors.js";
export { countFlops } from "./flops.js";
export * from "./graph.js";
export { peakActivationBytes } from "./liveness.js";
export type { Emitter, Target } from "./onnx/emitter.js";
export { type OnnxOptions, writeOnnx } from "./onnx/writer.js";
export * from "./operators/activation.js";
export * from "./operators/convolution.js";
export * from "./operators/cumsum.js";
export * from "./operators/elementwise.js";
export * from "./operators/gather.js";
export * from "./operators/grid-sample.js";
export * from "./operators/matmul.js";
export * from "./operators/pooling.js";
export * from "./operators/reduce.js";
export * from "./operators/reshape.js";
export * from "./operators/resize.js";
export * from "./operators/selection.js";
export * from "./operators/slice.js";
export { constant, input, inputName, type Operand, scalar } from "./operators/source.js";
export { type FoldOptions, fold, type UnfoldOptions, unfold } from "./operators/unfold.js";
export type { Pair, WindowOptions } from "./operators/window.js";
export * from "./passes/index.js";
export * from "./shape.js";
export * from "./tensor.js";
