/** @file Losses that more than one method uses. */

export * from "./contrastive.js";
export * from "./koleo.js";
export * from "./prototype-distributions.js";
export * from "./vicreg.js";
