/** @file The images whose features are nearest to others, by cosine similarity. */

import { EvaluationError } from "./evaluation-error.js";
import { Nearest, unitRows } from "./knn.js";
import { type Matrix, rowOf } from "./matrix.js";

export interface Neighbor {
  /** Row of the bank. */
  readonly index: number;
  /** Cosine of the angle between the features, at most 1. */
  readonly similarity: number;
}

/**
 * For each query the `k` most similar rows of the bank (all, where it has fewer), most similar first; of equally
 * similar ones the first.
 * @throws EvaluationError when queries and bank have different features, or features are not finite.
 */
export function nearestNeighbors(bank: Matrix, queries: Matrix, k: number): Neighbor[][] {
  if (bank.columns !== queries.columns) {
    throw new EvaluationError(
      `the images to search have ${bank.columns} features, the queries ${queries.columns}: ` +
        "use the encoder and the --features that the images were embedded with",
    );
  }
  const [unitBank, unitQueries] = [unitRows(bank), unitRows(queries)];
  return Array.from({ length: queries.rows }, (_, query) => {
    const wanted = rowOf(unitQueries, query);
    const nearest = new Nearest(Math.min(k, bank.rows));
    for (let i = 0; i < bank.rows; i++) {
      const start = i * bank.columns;
      let similarity = 0;
      for (let j = 0; j < bank.columns; j++) {
        similarity += (wanted[j] as number) * (unitBank.data[start + j] as number);
      }
      nearest.offer(similarity, i);
    }
    return Array.from(nearest.indices, (index, i) => ({
      index,
      similarity: nearest.similarities[i] as number,
    }));
  });
}
