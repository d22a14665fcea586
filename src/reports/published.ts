/**
 * @file Published figures of the paper, as printed there.
 *
 * Source: Wang et al., "Self-Supervised Learning Based on Transformed Image Reconstruction for Equivariance-Coherent Feature
 * Representation", arXiv 2503.18753. Tables are numbered here as in its first version (v1). Digits are those of the AAAI-26
 * version (article 39849), which numbers them otherwise (`PAPER_TABLES`) and prints the same figures. Figures that stand in v1 alone could not
 * be checked and are not here.
 */

import type { Task } from "./events.js";

/** Number of a table in arXiv v1, to its number in the AAAI-26 version. */
export const PAPER_TABLES = { 2: 1, 3: 4, 4: 5, 6: 8 } as const;

/** A row as the paper prints it. */
interface PrintedRow {
  /** Method as the paper writes it. */
  encoder: string;
  /** Where the paper says it. */
  architecture?: string;
  epochs?: number;
  /** The row of the same table that this one is the method on top of. */
  base?: string;
}

/** R² of predicted transformation parameters. Digits as printed; a column that is not here is not printed. */
export interface PublishedRow extends PrintedRow {
  table: 2 | 3;
  r2: Partial<Record<Task, string>>;
  /** Deviations over probes, by task. */
  std?: Record<Task, string>;
  /** Over the columns of the row's table. */
  mean: string;
  /** Among the few rows that a report of a single run shows. */
  isHeadline?: boolean;
}

export const PUBLISHED_SOURCE = {
  title:
    "Self-Supervised Learning Based on Transformed Image Reconstruction for Equivariance-Coherent Feature Representation",
  citation: "arXiv 2503.18753, AAAI-26, Tables 2 and 3",
  url: "https://arxiv.org/abs/2503.18753",
} as const;

/** "0.331 ± 0.007", the four tasks in order. */
function r2Of(...printed: readonly [string, string, string, string]) {
  const [rotation, color, blur, translation] = printed.map((text) => text.split(" ± "));
  const of = (place: 0 | 1) => ({
    rotation: rotation?.[place] ?? "",
    color: color?.[place] ?? "",
    blur: blur?.[place] ?? "",
    translation: translation?.[place] ?? "",
  });
  return rotation?.length === 2 ? { r2: of(0), std: of(1) } : { r2: of(0) };
}

/** arXiv Table 2 (AAAI-26: Table 1): ViT-S/16, all four tasks. */
const SIE_FAMILY = { table: 2, architecture: "ViT-S/16", epochs: 800 } as const;
/** arXiv Table 3 (AAAI-26: Table 4): rotation and colour. The text says ViT-L/16 of the iBOT and DINOv2 rows. */
const IBOT = { table: 3, architecture: "ViT-L/16", epochs: 250 } as const;
const DINOV2 = { table: 3, architecture: "ViT-L/16", epochs: 100 } as const;

