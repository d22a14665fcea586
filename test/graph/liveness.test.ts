/** @file Peak memory of graphs small enough to be added up by hand. */

import { expect, test } from "vitest";
import {
  add,
  concat,
  constant,
  input,
  makeGraph,
  matmul,
  mul,
  peakActivationBytes,
  reshape,
  sum,
  topK,
} from "#src/graph/index.js";

const KIB = 1024;
/** 4 KiB. */
const square = (name: string) => input(name, [32, 32]);

test("inputs, outputs and constants have memory of their own", () => {
  const x = square("x");
  expect(peakActivationBytes(makeGraph({ same: x }))).toBe(0);
  expect(peakActivationBytes(makeGraph({ y: mul(x, constant(new Float32Array(1024), [32, 32])) }))).toBe(0);
});

test("a chain holds two values at a time: operand and result of a product", () => {
  let y = square("x");
  for (let i = 0; i < 10; i++) y = matmul(y, y);
  expect(peakActivationBytes(makeGraph({ y }))).toBe(8 * KIB);
});

test("element-wise operators write over an operand that nothing else reads", () => {
  let y = matmul(square("x"), square("x2"));
  for (let i = 0; i < 10; i++) y = add(y, 1);
  expect(peakActivationBytes(makeGraph({ total: sum(y) }))).toBe(4 * KIB);
  // Read again later, the operand stays.
  const a = matmul(square("a"), square("b"));
  expect(peakActivationBytes(makeGraph({ total: sum(matmul(a, add(a, 1))) }))).toBe(12 * KIB);
});

test("what is read late is alive until then", () => {
  const x = square("x");
  const kept = Array.from({ length: 5 }, (_, i) => matmul(x, square(`w${i}`)));
  expect(peakActivationBytes(makeGraph({ total: sum(concat(kept, 0)) }))).toBe((5 + 5) * 4 * KIB);
});

test("a reshape is its operand's memory", () => {
  const flat = reshape(matmul(square("x"), square("y")), [1024]);
  expect(peakActivationBytes(makeGraph({ total: sum(flat) }))).toBe(4 * KIB);
});

test("an output that nothing reads is there while its node runs, and element types count", () => {
  const { values } = topK(input("x", [32, 8]), 4);
  // 128 values of 4 bytes and 128 positions of 8; the positions are gone when the sum runs.
  expect(peakActivationBytes(makeGraph({ total: sum(values) }))).toBe(128 * (4 + 8));
});
