/** @file Features of images beside those of the same images transformed: what the probes are trained on. */

import type { Dataset } from "../data/index.js";
import { constant, mul, type Tensor } from "../graph/index.js";
import { randomStream } from "../random.js";
import { mapKeys, mapValues, prefixed, unprefixed } from "../records.js";
import type { Device } from "../runtime/index.js";
import { drawBatch, normalizeTheta, type Transformation, transformation } from "../transforms/index.js";
import type { Encoder, FeatureKind, ResidentEncoder } from "./encoder.js";
import { EvaluationError } from "./evaluation-error.js";
import { FeatureExtractor, type View } from "./features.js";
import { besides, type Matrix, matrix } from "./matrix.js";
import { cropsOf, evaluationBatches, subset } from "./subset.js";

/** The four transformations whose parameters are predicted (paper, section 4.2). */
export const TRANSFORMATION_TASKS = ["rotation", "color", "blur", "translation"] as const;
export type TransformationTask = (typeof TRANSFORMATION_TASKS)[number];

/**
 * `paper-zero-fill`: what a motion brings in from beyond the border is black. Black corners give the angle away, even
 * to an encoder that knows nothing.
 *
 * `leak-free-disc`: for the tasks that move the image, rotation and translation, everything outside a disc is black in
 * both images of a pair, and the disc is so small that nothing from beyond the border can come into it: its radius is
 * the half side less half a pixel and less the longest shift. Reflection instead would leave seams that turn with the
 * angle. Colour and blur bring in nothing; their pairs, and so their scores, are the same under both protocols.
 */
export const TRANSFORMATION_PROTOCOLS = ["paper-zero-fill", "leak-free-disc"] as const;
export type TransformationProtocol = (typeof TRANSFORMATION_PROTOCOLS)[number];

const transformations: Readonly<Record<TransformationTask, Transformation>> = {
  rotation: transformation("rotation"),
  color: transformation("color"),
  blur: transformation("blur"),
  translation: transformation("translation"),
};

export function transformationOf(task: TransformationTask): Transformation {
  return transformations[task];
}

/** Whether a task's pairs differ from the paper's under a protocol. */
export function isMasked(task: TransformationTask, protocol: TransformationProtocol): boolean {
  return protocol === "leak-free-disc" && (task === "rotation" || task === "translation");
}

/** 1 inside the disc of `leak-free-disc`, 0 outside, `[1, 1, size, size]`. */
export function leakFreeDisc(size: number): Tensor {
  const shift = Math.max(
    ...transformations.translation.components.map(({ low, high }) => Math.max(-low, high) * size),
  );
  const middle = (size - 1) / 2;
  const mask = Array.from({ length: size * size }, (_, i) => {
    const distance = Math.hypot((i % size) - middle, Math.floor(i / size) - middle);
    return distance <= middle - shift ? 1 : 0;
  });
  return constant(mask, [1, 1, size, size]);
}

/** A sample's theta depends on the seed, the task and the sample alone. */
function thetaStream(seed: number, task: TransformationTask, sample: number) {
  return randomStream(seed, "evaluation", task, sample);
}

/** `patches`: all patch tokens side by side, so that the probe also sees where something is. */
export type PairFeature = FeatureKind | "patches";

/** Numbers of an image's patch features side by side, at most: those of all pairs are held at once. */
const MOST_FEATURES = 8192;

export interface PairOptions {
  readonly device: Device;
  readonly encoder: Encoder | ResidentEncoder;
  readonly dataset: Dataset;
  readonly kind: PairFeature;
  readonly protocols: readonly TransformationProtocol[];
  /** Samples by part. */
  readonly parts: Readonly<Record<string, Uint32Array>>;
  readonly seed: number;
  /**
   * Images per run, each encoded once for every view. Default 8: with the eight views of both protocols the activations
   * then still fit into a processor's cache.
   */
  readonly batchSize?: number;
  /** Told the share of images that are done. */
  readonly progress?: (fraction: number) => void;
}

/** Pairs of one part of the data. */
export interface Pairs {
  /** Samples, in the order of the rows; without those that could not be decoded. */
  readonly samples: Int32Array;
  /** Features of I and g(I), `[N, 2 D]`; of T patches side by side `[N, 2 T D]`. */
  features(task: TransformationTask, protocol: TransformationProtocol): Matrix;
  /** The parameters, each mapped from its range to [-1, 1], `[N, components]`. */
  readonly targets: Readonly<Record<TransformationTask, Matrix>>;
}

const IMAGE = "image";
const viewName = (name: string, masked: boolean): string => (masked ? `${name}, disc` : name);

