/** @file Compiles graphs and runs them on ONNX Runtime's execution providers. */

export { type ConformanceResult, checkConformance } from "./conformance/index.js";
export {
  Device,
  type DeviceOptions,
  Program,
  type ProgramOptions,
  type TransferOptions,
  type Transfers,
} from "./device.js";
export { float32, float32Scalar, type HostValue, hostValue, itemOf } from "./host-value.js";
export { peakMemory, resetPeakMemory } from "./memory.js";
export { type ProfileRow, timeByOperator } from "./profile.js";
export {
  type CompiledProgram,
  type ProgramDefinition,
  printProgram,
  type Traced,
  traceProgram,
} from "./program.js";
export { type Adapter, checkProvider } from "./provider-check.js";
export {
  type DeviceSettings,
  defaultThreads,
  ProviderError,
  type ProviderName,
  providerNames,
} from "./providers.js";