export const PUBLISHED_ROWS: readonly PublishedRow[] = [
  { ...SIE_FAMILY, encoder: "SIE(rot)", ...r2Of("0.990", "0.867", "0.042", "0.540"), mean: "0.610" },
  { ...SIE_FAMILY, encoder: "SIE(color)", ...r2Of("0.078", "0.890", "0.097", "0.355"), mean: "0.355" },
  { ...SIE_FAMILY, encoder: "SIE(blur)", ...r2Of("0.153", "0.883", "0.941", "0.189"), mean: "0.542" },
  { ...SIE_FAMILY, encoder: "SIE(trans)", ...r2Of("0.213", "0.885", "0.023", "0.978"), mean: "0.525" },
  {
    ...SIE_FAMILY,
    encoder: "SIE(all)",
    ...r2Of("0.331 ± 0.007", "0.899 ± 0.003", "0.211 ± 0.005", "0.925 ± 0.002"),
    mean: "0.592",
    isHeadline: true,
  },
  {
    ...SIE_FAMILY,
    encoder: "Cross-attention reconstruction",
    ...r2Of("0.893 ± 0.004", "0.921 ± 0.006", "0.823 ± 0.030", "0.875 ± 0.005"),
    mean: "0.878",
    isHeadline: true,
  },
  {
    ...SIE_FAMILY,
    encoder: "Ours(VICReg, rot, rot)",
    ...r2Of("0.9975 ± 0.0005", "0.9073 ± 0.0021", "0.9310 ± 0.0020", "0.9810 ± 0.0010"),
    mean: "0.954",
  },
  {
    ...SIE_FAMILY,
    encoder: "Ours(VICReg, all, rot)",
    ...r2Of("0.9983 ± 0.0005", "0.9231 ± 0.0005", "0.9689 ± 0.0099", "0.9801 ± 0.0004"),
    mean: "0.968",
    isHeadline: true,
  },
  {
    ...SIE_FAMILY,
    encoder: "Ours(VICReg, all, color)",
    ...r2Of("0.9891 ± 0.0019", "0.9373 ± 0.0013", "0.9700 ± 0.0067", "0.9699 ± 0.0022"),
    mean: "0.967",
  },
  {
    ...SIE_FAMILY,
    encoder: "Ours(VICReg, all, blur)",
    ...r2Of("0.9981 ± 0.0001", "0.9154 ± 0.0006", "0.9392 ± 0.0106", "0.9774 ± 0.0007"),
    mean: "0.958",
  },
  {
    ...SIE_FAMILY,
    encoder: "Ours(VICReg, all, trans)",
    ...r2Of("0.9975 ± 0.0005", "0.9288 ± 0.0012", "0.9747 ± 0.0017", "0.9830 ± 0.0004"),
    mean: "0.971",
  },
  {
    ...SIE_FAMILY,
    encoder: "Ours(VICReg, all, se2)",
    ...r2Of("0.9980 ± 0.0001", "0.9158 ± 0.0005", "0.9520 ± 0.0050", "0.9740 ± 0.0001"),
    mean: "0.960",
  },
  // The AAAI-26 version alone has SimCLR; it says nothing of its size or length.
  { table: 3, encoder: "SimCLR", r2: { rotation: "0.288", color: "0.575" }, mean: "0.432" },
  {
    table: 3,
    encoder: "Ours(SimCLR, all, rot)",
    base: "SimCLR",
    r2: { rotation: "0.637", color: "0.712" },
    mean: "0.675",
  },
  {
    table: 3,
    encoder: "Ours(SimCLR, all, se2)",
    base: "SimCLR",
    r2: { rotation: "0.705", color: "0.723" },
    mean: "0.714",
  },
  { ...IBOT, encoder: "iBOT", r2: { rotation: "0.238", color: "0.913" }, mean: "0.576", isHeadline: true },
  {
    ...IBOT,
    encoder: "Ours(iBOT, all, rot)",
    base: "iBOT",
    r2: { rotation: "0.925", color: "0.934" },
    mean: "0.930",
  },
  {
    ...IBOT,
    encoder: "Ours(iBOT, all, se2)",
    base: "iBOT",
    r2: { rotation: "0.937", color: "0.943" },
    mean: "0.940",
    isHeadline: true,
  },
  {
    ...DINOV2,
    encoder: "DINOv2",
    r2: { rotation: "0.774", color: "0.910" },
    mean: "0.842",
    isHeadline: true,
  },
  {
    ...DINOV2,
    encoder: "Ours(DINOv2, all, rot)",
    base: "DINOv2",
    r2: { rotation: "0.812", color: "0.920" },
    mean: "0.866",
  },
  {
    ...DINOV2,
    encoder: "Ours(DINOv2, all, se2)",
    base: "DINOv2",
    r2: { rotation: "0.840", color: "0.933" },
    mean: "0.887",
    isHeadline: true,
  },
];

/** The data sets of the paper's linear probing, by the name that the data's layout gives, in the order of its table. */
export const BENCHMARKS = {
  "cifar-10": { title: "CIFAR10", split: "test", testImages: 10_000 },
  "cifar-100": { title: "CIFAR100", split: "test", testImages: 10_000 },
  "fgvc-aircraft": { title: "Aircraft", split: "test", testImages: 3333 },
  "oxford-iiit-pet": { title: "Pet", split: "test", testImages: 3669 },
  "food-101": { title: "Food", split: "test", testImages: 25_250 },
  "flowers-102": { title: "Flowers", split: "test", testImages: 6149 },
  "inaturalist-2018": { title: "INat18", split: "val", testImages: 24_426 },
  "imagenet-1k": { title: "ImageNet", split: "val", testImages: 50_000 },
} as const;
export type Benchmark = keyof typeof BENCHMARKS;

/** Accuracy in percent of a linear probe on frozen features. */
export interface PublishedAccuracies extends PrintedRow {
  table: 4 | 6;
  /** What it was pretrained on. */
  pretraining: string;
  accuracy: Partial<Record<Benchmark, string>>;
}

