/** @file DINO (facebookresearch/dino, vision_transformer.py): whole checkpoints, and the published backbones. */

import { positionInterpolations } from "../../nn/index.js";
import { type Family, usualHeads } from "./family.js";
import { timmLayout } from "./layouts.js";

export const dino: Family = {
  name: "dino",
  title: "DINO",
  layout: timmLayout,
  parts: {
    teacher: /^teacher\.(module\.)?(backbone\.)?$/,
    student: /^student\.(module\.)?(backbone\.)?$/,
    weights: /^(module\.)?(backbone\.)?$/,
  },
  recognises: ({ prefixes }) => prefixes.some((prefix) => !prefix.startsWith("model.")),
  heads: usualHeads,
  epsilon: 1e-6,
  interpolation: () => positionInterpolations.dino,
  initialization: "dino",
  feature: "cls",
};
