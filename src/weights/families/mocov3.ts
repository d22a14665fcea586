/** @file MoCo v3 (facebookresearch/moco-v3, vits.py): its ViT-S has twelve heads, twice those of others. */

import { positionInterpolations } from "../../nn/index.js";
import type { Family } from "./family.js";
import { timmLayout } from "./layouts.js";

export const mocov3: Family = {
  name: "mocov3",
  title: "MoCo v3",
  layout: timmLayout,
  parts: {
    base_encoder: /^(state_dict\.)?(module\.)?base_encoder\.$/,
    momentum_encoder: /^(state_dict\.)?(module\.)?momentum_encoder\.$/,
    weights: /^(state_dict\.)?(module\.)?$/,
  },
  recognises: ({ prefixes }) => prefixes.some((prefix) => /(base|momentum)_encoder\.$/.test(prefix)),
  heads: { 384: 12, 768: 12 },
  epsilon: 1e-6,
  // Its code has no way of its own; its model is timm's.
  interpolation: () => positionInterpolations.timm,
  initialization: "mocov3",
  feature: "cls",
};
