/** @file Public API of data/: data sets, loaders, and images in and out. Imports nothing of the engine. */

export type { Batch } from "./batch.js";
export { stepsPerEpoch } from "./batch-plan.js";

export {
  type CheckOptions,
  checkDataset,
  type DataCheck,
  type SplitCheck,
} from "./check-dataset.js";
export { type ContactSheetOptions, contactSheet } from "./contact-sheet.js";
export { type CropSpec, checkCropSpec, type RandomResizedCrop, type ResizeCenterCrop } from "./crop.js";
export { DataError } from "./data-error.js";
export { type Dataset, type DatasetParts, type Factors, type Metric, makeDataset } from "./dataset.js";
export {
  type DecodeOptions,
  decodeImage,
  encodePng,
  type ImageSize,
  imageLibraries,
  type Raster,
} from "./image.js";
export { centerSquare, openImageFiles } from "./image-files.js";
export {
  createLoader,
  createSequentialLoader,
  type Loader,
  type LoaderOptions,
  type SequentialLoaderOptions,
} from "./loader.js";
export { type OpenDatasetOptions, openDataset } from "./open-dataset.js";
export type { Interpolation } from "./resample.js";
export type { SampleSource } from "./sample-source.js";
export { SkipLog, type Skipped } from "./skip-log.js";
