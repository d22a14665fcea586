/**
 * @file Linear probing: what a linear classifier reads from frozen features. All settings of a protocol's sweep are
 * trained together on features that are extracted once (paper, appendix A.1; iBOT, eval_linear_multi.py; DINOv2,
 * eval/linear.py).
 */

import type { Dataset, Metric } from "../data/index.js";
import type { Device } from "../runtime/index.js";
import type { Encoder } from "./encoder.js";
import { EvaluationError } from "./evaluation-error.js";
import {
  type Accuracies,
  checkLabels,
  commonClasses,
  type DataRecord,
  dataRecord,
  holdOut,
  type Overlap,
  overlapOf,
} from "./labelled.js";
import {
  type ExtractedData,
  extractLinearData,
  type FeatureChoice,
  featureChoiceName,
  featureLayout,
} from "./linear-features.js";
import { type LinearProtocol, type LinearProtocolName, linearProtocols } from "./linear-protocols.js";
import { bestOf, type Score, standardizedData, trainLinear } from "./linear-training.js";
import { centreCrop } from "./subset.js";

export interface LinearOptions {
  readonly device: Device;
  readonly encoder: Encoder;
  readonly train: Dataset;
  readonly test: Dataset;
  /** Name of what is evaluated, for the record; the encoder's label when omitted. */
  readonly name?: string;
  /** A published one by name, or one of your own. Default `paper`. */
  readonly protocol?: LinearProtocolName | LinearProtocol;
  /** Features to try; the protocol's when omitted. */
  readonly features?: readonly FeatureChoice[];
  /**
   * Crops of each training image that are encoded: its centre, and random resized crops with flips, one of which is
   * drawn at every pass. Default 1: the centre alone.
   */
  readonly views?: number;
  /** Share of each class of the training images on which the setting is chosen; 0 chooses none. Default 0.1. */
  readonly holdOut?: number;
  /** After the choice, train all settings again on all training images (default), or test those of the choice. */
  readonly refit?: boolean;
  /** Passes over the training images; the protocol's length when omitted. */
  readonly epochs?: number;
  /** Give each feature zero mean and unit deviation over the training images. The protocols do not. Default false. */
  readonly standardize?: boolean;
  /** Of the held-out images, crops, initial weights and order. Default 0. */
  readonly seed?: number;
  readonly progress?: (text: string, fraction: number) => void;
}

/** One setting of the sweep and what it scores. */
export interface LinearSettingResult {
  features: string;
  /** As it was applied, the scale by batch size included. */
  learningRate: number;
  weightDecay: number;
  /** On the held-out training images. */
  validation?: Accuracies;
  test: Accuracies;
}

/** A linear probe's result, with what is needed to repeat it. */
export interface LinearRecord {
  kind: "linear";
  protocol: string;
  name: string;
  encoder: string;
  seed: number;
  classes: number;
  train: DataRecord;
  test: DataRecord;
  /** Test images that are training images too. */
  overlap: Overlap;
  /** Sides in pixels of the evaluation's crop and of what it is cut from. */
  imageSize: number;
  resize: number;
  views: number;
  /** What stands for the protocol's endless random crops. */
  augmentation: string;
  optimizer: string;
  batchSize: number;
  steps: number;
  epochs: number;
  standardize: boolean;
  /** Training images on which the setting was chosen, and whether the classifiers were trained again with them. */
  holdOut: { share: number; images: number; refit: boolean };
  seconds: { features: number; training: number };
  /** The setting that was best on the held-out training images, by the test set's metric: the honest figure. Absent without any. */
  chosen?: LinearSettingResult;
  /** The same among the settings of each choice of features. */
  chosenByFeatures?: LinearSettingResult[];
  /** The setting that is best on the test images themselves, as iBOT and DINOv2 report it: too good by the choice. */
  bestOnTest: LinearSettingResult;
  settings: LinearSettingResult[];
}

/** Fewest steps of a protocol that counts epochs: 100 passes over a few hundred images would be too few to learn. */
const LEAST_STEPS = 1000;
/** Share of the progress that extraction takes. */
const EXTRACTION = 0.5;

/**
 * Trains the protocol's classifiers on `train` and tests them on `test`.
 * @throws EvaluationError when the data has no labels or does not fit together, or an option makes no sense.
 */