/** Views by name: of the image and of each transformation, plain and masked as the protocols need them. */
function viewsFor(protocols: readonly TransformationProtocol[], size: number): Record<string, View> {
  const plain: Record<string, View> = { [IMAGE]: (images) => images };
  const masked: Record<string, View> = {};
  const withDisc =
    (view: View): View =>
    (images, inputs) =>
      mul(view(images, inputs), leakFreeDisc(size));
  for (const protocol of protocols) {
    for (const task of TRANSFORMATION_TASKS) {
      const view: View = (images, inputs) =>
        transformations[task].apply(images, unprefixed(inputs, `${task}/`));
      if (isMasked(task, protocol)) {
        masked[viewName(IMAGE, true)] = withDisc((images) => images);
        masked[viewName(task, true)] = withDisc(view);
      } else plain[task] = view;
    }
  }
  return { ...plain, ...masked };
}

/**
 * Reads every image once and encodes all its views in one run.
 * @throws EvaluationError when the patches of an image are too many numbers.
 */
export async function extractPairs(options: PairOptions): Promise<Record<string, Pairs>> {
  const { device, encoder, dataset, kind, protocols, parts, seed, batchSize = 8 } = options;
  const { imageSize: size, embedDim, patchSize } = encoder.config;
  // Rows of the extracted matrix that are one image's features.
  const tokens = kind === "patches" ? (size / patchSize) ** 2 : 1;
  const width = tokens * embedDim;
  if (kind === "patches" && width > MOST_FEATURES) {
    throw new EvaluationError(
      `the patches of an image are ${tokens} x ${embedDim} features, more than the ${MOST_FEATURES} that are probed; use "mean"`,
    );
  }
  const extractor = await FeatureExtractor.create(device, encoder, {
    kinds: kind === "patches" ? [] : [kind],
    patches: kind === "patches",
    batchSize,
    views: viewsFor(protocols, size),
    inputs: Object.assign(
      {},
      ...TRANSFORMATION_TASKS.map((task) => prefixed(transformations[task].parameters, `${task}/`)),
    ),
  });
  const all = Uint32Array.from(Object.values(parts).flatMap((part) => [...part]));
  const rows: {
    readonly position: number;
    readonly thetas: Thetas;
    readonly views: Record<string, Float32Array>;
  }[] = [];
  for await (const batch of evaluationBatches(subset(dataset, all), size, batchSize)) {
    const positions = [...batch.indices];
    const draws = mapValues(transformations, (g, task) =>
      drawBatch(
        g,
        positions.map((position) => thetaStream(seed, task as TransformationTask, all[position] as number)),
      ),
    ) as Record<TransformationTask, ReturnType<typeof drawBatch>>;
    const inputs: Record<string, Float32Array> = {};
    for (const task of TRANSFORMATION_TASKS) {
      Object.assign(
        inputs,
        mapKeys(
          mapValues(draws[task], ({ data }) => data),
          (name) => `${task}/${name}`,
        ),
      );
    }
    const found = await extractor.extract(cropsOf(batch), batch.count, inputs);
    positions.forEach((position, i) => {
      rows.push({
        position,
        views: mapValues(found, (features) =>
          (features[kind] as Matrix).data.subarray(i * width, (i + 1) * width),
        ),
        thetas: mapValues(transformations, ({ components }, task) => {
          const { data } = draws[task as TransformationTask].theta as { data: Float32Array };
          return data.subarray(i * components.length, (i + 1) * components.length);
        }) as Thetas,
      });
    });
    options.progress?.(rows.length / all.length);
  }
  await extractor.release();

  const result: Record<string, Pairs> = {};
  let first = 0;
  for (const [name, part] of Object.entries(parts)) {
    const end = first + part.length;
    const own = rows.filter(({ position }) => position >= first && position < end);
    const joined = (pick: (row: (typeof rows)[number]) => Float32Array, columns: number): Matrix => {
      const data = new Float32Array(own.length * columns);
      own.forEach((row, i) => {
        data.set(pick(row), i * columns);
      });
      return matrix(own.length, columns, data);
    };
    const view = (viewed: string) => joined((row) => row.views[viewed] as Float32Array, width);
    result[name] = {
      samples: Int32Array.from(own, ({ position }) => all[position] as number),
      features: (task, protocol) => {
        const masked = isMasked(task, protocol);
        return besides(view(viewName(IMAGE, masked)), view(viewName(task, masked)));
      },
      targets: mapValues(transformations, (g, task) => {
        const theta = joined((row) => row.thetas[task as TransformationTask], g.components.length);
        return { ...theta, data: normalizeTheta(g, theta.data) };
      }) as Record<TransformationTask, Matrix>,
    };
    first = end;
  }
  return result;
}

type Thetas = Readonly<Record<TransformationTask, Float32Array>>;
