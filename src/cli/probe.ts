/** @file What is measured of the features while they train: k-NN accuracy where there are classes, and signs of collapse. */

import { createSequentialLoader } from "../data/index.js";
import {
  createOnlineKnn,
  effectiveRank,
  FeatureExtractor,
  matrix,
  patchPictures,
  type RgbPicture,
} from "../evaluation/index.js";
import type { HealthRow, KnnResult } from "../reports/index.js";
import { encoderPrefix, type RunContext } from "../training/index.js";

export interface ProbeResult {
  readonly health: HealthRow;
  readonly knn?: KnnResult;
  /** Principal components of the patch features of the first images. */
  readonly patches: readonly RgbPicture[];
}

export interface Probe {
  /** Measures the weights as they are now. @param featureStd Of the batch just trained on. */
  run(featureStd: number): Promise<ProbeResult>;
  close(): Promise<void>;
}

/** Images whose features' rank is measured, and those that are drawn. */
const RANK_IMAGES = 128;
const DRAWN_IMAGES = 8;
/** A healthy run stays well above these from the first steps on. */
const LOW_STD = 0.01;
const LOW_RANK = 3;

/** Reads the encoder where it trains: no weights are copied. */
export async function createProbe({ device, encoder, dataset, config, method }: RunContext): Promise<Probe> {
  const resident = { config: encoder, statePrefix: encoderPrefix(method) };
  const batchSize = Math.min(RANK_IMAGES, dataset.length);
  const extractor = await FeatureExtractor.create(device, resident, {
    kinds: ["mean"],
    patches: true,
    batchSize,
  });
  const loader = createSequentialLoader({
    dataset,
    batchSize,
    views: [{ kind: "resizeCenterCrop", resize: config.imageSize, size: config.imageSize }],
  });
  const { value: batch } = await loader.next();
  await loader.close();
  const images = batch?.views[0] ?? new Uint8Array();
  const knn = dataset.classes
    ? await createOnlineKnn({ device, ...resident, dataset, feature: "mean", seed: config.seed })
    : undefined;
  const side = encoder.imageSize / encoder.patchSize;
  return {
    async run(featureStd) {
      const { image } = await extractor.extract(images, batch?.count ?? 0);
      if (!image?.mean || !image.patches) throw new Error("internal: the probe's features are missing");
      // All features zero is the worst collapse: a rank of 0, and a warning instead of an error.
      const isZero = image.mean.data.every((value) => value === 0);
      const rank = isZero ? 0 : effectiveRank(image.mean);
      const warnings = [
        ...(featureStd < LOW_STD
          ? [`the features' standard deviation is ${featureStd.toPrecision(2)}: they collapse to a point`]
          : []),
        ...(rank < LOW_RANK
          ? [`the features' effective rank is ${rank.toPrecision(2)}: they collapse to a few directions`]
          : []),
      ];
      const shown = Math.min(DRAWN_IMAGES, batch?.count ?? 0) * side * side;
      const { columns, data } = image.patches;
      return {
        health: { featureStd, effectiveRank: rank, ...(warnings.length > 0 ? { warnings } : {}) },
        ...(knn ? { knn: await knn.run() } : {}),
        patches: patchPictures(matrix(shown, columns, data.slice(0, shown * columns)), {
          grid: [side, side],
          zoom: encoder.patchSize,
        }),
      };
    },
    async close() {
      await extractor.release();
      await knn?.release();
    },
  };
}
