/** @file Public API of weights/: tensors in files. */

export {
  bytesPerElement,
  elementCount,
  type HostTensor,
  type TensorArrays,
  type TensorDType,
  toFloat32,
} from "./host-tensor.js";
export { type NpyDType, NpyError, NpyWriter, readNpy, writeNpy } from "./npy.js";
export {
  openSafetensors,
  SafetensorsFile,
  type WriteSafetensorsOptions,
  type WrittenFile,
  writeSafetensors,
} from "./safetensors.js";
export { SafetensorsError, type TensorInfo } from "./safetensors-header.js";
