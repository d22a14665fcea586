/** @file Effective rank and principal components against NumPy's SVD; the pictures made of them. */
import { expect, test } from "vitest";
import { effectiveRank, matrix, patchPictures, principalComponents } from "#src/evaluation/index.js";
import { expected, matrixOf } from "./helpers.js";

test.each(expected.health)(
  "effective rank of a $rows x $columns matrix",
  ({ columns, values, effectiveRank: rank }) => {
    expect(effectiveRank(matrixOf(values, columns))).toBeCloseTo(rank, 6);
  },
);

test("rows that are multiples of one have rank 1, an identity its full rank", () => {
  expect(effectiveRank(matrixOf([1, 2, 2, 4, -3, -6], 2))).toBeCloseTo(1, 6);
  const identity = Array.from({ length: 25 }, (_, i) => (i % 6 === 0 ? 1 : 0));
  expect(effectiveRank(matrixOf(identity, 5))).toBeCloseTo(5, 10);
  expect(() => effectiveRank(matrix(2, 2, new Float32Array(4)))).toThrow("all zero or not finite");
});

test.each(expected.health)(
  "principal components of a $rows x $columns matrix",
  ({ columns, values, components }) => {
    const found = principalComponents(matrixOf(values, columns), 3);
    components.forEach((component, axis) => {
      component.forEach((value, row) => {
        expect(found[axis]?.[row]).toBeCloseTo(value, 3);
      });
    });
  },
);

test("patches become squares, coloured by one basis and range for all images", () => {
  // Two images of 1 x 2 patches whose features lie on one line: red follows the line, the rest has no variance.
  const [first, second] = patchPictures(matrixOf([0, 0, 1, 1, 2, 2, 3, 3], 2), { grid: [1, 2], zoom: 2 });
  const red = (picture: typeof first) => [0, 1, 2, 3, 4, 5, 6, 7].map((i) => picture?.data[3 * i]);
  expect(first).toMatchObject({ width: 4, height: 2, channels: 3 });
  expect(red(first)).toEqual([0, 0, 85, 85, 0, 0, 85, 85]);
  expect(red(second)).toEqual([170, 170, 255, 255, 170, 170, 255, 255]);
  expect(() => patchPictures(matrixOf([1, 2, 3], 1), { grid: [2, 2], zoom: 1 })).toThrow(
    "no images of 2x2 patches",
  );
});
