/**
 * @file Published R² figures of the paper, as printed there.
 *
 * Source: "Self-Supervised Learning Based on Transformed Image Reconstruction for Equivariance-Coherent Feature
 * Representation", arXiv 2503.18753 (v1 and the AAAI-26 version, article 39849, print the same numbers), Table 2.
 * Only the rows and columns that could be checked are here; the paper has more.
 */

import type { Task } from "./events.js";

export interface PublishedRow {
  /** Method as the paper writes it. */
  encoder: string;
  architecture: "ViT-S/16" | "ViT-L/16";
  epochs: number;
  /** Digits as printed; a column that is not here was not checked, not zero. */
  r2: Partial<Record<Task, string>>;
}

export const PUBLISHED_SOURCE = {
  title:
    "Self-Supervised Learning Based on Transformed Image Reconstruction for Equivariance-Coherent Feature Representation",
  citation: "arXiv 2503.18753, AAAI-26, Table 2",
  url: "https://arxiv.org/abs/2503.18753",
} as const;

export const PUBLISHED_ROWS: readonly PublishedRow[] = [
  {
    encoder: "SIE(all)",
    architecture: "ViT-S/16",
    epochs: 800,
    r2: { rotation: "0.331", color: "0.899", blur: "0.211", translation: "0.925" },
  },
  {
    encoder: "Cross-attention reconstruction",
    architecture: "ViT-S/16",
    epochs: 800,
    r2: { rotation: "0.893", color: "0.921", blur: "0.823", translation: "0.875" },
  },
  {
    encoder: "Ours(VICReg, all, rot)",
    architecture: "ViT-S/16",
    epochs: 800,
    r2: { rotation: "0.9983", color: "0.9231", blur: "0.9689", translation: "0.9801" },
  },
  { encoder: "iBOT", architecture: "ViT-L/16", epochs: 250, r2: { rotation: "0.238", color: "0.913" } },
  {
    encoder: "Ours(iBOT, all, se2)",
    architecture: "ViT-L/16",
    epochs: 250,
    r2: { rotation: "0.937", color: "0.943" },
  },
  { encoder: "DINOv2", architecture: "ViT-L/16", epochs: 100, r2: { rotation: "0.774", color: "0.910" } },
  {
    encoder: "Ours(DINOv2, all, se2)",
    architecture: "ViT-L/16",
    epochs: 100,
    r2: { rotation: "0.840", color: "0.933" },
  },
];

/** Scale of the paper's VICReg/SIE pretraining (section 4.1): what a small run is to be compared with. */
export const PUBLISHED_SCALE = {
  architecture: "ViT-S/16",
  parameters: 21_665_664,
  data: "ImageNet-1k",
  images: 1_281_167,
  imageSize: 224,
  epochs: 800,
  batchSize: 2048,
  hardware: "16 A100 GPUs",
} as const;
