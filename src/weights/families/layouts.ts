/** @file The two ways in which vision transformers name their tensors. */

import {
  dinov2Names,
  dinov2SwigluNames,
  huggingFace5Dinov2Names,
  huggingFace5Dinov2SwigluNames,
  huggingFace5VitNames,
  huggingFaceDinov2Names,
  huggingFaceDinov2SwigluNames,
  huggingFaceVitNames,
  ibotNames,
  timmNames,
} from "../name-maps.js";
import type { Layout } from "./family.js";

/** timm and the official code. Masks' tokens are of the families that have them: MAE's is its decoder's. */
export const timmLayout: Layout = { anchor: "patch_embed.proj.weight", names: [timmNames] };
export const ibotLayout: Layout = { ...timmLayout, names: [timmNames, ibotNames] };
export const dinov2Layout: Layout = { ...timmLayout, names: [dinov2Names, dinov2SwigluNames] };

const anchor = "embeddings.patch_embeddings.projection.weight";

/** ViT has a mask token only for masked image modelling; its features do not use it. */
function withoutMask({ mask_token: _, ...names }: (typeof timmLayout.names)[number]) {
  return names;
}

/** transformers, before and since version 5. */
export const huggingFaceVitLayout: Layout = {
  anchor,
  names: [huggingFaceVitNames, huggingFace5VitNames].map(withoutMask),
};
export const huggingFaceDinov2Layout: Layout = {
  anchor,
  names: [
    huggingFaceDinov2Names,
    huggingFaceDinov2SwigluNames,
    huggingFace5Dinov2Names,
    huggingFace5Dinov2SwigluNames,
  ],
};
