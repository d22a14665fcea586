/** @file What importing knows about a source of encoders: where they are in its files, and what files do not say. */

import type { Initialization } from "../../models/index.js";
import type { PositionInterpolation } from "../../nn/index.js";
import type { FeatureKind } from "../encoder.js";
import type { NameMap } from "../name-maps.js";

/** A group of sources that call the first layer alike, by which encoders are found in a file. */
export interface Layout {
  /** The weight of the patch projection. */
  readonly anchor: string;
  /** All names in use. */
  readonly names: readonly NameMap[];
}

/** The JSON beside the weights. */
export type SourceConfig = Readonly<Record<string, unknown>>;

/** What a family is recognised by. */
export interface Found {
  /** A name in the file. */
  has(name: string): boolean;
  /** Whether a name matches. */
  some(pattern: RegExp): boolean;
  /** Where encoders of the family's layout are: the prefixes of their names. */
  readonly prefixes: readonly string[];
  readonly isSafetensors: boolean;
  readonly config: SourceConfig | undefined;
}

export const familyNames = [
  "timm",
  "dino",
  "ibot",
  "dinov2",
  "mocov3",
  "mae",
  "ijepa",
  "hf-vit",
  "hf-vit-mae",
  "hf-ijepa",
  "hf-dinov2",
  "hf-dinov2-registers",
] as const;

export type FamilyName = (typeof familyNames)[number];

export interface Family {
  readonly name: FamilyName;
  /** As tables name the method. */
  readonly title: string;
  readonly layout: Layout;
  /** The encoders of a checkpoint, by what names start with; the first that is there is taken unless another is asked for. */
  readonly parts: Readonly<Record<string, RegExp>>;
  /** Whether a file is this family's. The families are asked in the order of `families`. */
  recognises(found: Found): boolean;
  /** Heads by width, which tensors do not show; undefined where a configuration says it. */
  readonly heads?: Readonly<Record<number, number>>;
  /** Of the layer norms; undefined where a configuration says it. */
  readonly epsilon?: number;
  /** `model_type` of transformers. */
  readonly modelType?: string;
  /** The way in which this source fits position embeddings to other image sizes. */
  interpolation(registers: number): PositionInterpolation;
  readonly initialization: Initialization;
  /** The feature that the method's own evaluations use. */
  readonly feature: FeatureKind;
  /** Another name for the same thing, before names are looked up. */
  rename?(name: string): string;
}

/** Widths of published models and their heads (timm, vision_transformer.py; the official code agrees but for MoCo v3). */
export const usualHeads: Readonly<Record<number, number>> = {
  192: 3,
  384: 6,
  512: 8,
  768: 12,
  1024: 16,
  1280: 16,
  1408: 16,
  1536: 24,
  1664: 16,
};
