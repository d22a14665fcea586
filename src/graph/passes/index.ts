/** @file The passes that a graph goes through before it is lowered, each `Graph -> Graph`. */

import type { Graph } from "../graph.js";
import { eliminateCommonSubexpressions } from "./common-subexpressions.js";
import { foldConstants } from "./fold-constants.js";
import { toHalfPrecision } from "./half-precision.js";
import { simplify } from "./simplify.js";

export type Pass = (graph: Graph) => Graph;

/**
 * In the order in which they run. Dead code needs no pass: a graph holds only what its outputs reach. `foldConstants` and
 * `toHalfPrecision` are for exported models alone.
 */
export const passes = { simplify, eliminateCommonSubexpressions } as const satisfies Record<string, Pass>;

export type PassName = keyof typeof passes;

/** Runs all passes, or those named. */
export function runPasses(
  graph: Graph,
  names: readonly PassName[] = Object.keys(passes) as PassName[],
): Graph {
  return names.reduce((current, name) => passes[name](current), graph);
}

export { eliminateCommonSubexpressions, foldConstants, simplify, toHalfPrecision };
