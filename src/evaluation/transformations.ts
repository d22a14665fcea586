/**
 * @file What frozen features know of a transformation: its parameters are predicted from the features of an image and
 * of the transformed image (paper, section 4.2; protocol of SIE, `eval_angle_prediction.py`).
 */

import type { Dataset } from "../data/index.js";
import { mapValues } from "../records.js";
import type { Device } from "../runtime/index.js";
import type { Component } from "../transforms/index.js";
import type { Encoder } from "./encoder.js";
import { EvaluationError } from "./evaluation-error.js";
import type { Matrix } from "./matrix.js";
import {
  extractPairs,
  isMasked,
  type PairFeature,
  type Pairs,
  TRANSFORMATION_PROTOCOLS,
  TRANSFORMATION_TASKS,
  type TransformationProtocol,
  type TransformationTask,
  transformationOf,
} from "./pairs.js";
import { Probe, type ProbeResult, type ProbeSettings } from "./probe.js";
import { columnR2, meanAndStd, pooledR2 } from "./statistics.js";
import { disjointParts } from "./subset.js";

export interface TransformationsOptions {
  readonly device: Device;
  readonly encoder: Encoder;
  readonly dataset: Dataset;
  /** Name of what is evaluated, for the records; the encoder's label when omitted. */
  readonly name?: string;
  /** Default: what the pretraining loss saw. */
  readonly features?: PairFeature;
  /** Pairs, each of an image of its own. Defaults 4,000, 500 and 1,500. */
  readonly trainPairs?: number;
  readonly validationPairs?: number;
  readonly testPairs?: number;
  /** Probes trained on the same features, from different starts. Default 3. */
  readonly repeats?: number;
  /** Of the split, the drawn parameters and the probes. Default 0. */
  readonly seed?: number;
  /** Longest training of a probe. Default 300, as in SIE; early stopping usually ends it far sooner. */
  readonly epochs?: number;
  /** Epochs without a better validation loss. Default 10. */
  readonly patience?: number;
  /** Default true; see `ProbeSettings`. */
  readonly standardize?: boolean;
  /** Hidden units of the head. Default 1024, as in SIE; 256 train many times faster and usually score alike. */
  readonly hidden?: number;
  /** Default: both. */
  readonly protocols?: readonly TransformationProtocol[];
  readonly progress?: (text: string, fraction: number) => void;
}

/** R² over the repeats. */
export interface TaskR2 {
  mean: number;
  /** Sample standard deviation. */
  std: number;
  /** Mean over the repeats, by component. */
  perParameter: Record<string, number>;
}

export interface TransformationScatter {
  task: TransformationTask;
  parameter: string;
  unit: string;
  truth: number[];
  predicted: number[];
}

/** The result under one protocol: a report's evaluation record, with what is needed to repeat it. */
export interface TransformationsRecord {
  protocol: TransformationProtocol;
  name: string;
  encoder: string;
  features: PairFeature;
  seed: number;
  data: string;
  dataFingerprint: string;
  /** Pairs that were used: images that could not be decoded are left out. */
  split: { train: number; validation: number; test: number };
  repeats: number;
  /** Of both protocols together: the features are extracted in one pass. */
  seconds: number;
  r2: Record<TransformationTask | "mean", TaskR2>;
  /** Test pairs of the first repeat. */
  scatter: TransformationScatter[];
  probe: {
    epochs: number;
    patience: number;
    learningRate: number;
    batchSize: number;
    hidden: number;
    standardize: boolean;
    /** Epoch of the lowest validation loss, by task and repeat. */
    bestEpochs: Record<TransformationTask, number[]>;
  };
}

export interface TransformationsResult {
  readonly records: readonly TransformationsRecord[];
  /** Samples of each part, disjoint. */
  readonly split: Readonly<Record<"train" | "validation" | "test", Int32Array>>;
}

/** SIE, `eval_angle_prediction.py`. */
const LEARNING_RATE = 1e-3;
const BATCH_SIZE = 256;
const HIDDEN = 1024;
const EPOCHS = 300;

