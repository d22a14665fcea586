/** @file Vision transformers of Hugging Face's transformers: heads and epsilon are in their config.json. */

import { positionInterpolations } from "../../nn/index.js";
import type { Family, Found } from "./family.js";
import { huggingFaceDinov2Layout, huggingFaceVitLayout } from "./layouts.js";

/** Without a prefix, or inside a model for a task: `vit.`, `dinov2.`, `ijepa.`. */
const parts = { encoder: /^(model\.|module\.|backbone\.)?([a-z0-9_]+\.)?$/ };

/** By the configuration, and without one by what names tell. */
function recognises(modelType: string, byNames: (found: Found, prefix: string) => boolean) {
  return (found: Found): boolean =>
    found.config?.model_type === undefined
      ? found.prefixes.some((prefix) => byNames(found, prefix))
      : found.prefixes.length > 0 && found.config.model_type === modelType;
}

const common = {
  parts,
  initialization: "dino",
  feature: "cls",
  interpolation: () => positionInterpolations.transformers,
} as const;

const isDinov2 = ({ has }: Found, prefix: string) => has(`${prefix}encoder.layer.0.layer_scale1.lambda1`);
const hasRegisters = ({ has }: Found, prefix: string) => has(`${prefix}embeddings.register_tokens`);
const hasClass = ({ has }: Found, prefix: string) => has(`${prefix}embeddings.cls_token`);
const hasDecoder = ({ some }: Found) => some(/^decoder\.decoder_(embed|pred)\./);

export const huggingFaceDinov2Registers: Family = {
  ...common,
  name: "hf-dinov2-registers",
  title: "DINOv2 with registers",
  layout: huggingFaceDinov2Layout,
  modelType: "dinov2_with_registers",
  recognises: recognises("dinov2_with_registers", (f, p) => isDinov2(f, p) && hasRegisters(f, p)),
  interpolation: () => positionInterpolations.dinov2Registers,
  initialization: "dinov2",
};

export const huggingFaceDinov2: Family = {
  ...common,
  name: "hf-dinov2",
  title: "DINOv2",
  layout: huggingFaceDinov2Layout,
  modelType: "dinov2",
  recognises: recognises("dinov2", (f, p) => isDinov2(f, p) && !hasRegisters(f, p)),
  initialization: "dinov2",
};

export const huggingFaceVitMae: Family = {
  ...common,
  name: "hf-vit-mae",
  title: "MAE",
  layout: huggingFaceVitLayout,
  modelType: "vit_mae",
  recognises: recognises("vit_mae", (f, p) => !isDinov2(f, p) && hasDecoder(f)),
  initialization: "mae",
};

export const huggingFaceIJepa: Family = {
  ...common,
  name: "hf-ijepa",
  title: "I-JEPA",
  layout: huggingFaceVitLayout,
  modelType: "ijepa",
  recognises: recognises("ijepa", (f, p) => !isDinov2(f, p) && !hasClass(f, p)),
  initialization: "mae",
  feature: "mean",
};

export const huggingFaceVit: Family = {
  ...common,
  name: "hf-vit",
  title: "ViT",
  layout: huggingFaceVitLayout,
  modelType: "vit",
  recognises: recognises("vit", (f, p) => !isDinov2(f, p) && hasClass(f, p) && !hasDecoder(f)),
};
