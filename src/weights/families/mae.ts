/** @file MAE (facebookresearch/mae, models_mae.py, util/pos_embed.py): with its decoder, or the encoder alone. */

import { positionInterpolations } from "../../nn/index.js";
import { type Family, usualHeads } from "./family.js";
import { timmLayout } from "./layouts.js";

export const mae: Family = {
  name: "mae",
  title: "MAE",
  layout: timmLayout,
  parts: { model: /^(model\.)?(module\.)?$/ },
  recognises: ({ prefixes, has }) =>
    prefixes.some((prefix) => has(`${prefix}decoder_embed.weight`) || /^model\.(module\.)?$/.test(prefix)),
  heads: usualHeads,
  epsilon: 1e-6,
  // By size and without antialiasing, as transformers does it.
  interpolation: () => positionInterpolations.transformers,
  initialization: "mae",
  feature: "cls",
};
