/** Stored expectations, and a small encoder. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Matrix, matrix } from "#src/evaluation/index.js";
import { visionTransformerConfig } from "#src/models/index.js";

interface StoredWeights {
  readonly [name: string]: { readonly shape: number[]; readonly data: number[] };
}

interface Expected {
  r2: { columns: number; truth: number[]; predicted: number[]; pooled: number; perColumn: number[] };
  knn: {
    classes: number;
    dim: number;
    bank: number[];
    bankLabels: number[];
    queries: number[];
    queryLabels: number[];
    predicted: Record<string, number[]>;
  };
  health: {
    rows: number;
    columns: number;
    values: number[];
    effectiveRank: number;
    components: number[][];
  }[];
  probe: {
    inputs: number;
    hidden: number;
    outputs: number;
    features: number[];
    targets: number[];
    batches: number[][];
    before: StoredWeights;
    after: StoredWeights;
    losses: number[];
    predicted: number[];
  };
}

const file = join(import.meta.dirname, "../fixtures/evaluation/evaluation.json");
export const expected = JSON.parse(readFileSync(file, "utf8")) as Expected;

export function matrixOf(values: readonly number[], columns: number): Matrix {
  return matrix(values.length / columns, columns, Float32Array.from(values));
}

export const tinyConfig = visionTransformerConfig({
  imageSize: 16,
  patchSize: 8,
  embedDim: 16,
  depth: 1,
  numHeads: 2,
});
