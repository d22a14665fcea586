/** @file Which patches are hidden: masks drawn on the host, one number a patch. */

export * from "./block-mask.js";
export * from "./dinov2-masks.js";
export * from "./ibot-mask.js";
export * from "./multi-block-masks.js";
export * from "./packed-masks.js";
export * from "./random-mask.js";
