/** @file Features on a plane, to be looked at: principal components, or UMAP (McInnes et al. 2018). */

import { UMAP } from "umap-js";
import { randomStream } from "../random.js";
import { EvaluationError } from "./evaluation-error.js";
import { principalComponents } from "./health.js";
import { type Matrix, rowOf } from "./matrix.js";

export type ProjectionMethod = "pca" | "umap";
export const PROJECTION_METHODS = ["pca", "umap"] as const satisfies readonly ProjectionMethod[];

export interface ProjectionOptions {
  readonly method: ProjectionMethod;
  /** Of UMAP's random numbers (default 0): the same seed gives the same picture. */
  readonly seed?: number;
  /** UMAP's neighbours (default 15). */
  readonly neighbors?: number;
}

/** Rows of features that a plane can be laid through. */
const LEAST_ROWS = 3;

/**
 * One point `[x, y]` a row.
 * @throws EvaluationError when there are fewer than three rows, or no more rows than UMAP's neighbours.
 */
export function projectFeatures(features: Matrix, options: ProjectionOptions): [x: number, y: number][] {
  const { method, seed = 0, neighbors = 15 } = options;
  if (features.rows < LEAST_ROWS) {
    throw new EvaluationError(`a map needs at least ${LEAST_ROWS} images, got ${features.rows}`);
  }
  if (method === "pca") {
    const [x = [], y = []] = principalComponents(features, 2);
    return Array.from({ length: features.rows }, (_, i) => [x[i] ?? 0, y[i] ?? 0]);
  }
  if (features.rows <= neighbors) {
    throw new EvaluationError(
      `UMAP with ${neighbors} neighbours needs more than ${neighbors} images, got ${features.rows}: ` +
        "ask for fewer neighbours, give more images, or use PCA",
    );
  }
  const random = randomStream(seed, "umap");
  const umap = new UMAP({ nNeighbors: neighbors, random: () => random.uniform() });
  const rows = Array.from({ length: features.rows }, (_, i) => Array.from(rowOf(features, i)));
  return umap.fit(rows).map(([x = 0, y = 0]) => [x, y]);
}
