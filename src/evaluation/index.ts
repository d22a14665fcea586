/** @file Public API of evaluation/: what frozen features know. */

export { type AttentionPictures, attentionPictures } from "./attention.js";
export {
  createOnlineKnn,
  evaluateKnn,
  type KnnAccuracy,
  type KnnEvaluationOptions,
  type OnlineKnn,
  type OnlineKnnOptions,
} from "./classify.js";
export { type Encoder, type FeatureKind, type ResidentEncoder, randomEncoder } from "./encoder.js";
export { EvaluationError } from "./evaluation-error.js";
export { FeatureExtractor, type FeatureOptions, type View, type ViewFeatures } from "./features.js";
export {
  effectiveRank,
  type PatchPicturesOptions,
  patchPictures,
  principalComponents,
  type RgbPicture,
} from "./health.js";
export { accuracyOf, KNN_TEMPERATURE, type KnnOptions, knnPredict, type LabelledFeatures } from "./knn.js";
export { type Matrix, matrix } from "./matrix.js";
export { type Neighbor, nearestNeighbors } from "./neighbors.js";
export {
  extractPairs,
  leakFreeDisc,
  type PairOptions,
  type Pairs,
  TRANSFORMATION_PROTOCOLS,
  TRANSFORMATION_TASKS,
  type TransformationProtocol,
  type TransformationTask,
} from "./pairs.js";
export {
  Probe,
  type ProbeData,
  type ProbeHead,
  type ProbeResult,
  type ProbeSettings,
  type ProbeSizes,
  type ProbeSplits,
  probeParameters,
} from "./probe.js";
export {
  PROJECTION_METHODS,
  type ProjectionMethod,
  type ProjectionOptions,
  projectFeatures,
} from "./projection.js";
export { columnR2, meanAndStd, pooledR2 } from "./statistics.js";
export { disjointParts, subset } from "./subset.js";
export {
  evaluateTransformations,
  type TaskR2,
  type TransformationScatter,
  type TransformationsOptions,
  type TransformationsRecord,
  type TransformationsResult,
} from "./transformations.js";
