/** @file R² as scikit-learn's, pooled as SIE prints it. */
import { expect, test } from "vitest";
import { columnR2, meanAndStd, pooledR2 } from "#src/evaluation/index.js";
import { expected, matrixOf } from "./helpers.js";

const { r2 } = expected;
const truth = matrixOf(r2.truth, r2.columns);
const predicted = matrixOf(r2.predicted, r2.columns);

test("pooled R² equals scikit-learn's on the flattened arrays", () => {
  expect(pooledR2(truth, predicted)).toBeCloseTo(r2.pooled, 10);
});

test("R² by column equals scikit-learn's raw values", () => {
  columnR2(truth, predicted).forEach((value, column) => {
    expect(value).toBeCloseTo(r2.perColumn[column] as number, 6);
  });
});

test("the mean of all targets scores 0 pooled, the truth 1", () => {
  const mean = r2.truth.reduce((a, b) => a + b, 0) / r2.truth.length;
  expect(
    pooledR2(
      truth,
      matrixOf(
        r2.truth.map(() => mean),
        r2.columns,
      ),
    ),
  ).toBeCloseTo(0, 6);
  expect(pooledR2(truth, truth)).toBe(1);
});

test("shapes that differ and targets that do not vary are refused", () => {
  expect(() => pooledR2(truth, matrixOf(r2.predicted, 2))).toThrow(
    "the truth is [40, 4], the prediction [80, 2]",
  );
  expect(() => columnR2(matrixOf([1, 1], 1), matrixOf([1, 2], 1))).toThrow("needs targets that vary");
});

test("the spread of repeats is the sample standard deviation", () => {
  expect(meanAndStd([1, 2, 3, 4])).toEqual({ mean: 2.5, std: Math.sqrt(5 / 3) });
  expect(meanAndStd([0.7])).toEqual({ mean: 0.7, std: 0 });
});
