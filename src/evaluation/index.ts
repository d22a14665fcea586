/** @file Public API of evaluation/: what frozen features know. */

export { type AttentionPictures, attentionPictures } from "./attention.js";
export {
  createOnlineKnn,
  evaluateKnn,
  type KnnAccuracy,
  type KnnEvaluationOptions,
  type KnnRecord,
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
export {
  KNN_TEMPERATURE,
  type KnnOptions,
  knnPredict,
  knnPredictEach,
  type LabelledFeatures,
} from "./knn.js";
export {
  type Accuracies,
  accuraciesOf,
  commonClasses,
  type DataRecord,
  holdOut,
  measuredBy,
  type Overlap,
} from "./labelled.js";
export {
  evaluateLinear,
  type LinearOptions,
  type LinearRecord,
  type LinearSettingResult,
} from "./linear.js";
export {
  type FeatureChoice,
  featureChoiceName,
  featureLayout,
  type LinearData,
  parseFeatureChoice,
} from "./linear-features.js";
export {
  LINEAR_PROTOCOLS,
  type LinearProtocol,
  type LinearProtocolName,
  linearProtocols,
} from "./linear-protocols.js";
export {
  type LinearClassifier,
  type LinearOptimizer,
  type LinearSetting,
  LinearSweep,
  type LinearSweepOptions,
} from "./linear-sweep.js";
export {
  bestOf,
  type LinearTrainingOptions,
  type Score,
  type TrainedSweep,
  trainLinear,
} from "./linear-training.js";
export { type Matrix, matrix } from "./matrix.js";
export { type Neighbor, nearestNeighbors } from "./neighbors.js";
export {
  extractPairs,
  leakFreeDisc,
  type PairFeature,
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
