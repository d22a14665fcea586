/** @file iBOT (bytedance/ibot, models/vision_transformer.py): teacher and student; only the student has a mask token. */

import { dino } from "./dino.js";
import type { Family } from "./family.js";
import { ibotLayout } from "./layouts.js";

export const ibot: Family = {
  ...dino,
  name: "ibot",
  title: "iBOT",
  layout: ibotLayout,
  parts: { ...dino.parts, weights: /^(state_dict\.)?(module\.)?(backbone\.)?$/ },
  recognises: ({ prefixes, some, has }) =>
    prefixes.some((prefix) => has(`${prefix}masked_embed`) || has(`${prefix}blocks.0.gamma_1`)) ||
    some(/^(teacher|student)\.(module\.)?head\.(mlp2|last_layer2)\./) ||
    some(/^ibot_loss\./),
};