/** The eight data sets in order. */
function topOneOf(...[c10, c100, aircraft, pet, food, flowers, inat, imagenet]: readonly string[]) {
  const all = {
    "cifar-10": c10,
    "cifar-100": c100,
    "fgvc-aircraft": aircraft,
    "oxford-iiit-pet": pet,
    "food-101": food,
    "flowers-102": flowers,
    "inaturalist-2018": inat,
    "imagenet-1k": imagenet,
  };
  return { accuracy: all as Record<Benchmark, string> };
}

/** Columns of arXiv Table 6. */
function threeOf(cifar100: string, inat: string, imagenet?: string) {
  return {
    accuracy: {
      "cifar-100": cifar100,
      "inaturalist-2018": inat,
      ...(imagenet === undefined ? {} : { "imagenet-1k": imagenet }),
    },
  };
}

/** arXiv Table 4 (AAAI-26: Table 5). Size and length are those that section 4.1 gives for these models. */
const PROBED_IBOT = { table: 4, architecture: "ViT-L/16", epochs: 250, pretraining: "ImageNet" } as const;
const PROBED_DINOV2 = { ...PROBED_IBOT, epochs: 100 } as const;
/** arXiv Table 6 (AAAI-26: Table 8): against methods that need few or no augmentations. */
const FEW = { table: 6, pretraining: "ImageNet" } as const;

export const PUBLISHED_ACCURACIES: readonly PublishedAccuracies[] = [
  {
    ...PROBED_IBOT,
    encoder: "iBOT",
    ...topOneOf("97.60", "86.96", "55.43", "92.30", "88.39", "90.64", "57.30", "81.00"),
  },
  {
    ...PROBED_IBOT,
    encoder: "Ours(iBOT, all, se2)",
    base: "iBOT",
    ...topOneOf("98.08", "87.36", "57.55", "94.34", "88.66", "96.03", "57.99", "81.44"),
  },
  {
    ...PROBED_DINOV2,
    encoder: "DINOv2",
    ...topOneOf("98.47", "89.28", "70.89", "94.82", "87.92", "96.39", "69.42", "82.60"),
  },
  {
    ...PROBED_DINOV2,
    encoder: "Ours(DINOv2, all, se2)",
    base: "DINOv2",
    ...topOneOf("98.91", "90.37", "71.64", "95.42", "87.80", "96.81", "70.41", "82.73"),
  },
  { ...FEW, encoder: "MAE", architecture: "ViT-H/14", ...threeOf("77.3", "32.9", "77.2") },
  { ...FEW, encoder: "I-JEPA", architecture: "ViT-H/14", ...threeOf("87.5", "47.6", "77.5") },
  {
    ...FEW,
    encoder: "I-JEPA",
    architecture: "ViT-H/14",
    pretraining: "ImageNet-22k",
    ...threeOf("89.5", "50.5", "79.3"),
  },
  {
    ...FEW,
    encoder: "I-JEPA",
    architecture: "ViT-G/16",
    pretraining: "ImageNet-22k",
    ...threeOf("89.5", "55.3"),
  },
  { ...FEW, encoder: "iBOT", architecture: "ViT-L/16", ...threeOf("87.0", "57.3", "81.0") },
  { ...FEW, encoder: "DINOv2", architecture: "ViT-L/16", ...threeOf("89.3", "69.4", "82.6") },
  {
    ...FEW,
    encoder: "DINOv2",
    architecture: "ViT-g/14",
    pretraining: "LVD-142M",
    ...threeOf("94.0", "81.6", "87.1"),
  },
  { ...FEW, encoder: "Ours(iBOT, all, se2)", architecture: "ViT-L/16", ...threeOf("87.8", "58.0", "81.6") },
  { ...FEW, encoder: "Ours(DINOv2, all, se2)", architecture: "ViT-L/16", ...threeOf("90.4", "70.4", "82.7") },
];

/** Small print of a published row: "published: ViT-L/16, ImageNet, 250 epochs". */
export function publishedDetail({
  architecture,
  epochs,
  pretraining = "ImageNet",
}: PrintedRow & { pretraining?: string }): string {
  const facts = [architecture, pretraining, epochs === undefined ? undefined : `${epochs} epochs`];
  return `published: ${facts.filter((fact) => fact !== undefined).join(", ")}`;
}

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