const SCATTER_POINTS = 300;
/** Share of the progress that extraction takes. */
const EXTRACTION = 0.5;

/** What the probes of one task under one protocol gave. */
interface TaskOutcome {
  readonly task: TransformationTask;
  /** Pooled R² by repeat. */
  readonly pooled: readonly number[];
  /** R² of each component by repeat. */
  readonly perComponent: readonly (readonly number[])[];
  readonly bestEpochs: readonly number[];
  readonly truth: Matrix;
  /** Of the first repeat. */
  readonly predicted: Matrix;
}

/**
 * Trains probes for all tasks and protocols. Each image is decoded once and its features are extracted once, for all
 * tasks, protocols and repeats.
 * @throws EvaluationError when there are too few images or an option makes no sense.
 */
export async function evaluateTransformations(
  options: TransformationsOptions,
): Promise<TransformationsResult> {
  const { device, encoder, dataset, seed = 0, repeats = 3, hidden = HIDDEN, progress } = options;
  const { features: kind = encoder.trained, protocols = TRANSFORMATION_PROTOCOLS } = options;
  const { trainPairs = 4000, validationPairs = 500, testPairs = 1500 } = options;
  const settings: ProbeSettings = {
    epochs: options.epochs ?? EPOCHS,
    patience: options.patience ?? 10,
    learningRate: LEARNING_RATE,
    standardize: options.standardize ?? true,
    seed,
  };
  checkOptions(repeats, protocols);
  const started = performance.now();
  const parts = disjointParts(
    dataset,
    { train: trainPairs, validation: validationPairs, test: testPairs },
    seed,
  );
  const pairs = (await extractPairs({
    device,
    encoder,
    dataset,
    kind,
    protocols,
    parts,
    seed,
    progress: (fraction) => progress?.("features", EXTRACTION * fraction),
  })) as Record<keyof typeof parts, Pairs>;

  // A task that no protocol masks is the same under all of them.
  const jobs = new Map<string, { task: TransformationTask; protocol: TransformationProtocol }>();
  const keyOf = (task: TransformationTask, protocol: TransformationProtocol) =>
    `${task}${isMasked(task, protocol) ? `, ${protocol}` : ""}`;
  for (const protocol of protocols) {
    for (const task of TRANSFORMATION_TASKS) jobs.set(keyOf(task, protocol), { task, protocol });
  }
  const outcomes = new Map<string, TaskOutcome>();
  const probes = new Map<number, Probe>();
  let done = 0;
  for (const [key, { task, protocol }] of jobs) {
    const outputs = transformationOf(task).components.length;
    const data = mapValues(pairs, (part) => ({
      features: part.features(task, protocol),
      targets: part.targets[task],
    })) as Record<keyof typeof pairs, { features: Matrix; targets: Matrix }>;
    const inputs = data.train.features.columns;
    const probe =
      probes.get(outputs) ?? (await Probe.create(device, { inputs, outputs, hidden, batchSize: BATCH_SIZE }));
    probes.set(outputs, probe);
    const results: ProbeResult[] = [];
    for (let repeat = 0; repeat < repeats; repeat++) {
      progress?.(
        `${key}: probe ${repeat + 1} of ${repeats}`,
        EXTRACTION + (1 - EXTRACTION) * (done / jobs.size / repeats),
      );
      results.push(await probe.train(data, { ...settings, seed: seed + repeat }));
      done++;
    }
    outcomes.set(key, outcomeOf(task, data.test.targets, results));
  }
  for (const probe of probes.values()) await probe.release();
  progress?.("done", 1);

  const seconds = (performance.now() - started) / 1000;
  const split = mapValues(pairs, ({ samples }) => samples) as TransformationsResult["split"];
  const records = protocols.map((protocol): TransformationsRecord => {
    const found = TRANSFORMATION_TASKS.map((task) => outcomes.get(keyOf(task, protocol)) as TaskOutcome);
    return {
      protocol,
      name: options.name ?? encoder.label,
      encoder: encoder.label,
      features: kind,
      seed,
      data: dataset.name,
      dataFingerprint: dataset.fingerprint,
      split: { train: split.train.length, validation: split.validation.length, test: split.test.length },
      repeats,
      seconds,
      r2: r2Of(found),
      scatter: found.flatMap((outcome) => scatterOf(outcome, encoder.config.imageSize)),
      probe: {
        epochs: settings.epochs,
        patience: settings.patience,
        learningRate: LEARNING_RATE,
        batchSize: BATCH_SIZE,
        hidden,
        standardize: settings.standardize,
        bestEpochs: byTask(found, ({ bestEpochs }) => [...bestEpochs]),
      },
    };
  });
  return { records, split };
}

