/** @file Losses that more than one method uses. */

export * from "./koleo.js";
export * from "./prototype-distributions.js";
