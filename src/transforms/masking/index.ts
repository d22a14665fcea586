/** @file Which patches are hidden: masks drawn on the host, one number a patch. */

export * from "./multi-block-masks.js";
export * from "./random-mask.js";