export async function evaluateLinear(options: LinearOptions): Promise<LinearRecord> {
  const { device, encoder, train, test, views = 1, seed = 0, refit = true, progress } = options;
  const { holdOut: share = 0.1, standardize = false } = options;
  const protocol =
    typeof options.protocol === "object" ? options.protocol : linearProtocols[options.protocol ?? "paper"];
  if (!Number.isInteger(views) || views < 1) {
    throw new EvaluationError(`The number of views is ${views}, expected a whole number from 1.`);
  }
  const common = commonClasses("linear probe", train, test);
  const choices = options.features ?? protocol.features(encoder.config);
  const layout = featureLayout(choices, encoder.config);

  const started = performance.now();
  const cost = train.length * views + test.length;
  const told = (before: number, crops: number) => (images: number) =>
    progress?.("features", (EXTRACTION * (before + images * crops)) / cost);
  const shared = { device, encoder, layout, seed, interpolation: protocol.interpolation };
  const raw: [ExtractedData, ExtractedData] = [
    await extractLinearData(train, { ...shared, views, label: (label) => label, progress: told(0, views) }),
    await extractLinearData(test, {
      ...shared,
      views: 1,
      label: common.testLabel,
      progress: told(train.length * views, 1),
    }),
  ];
  checkLabels("linear probe", common, raw[0].labels, raw[1].labels);
  const overlap = overlapOf(train, raw[0], test, raw[1]);
  const [trained, tested] = standardize ? standardizedData(...raw) : raw;
  const extracted = performance.now();

  const parts = holdOut(trained.labels, share, seed);
  const all = Int32Array.from(trained.labels.keys());
  const batchSize = Math.min(protocol.batchSize, parts.kept.length);
  const scale = protocol.scaleLearningRates ? batchSize / 256 : 1;
  const settings = choices.flatMap((choice) =>
    protocol.learningRates.flatMap((learningRate) =>
      protocol.weightDecays.map((weightDecay) => ({
        features: featureChoiceName(choice),
        columns: layout.columns(choice),
        learningRate: learningRate * scale,
        weightDecay,
      })),
    ),
  );
  const lengthFor = (images: number) => lengthOf(protocol, options.epochs, images, batchSize);
  const run = (images: Int32Array, text: string, from: number, to: number) =>
    trainLinear(device, trained, images, {
      ...lengthFor(images.length),
      classes: common.classes.length,
      optimizer: protocol.optimizer,
      settings,
      batchSize,
      seed,
      progress: (fraction) =>
        progress?.(text, EXTRACTION + (1 - EXTRACTION) * (from + (to - from) * fraction)),
    });
  const again = refit && share > 0;
  let sweep = await run(parts.kept, `${settings.length} settings`, 0, again ? 0.5 : 1);
  const validation = share > 0 ? await sweep.score(trained, parts.heldOut) : undefined;
  if (again) {
    await sweep.release();
    sweep = await run(all, `${settings.length} settings on all training images`, 0.5, 1);
  }
  const scores = await sweep.score(tested);
  await sweep.release();
  progress?.("done", 1);

  const results = settings.map(
    ({ features, learningRate, weightDecay }, i): LinearSettingResult => ({
      features,
      learningRate,
      weightDecay,
      ...(validation ? { validation: accuracies(validation[i] as Score) } : {}),
      test: accuracies(scores[i] as Score),
    }),
  );
  const length = lengthFor(again ? all.length : parts.kept.length);
  const { resize, size } = centreCrop(encoder.config.imageSize);
  return {
    kind: "linear",
    protocol: protocol.name,
    name: options.name ?? encoder.label,
    encoder: encoder.label,
    seed,
    classes: common.classes.length,
    train: dataRecord(train, raw[0]),
    test: dataRecord(test, raw[1]),
    overlap,
    imageSize: size,
    resize,
    views,
    augmentation: augmentationOf(views),
    optimizer: protocol.optimizer,
    batchSize,
    steps: length.steps,
    epochs: (length.steps * batchSize) / (again ? all : parts.kept).length,
    standardize,
    holdOut: { share, images: parts.heldOut.length, refit: again },
    seconds: { features: (extracted - started) / 1000, training: (performance.now() - extracted) / 1000 },
    ...(validation ? choiceOf(results, validation, test.metric) : {}),
    bestOnTest: results[bestOf(scores, test.metric)] as LinearSettingResult,
    settings: results,
  };
}

function lengthOf(
  { length, cosine }: LinearProtocol,
  epochs: number | undefined,
  images: number,
  batchSize: number,
): { steps: number; stepsPerDecay: number } {
  const perEpoch = Math.max(1, Math.round(images / batchSize));
  const stepsPerDecay = cosine === "epoch" ? perEpoch : 1;
  if (epochs !== undefined)
    return { steps: Math.max(1, Math.round((epochs * images) / batchSize)), stepsPerDecay };
  if ("steps" in length) return { steps: length.steps, stepsPerDecay };
  return { steps: Math.max(LEAST_STEPS, Math.round((length.epochs * images) / batchSize)), stepsPerDecay };
}

function augmentationOf(views: number): string {
  return views === 1
    ? "none: the centre crop of each training image"
    : `one of ${views} cached crops of each training image at every pass: the centre, and ${views - 1} random resized crops with flips`;
}

function accuracies({ meanRank: _, ...shares }: Score): Accuracies {
  return shares;
}

/** The settings that are best on the held-out images: of all, and of each choice of features. */
function choiceOf(results: readonly LinearSettingResult[], validation: readonly Score[], metric: Metric) {
  const best = (places: readonly number[]) => {
    const scores = places.map((place) => validation[place] as Score);
    return results[places[bestOf(scores, metric)] as number] as LinearSettingResult;
  };
  const places = [...results.keys()];
  const names = [...new Set(results.map(({ features }) => features))];
  return {
    chosen: best(places),
    chosenByFeatures: names.map((name) => best(places.filter((place) => results[place]?.features === name))),
  };
}
