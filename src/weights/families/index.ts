/** @file All families. */

import { dino } from "./dino.js";
import { dinov2 } from "./dinov2.js";
import type { Family } from "./family.js";
import {
  huggingFaceDinov2,
  huggingFaceDinov2Registers,
  huggingFaceIJepa,
  huggingFaceVit,
  huggingFaceVitMae,
} from "./hugging-face.js";
import { ibot } from "./ibot.js";
import { ijepa } from "./ijepa.js";
import { mae } from "./mae.js";
import { mocov3 } from "./mocov3.js";
import { timm } from "./timm.js";

export { type Family, type FamilyName, type Found, familyNames, type SourceConfig } from "./family.js";

/** In the order in which a file is shown to them: what names tell for certain first, the flat layouts last. */
export const families: readonly Family[] = [
  huggingFaceDinov2Registers,
  huggingFaceDinov2,
  huggingFaceVitMae,
  huggingFaceIJepa,
  huggingFaceVit,
  mocov3,
  dinov2,
  ibot,
  ijepa,
  mae,
  timm,
  dino,
];
