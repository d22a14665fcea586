/** @file The published linear probes as data: optimiser, sweep, schedule and features of each. */

import type { Interpolation } from "../data/index.js";
import type { VisionTransformerConfig } from "../models/index.js";
import type { FeatureChoice } from "./linear-features.js";
import type { LinearOptimizer } from "./linear-sweep.js";

export const LINEAR_PROTOCOLS = ["paper", "ibot", "dinov2"] as const;
export type LinearProtocolName = (typeof LINEAR_PROTOCOLS)[number];

export interface LinearProtocol {
  readonly name: string;
  readonly optimizer: LinearOptimizer;
  /** Images of a step; all of them where there are fewer. */
  readonly batchSize: number;
  readonly learningRates: readonly number[];
  /** Whether learning rates are multiplied by batch size / 256. */
  readonly scaleLearningRates: boolean;
  readonly weightDecays: readonly number[];
  /** Length of the training: passes over the images, or steps whatever their number. */
  readonly length: { readonly epochs: number } | { readonly steps: number };
  /** Whether the cosine from the learning rate to 0 falls after every epoch or after every step. */
  readonly cosine: "epoch" | "step";
  /** Of the random crops. */
  readonly interpolation: Interpolation;
  /** Features that are tried, each with every learning rate and weight decay. */
  readonly features: (
    config: Pick<VisionTransformerConfig, "embedDim" | "depth" | "classToken">,
  ) => FeatureChoice[];
}

const cls: FeatureChoice = { blocks: 1, patches: false };
const meanPatch: FeatureChoice = { blocks: 0, patches: true };
const both: FeatureChoice = { blocks: 1, patches: true };
/** Features of this width and below are small: iBOT takes four blocks of them. */
const SMALL = 384;

export const linearProtocols: Record<LinearProtocolName, LinearProtocol> = {
  // Paper, appendix A.1 of arXiv 2503.18753v1: AdamW, batch 1024; [CLS] for ViT-S, [CLS] and mean patch for ViT-L. It
  // names neither epochs nor learning rates: those here are ours.
  paper: {
    name: "paper",
    optimizer: "adamw",
    batchSize: 1024,
    learningRates: [1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1],
    scaleLearningRates: false,
    weightDecays: [0],
    length: { epochs: 100 },
    cosine: "epoch",
    interpolation: "bilinear",
    features: ({ classToken }) => (classToken ? [cls, meanPatch, both] : [meanPatch]),
  },
  // bytedance/ibot, evaluation/eval_linear_multi.py, 8 GPUs of 128 images: its SGD half, LARS left out.
  ibot: {
    name: "ibot",
    optimizer: "sgd",
    batchSize: 1024,
    learningRates: [1e-4, 1e-3, 1e-2, 1e-1, 1].flatMap((base) =>
      Array.from({ length: 9 }, (_, n) => base * (n + 1)),
    ),
    scaleLearningRates: true,
    weightDecays: [0, 1e-6],
    length: { epochs: 100 },
    cosine: "epoch",
    interpolation: "bilinear",
    features: ({ classToken, embedDim, depth }) =>
      !classToken
        ? [meanPatch]
        : embedDim <= SMALL
          ? [{ blocks: Math.min(4, depth), patches: false }]
          : [both],
  },
  // facebookresearch/dinov2, dinov2/eval/linear.py, 8 GPUs of 128 images.
  dinov2: {
    name: "dinov2",
    optimizer: "sgd",
    batchSize: 1024,
    learningRates: [1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1],
    scaleLearningRates: true,
    weightDecays: [0],
    length: { steps: 12_500 },
    cosine: "step",
    interpolation: "bicubic",
    features: ({ classToken, depth }) => {
      if (!classToken) return [meanPatch];
      const blocks = [...new Set([1, Math.min(4, depth)])];
      return blocks.flatMap((count) => [
        { blocks: count, patches: false },
        { blocks: count, patches: true },
      ]);
    },
  },
};
