/** @file Vision transformers of timm (huggingface/pytorch-image-models, timm/models/vision_transformer.py). */

import { positionInterpolations } from "../../nn/index.js";
import { type Family, usualHeads } from "./family.js";
import { timmLayout } from "./layouts.js";

export const timm: Family = {
  name: "timm",
  title: "timm",
  layout: timmLayout,
  parts: { weights: /^(state_dict\.)?(module\.|model\.)?$/, ema: /^state_dict_ema\.(module\.|model\.)?$/ },
  recognises: ({ prefixes, has, config, isSafetensors }) =>
    prefixes.some(
      (prefix) =>
        config?.architecture !== undefined ||
        isSafetensors ||
        /^state_dict/.test(prefix) ||
        has(`${prefix}reg_token`) ||
        has(`${prefix}head.weight`),
    ),
  heads: usualHeads,
  epsilon: 1e-6,
  interpolation: () => positionInterpolations.timm,
  initialization: "dino",
  feature: "cls",
};
