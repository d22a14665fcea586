/** @file The features that linear classifiers read: extracted once, of several crops of each image. */

import type { Dataset, Interpolation } from "../data/index.js";
import type { VisionTransformerConfig } from "../models/index.js";
import type { Device } from "../runtime/index.js";
import type { Encoder } from "./encoder.js";
import { EvaluationError } from "./evaluation-error.js";
import { FeatureExtractor, type ViewFeatures } from "./features.js";
import { digestsOf, type ReadImages } from "./labelled.js";
import { type Matrix, matrix, rowOf } from "./matrix.js";
import { cropsOf, evaluationBatches } from "./subset.js";

/**
 * Features that a classifier reads, side by side: the class tokens of the last blocks (each after the final norm,
 * iBOT's and DINOv2's `n_last_blocks`), then the mean patch token of the last block.
 */
export interface FeatureChoice {
  /** Class tokens of this many last blocks; 0 for none. */
  readonly blocks: number;
  readonly patches: boolean;
}

/** `cls`, `mean`, `cls+mean`, `cls:4`, `cls:4+mean`. */
export function featureChoiceName({ blocks, patches }: FeatureChoice): string {
  const cls = blocks > 1 ? [`cls:${blocks}`] : blocks === 1 ? ["cls"] : [];
  return [...cls, ...(patches ? ["mean"] : [])].join("+");
}

/** @throws EvaluationError when the text names no choice. */
export function parseFeatureChoice(text: string): FeatureChoice {
  const match = /^(?:cls(?::([1-9]\d*))?(\+mean)?|mean)$/.exec(text.trim());
  if (!match) {
    throw new EvaluationError(
      `"${text}" names no features: expected cls, mean, cls+mean, or cls:N and cls:N+mean for the last N blocks`,
    );
  }
  if (match[0] === "mean") return { blocks: 0, patches: true };
  return { blocks: Number(match[1] ?? 1), patches: match[2] !== undefined };
}

/** Where the choices' columns are in one matrix that serves all of them. */
export interface FeatureLayout {
  /** Class tokens of this many last blocks, then the mean patch token. */
  readonly blocks: number;
  readonly patches: boolean;
  readonly width: number;
  /** Of a choice: from, to (exclusive). */
  columns(choice: FeatureChoice): readonly [from: number, to: number];
}

/** @throws EvaluationError when the encoder has no class token, or fewer blocks than a choice names. */
export function featureLayout(
  choices: readonly FeatureChoice[],
  config: Pick<VisionTransformerConfig, "embedDim" | "depth" | "classToken">,
): FeatureLayout {
  const { embedDim, depth, classToken } = config;
  for (const choice of choices) {
    if (choice.blocks > 0 && !classToken) {
      throw new EvaluationError(
        `the encoder has no class token, so there are no features "${featureChoiceName(choice)}"; use "mean"`,
      );
    }
    if (choice.blocks > depth) {
      throw new EvaluationError(
        `features "${featureChoiceName(choice)}" were asked for, and the encoder has ${depth} blocks; ask for fewer`,
      );
    }
  }
  const blocks = Math.max(0, ...choices.map((choice) => choice.blocks));
  const patches = choices.some((choice) => choice.patches);
  return {
    blocks,
    patches,
    width: embedDim * (blocks + (patches ? 1 : 0)),
    columns: (choice) => [
      embedDim * (blocks - choice.blocks),
      embedDim * (blocks + (choice.patches ? 1 : 0)),
    ],
  };
}

/** Features of a labelled data set. */
export interface LinearData {
  /** `[N * views, width]`: the crops of an image stand together, its centre crop first. */
  readonly features: Matrix;
  /** `[N]` */
  readonly labels: Int32Array;
  readonly views: number;
}

export interface ExtractedData extends LinearData, ReadImages {}

export interface ExtractOptions {
  readonly device: Device;
  readonly encoder: Encoder;
  readonly layout: FeatureLayout;
  /** Crops of each image: the centre, and random resized crops, mirrored or not. */
  readonly views: number;
  /** Of the random crops. */
  readonly interpolation: Interpolation;
  readonly seed: number;
  readonly label: (label: number) => number;
  readonly progress?: (images: number) => void;
}

/** Share of an image's area that a random crop shows (torchvision's default). */
const CROP_SCALE = [0.08, 1] as const;

/** Decodes every image once and encodes each of its crops. */
export async function extractLinearData(dataset: Dataset, options: ExtractOptions): Promise<ExtractedData> {
  const { device, encoder, layout, views, seed, interpolation } = options;
  const extractor = await FeatureExtractor.create(device, encoder, {
    kinds: layout.patches ? ["mean"] : [],
    classBlocks: layout.blocks,
  });
  const { imageSize: size, batchSize } = extractor;
  const random = { kind: "randomResizedCrop", size, scale: CROP_SCALE, flip: 0.5, interpolation } as const;
  const crops = Array.from({ length: views - 1 }, () => random);
  const data = new Float32Array(dataset.length * views * layout.width);
  const digests: string[] = [];
  const labels: number[] = [];
  const samples: number[] = [];
  for await (const batch of evaluationBatches(dataset, size, batchSize, { crops, seed })) {
    const first = labels.length;
    for (const [view, pixels] of batch.views.entries()) {
      const { image } = await extractor.extract(pixels, batch.count);
      for (let i = 0; i < batch.count; i++) {
        putRow(image as ViewFeatures, i, data, ((first + i) * views + view) * layout.width);
      }
    }
    digests.push(...digestsOf(cropsOf(batch), batch.count, size));
    for (let i = 0; i < batch.count; i++) {
      labels.push(options.label(batch.labels?.[i] ?? -1));
      samples.push(batch.indices[i] as number);
    }
    options.progress?.(labels.length);
  }
  await extractor.release();
  const rows = labels.length * views;
  const features = matrix(rows, layout.width, data.subarray(0, rows * layout.width));
  requireFinite(features, (row) => dataset.sampleName(samples[Math.floor(row / views)] as number));
  return { features, labels: Int32Array.from(labels), views, digests, samples: Int32Array.from(samples) };
}

function putRow({ classBlocks = [], mean }: ViewFeatures, row: number, data: Float32Array, at: number): void {
  let column = at;
  for (const part of [...classBlocks, ...(mean ? [mean] : [])]) {
    data.set(rowOf(part, row), column);
    column += part.columns;
  }
}

function requireFinite({ data, columns }: Matrix, name: (row: number) => string): void {
  const bad = data.findIndex((value) => !Number.isFinite(value));
  if (bad < 0) return;
  throw new EvaluationError(
    `The features of ${name(Math.floor(bad / columns))} are not finite: the encoder has diverged or its weights are damaged.`,
  );
}
