/** @file Public API of weights/: tensors in files, encoders in folders. */

export { type Encoder, EncoderError, type EncoderOrigin, type FeatureKind } from "./encoder.js";
export type { EncoderDescription } from "./encoder-config.js";
export {
  describeEncoder,
  loadEncoder,
  type SavedEncoder,
  type SaveEncoderOptions,
  saveEncoder,
} from "./encoder-folder.js";
export { type FamilyName, familyNames } from "./families/index.js";
export {
  checkFeatureEnding,
  createFeatureFile,
  FEATURE_ENDINGS,
  readFeatureFile,
} from "./feature-file.js";
export {
  FeatureFileError,
  type FeatureRows,
  type FeatureTable,
  type FeatureWriter,
  type FeatureWriterOptions,
} from "./feature-table.js";
export {
  bytesPerElement,
  elementCount,
  type HostTensor,
  type TensorArrays,
  type TensorDType,
  toFloat32,
} from "./host-tensor.js";
export {
  type ImportedEncoder,
  type ImportOptions,
  type ImportReport,
  importEncoder,
} from "./import-encoder.js";
export { type NpyDType, NpyError, NpyWriter, readNpy, writeNpy } from "./npy.js";
export {
  type EncoderOnnxFileOptions,
  type EncoderOnnxOptions,
  encoderOnnx,
  encoderOnnxFiles,
  ONNX_PRECISIONS,
  type OnnxPrecision,
} from "./onnx-export.js";
export { encoderPreprocessing, type Preprocessing } from "./preprocessing.js";
export {
  openSafetensors,
  SafetensorsFile,
  type WriteSafetensorsOptions,
  type WrittenFile,
  writeSafetensors,
} from "./safetensors.js";
export { SafetensorsError, type TensorInfo } from "./safetensors-header.js";
export type { SourceTensor, TensorSource } from "./tensor-source.js";
export { openTorchFile, TorchFile, TorchFileError } from "./torch-file.js";