function checkOptions(repeats: number, protocols: readonly TransformationProtocol[]): void {
  if (!Number.isInteger(repeats) || repeats < 1) {
    throw new EvaluationError(`The number of repeats is ${repeats}, expected a whole number from 1.`);
  }
  const unknown = protocols.find((protocol) => !TRANSFORMATION_PROTOCOLS.includes(protocol));
  if (protocols.length === 0 || unknown !== undefined) {
    throw new EvaluationError(
      `The protocol is ${unknown ?? "not named"}, expected ${TRANSFORMATION_PROTOCOLS.join(" or ")}.`,
    );
  }
}

function outcomeOf(task: TransformationTask, truth: Matrix, results: readonly ProbeResult[]): TaskOutcome {
  const [first] = results;
  if (!first) throw new Error("internal: no probe was trained");
  return {
    task,
    truth,
    predicted: first.predicted,
    pooled: results.map(({ predicted }) => pooledR2(truth, predicted)),
    perComponent: results.map(({ predicted }) => columnR2(truth, predicted)),
    bestEpochs: results.map(({ bestEpoch }) => bestEpoch),
  };
}

function byTask<T>(
  outcomes: readonly TaskOutcome[],
  value: (outcome: TaskOutcome) => T,
): Record<TransformationTask, T> {
  return Object.fromEntries(outcomes.map((outcome) => [outcome.task, value(outcome)])) as Record<
    TransformationTask,
    T
  >;
}

/** R² by task; `mean` is the mean of the four in each repeat, then over the repeats. */
function r2Of(outcomes: readonly TaskOutcome[]): TransformationsRecord["r2"] {
  const average = (values: readonly number[]) => meanAndStd(values).mean;
  const repeats = outcomes[0]?.pooled ?? [];
  const means = repeats.map((_, repeat) => average(outcomes.map(({ pooled }) => pooled[repeat] as number)));
  return {
    ...byTask(outcomes, ({ task, pooled, perComponent }) => ({
      ...meanAndStd(pooled),
      perParameter: Object.fromEntries(
        transformationOf(task).components.map(({ name }, column) => [
          name,
          average(perComponent.map((values) => values[column] as number)),
        ]),
      ),
    })),
    mean: { ...meanAndStd(means), perParameter: {} },
  };
}

/** True against predicted parameters in their own units. */
function scatterOf({ task, truth, predicted }: TaskOutcome, imageSize: number): TransformationScatter[] {
  const count = Math.min(SCATTER_POINTS, truth.rows);
  // Test samples are in random order already.
  return transformationOf(task).components.map((component, column) => {
    const { low, high } = component;
    const { unit, factor } = displayUnit(component, imageSize);
    const valuesOf = ({ columns, data }: Matrix) =>
      Array.from({ length: count }, (_, i) => {
        const scaled = data[i * columns + column] as number;
        return factor * (low + ((scaled + 1) / 2) * (high - low));
      });
    return { task, parameter: component.name, unit, truth: valuesOf(truth), predicted: valuesOf(predicted) };
  });
}

function displayUnit({ unit }: Component, imageSize: number): { unit: string; factor: number } {
  if (unit.startsWith("fraction of")) return { unit: "px", factor: imageSize };
  if (unit.startsWith("degrees")) return { unit: "°", factor: 1 };
  return { unit: unit === "pixels" ? "px" : unit, factor: 1 };
}
