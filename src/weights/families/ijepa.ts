/** @file I-JEPA (facebookresearch/ijepa, src/models/vision_transformer.py): no class token. */

import { positionInterpolations } from "../../nn/index.js";
import { type Family, usualHeads } from "./family.js";
import { timmLayout } from "./layouts.js";

export const ijepa: Family = {
  name: "ijepa",
  title: "I-JEPA",
  layout: timmLayout,
  parts: {
    // The one that transformers and timm publish.
    encoder: /^encoder\.(module\.)?$/,
    target_encoder: /^target_encoder\.(module\.)?$/,
    weights: /^(module\.)?$/,
  },
  recognises: ({ prefixes, has, isSafetensors }) =>
    prefixes.some(
      (prefix) =>
        !has(`${prefix}cls_token`) &&
        (/^(target_)?encoder\./.test(prefix) || (!isSafetensors && /^(module\.)?$/.test(prefix))),
    ),
  heads: usualHeads,
  epsilon: 1e-6,
  // Its own function leaves positions as they are without a class token; transformers' way is the one in use.
  interpolation: () => positionInterpolations.transformers,
  initialization: "mae",
  feature: "mean",
};
