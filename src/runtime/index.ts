/** @file Compiles graphs and runs them on ONNX Runtime's execution providers. */

export * from "./device.js";
export * from "./host-value.js";
export { type ProfileRow, timeByOperator } from "./profile.js";
export { type ProgramDefinition, printProgram, type Traced } from "./program.js";
export { type DeviceSettings, defaultThreads, ProviderError, type ProviderName } from "./providers.js";
