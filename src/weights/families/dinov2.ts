/**
 * @file DINOv2 (facebookresearch/dinov2, dinov2/models/vision_transformer.py), with and without registers: the published
 * flat backbones, and training checkpoints, whose blocks may be in chunks: `blocks.CHUNK.INDEX`, INDEX counting on.
 */

import { positionInterpolations } from "../../nn/index.js";
import { type Family, usualHeads } from "./family.js";
import { dinov2Layout } from "./layouts.js";

export const dinov2: Family = {
  name: "dinov2",
  title: "DINOv2",
  layout: dinov2Layout,
  parts: {
    teacher: /^(model\.)?teacher\.(module\.)?backbone\.$/,
    student: /^(model\.)?student\.(module\.)?backbone\.$/,
    weights: /^(module\.)?(backbone\.)?$/,
  },
  recognises: ({ prefixes, has, some }) =>
    prefixes.some((prefix) =>
      ["mask_token", "register_tokens"].some(
        (token) => has(prefix + token) && some(/(^|\.)blocks\.(\d+\.)?0\.ls1\.gamma$/),
      ),
    ),
  heads: usualHeads,
  epsilon: 1e-6,
  interpolation: (registers) =>
    registers > 0 ? positionInterpolations.dinov2Registers : positionInterpolations.dino,
  initialization: "dinov2",
  feature: "cls",
  rename: (name) => name.replace(/^blocks\.\d+\.(?=\d+\.)/, "blocks."),
};
