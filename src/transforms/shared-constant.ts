/** @file Bulky constants that several graph functions use: one tensor each, so that a graph holds them once. */

import type { Tensor } from "../graph/index.js";

const constants = new Map<string, Tensor>();

/** The constant under `key`, made at first use. */
export function sharedConstant(key: string, make: () => Tensor): Tensor {
  const known = constants.get(key);
  if (known) return known;
  const made = make();
  constants.set(key, made);
  return made;
}
