/** @file Counted operations against the closed formulas of a vision transformer and of convolutions; counted bytes. */

import { describe, expect, it } from "vitest";
import {
  add,
  conv2d,
  convTranspose2d,
  countFlops,
  countMovedBytes,
  grad,
  input,
  makeGraph,
  matmul,
  mean,
  reshape,
  slice,
  square,
  sum,
  type Tensor,
  type TensorType,
} from "#src/graph/index.js";
import {
  visionTransformer,
  visionTransformerConfig,
  visionTransformerParameters,
} from "#src/models/index.js";
import { flattenTree, treeLike } from "#src/nn/index.js";

describe("countFlops", () => {
  it("counts a product as a multiplication and an addition per term", () => {
    const product = (a: readonly number[], b: readonly number[], options = {}) =>
      countFlops(makeGraph({ y: matmul(input("a", a), input("b", b), options) }));
    expect(product([5, 7], [7, 3])).toBe(2 * 5 * 7 * 3);
    expect(product([4, 1, 5, 7], [2, 7, 3])).toBe(2 * 4 * 2 * 5 * 7 * 3);
    expect(product([7, 5], [7, 3], { transposeA: true })).toBe(2 * 5 * 7 * 3);
    expect(product([5, 7], [3, 7], { transposeB: true })).toBe(2 * 5 * 7 * 3);
  });

  it("counts convolutions by their windows and groups", () => {
    const x = input("x", [2, 6, 9, 9]);
    const conv = conv2d(x, input("w", [4, 3, 3, 3]), { stride: 2, padding: 1, groups: 2 });
    expect(conv.shape).toEqual([2, 4, 5, 5]);
    expect(countFlops(makeGraph({ conv }))).toBe(2 * (2 * 4 * 5 * 5) * (3 * 3 * 3));
    // Transposed: each of the 2 * 6 * 9 * 9 inputs is spread over 4 channels of 4 x 4 pixels.
    const transposed = convTranspose2d(x, input("v", [6, 4, 4, 4]), { stride: 2, padding: 1 });
    expect(countFlops(makeGraph({ transposed }))).toBe(2 * (2 * 6 * 9 * 9) * (4 * 4 * 4));
  });

  it("gives a vision transformer's 24 T D^2 + 4 T^2 D a block, and three times it with the gradients", () => {
    const [batch, size, patch, dim, depth] = [3, 16, 4, 24, 2];
    const config = visionTransformerConfig({
      imageSize: size,
      patchSize: patch,
      embedDim: dim,
      depth,
      numHeads: 3,
    });
    const specs = visionTransformerParameters(config);
    const weights = Object.fromEntries(
      Object.entries(flattenTree(specs) as Record<string, TensorType>).map(([name, { shape }]) => [
        name,
        input(name, shape),
      ]),
    );
    const images = input("images", [batch, 3, size, size]);
    const { all } = visionTransformer(treeLike(specs, weights), config, images);
    const patches = (size / patch) ** 2;
    const tokens = patches + 1;
    const embedding = 2 * batch * patches * (3 * patch * patch) * dim;
    // The layer norms' shifts pass through the weights of qkv and fc1, once a step.
    const shifts = depth * 2 * (3 + 4) * dim * dim;
    const blocks = batch * depth * (24 * tokens * dim * dim + 4 * tokens * tokens * dim) + shifts;
    expect(countFlops(makeGraph({ all }))).toBe(embedding + blocks);

    const loss = mean(square(all));
    const gradients = grad(loss, Object.values(weights));
    const outputs = Object.fromEntries(gradients.map((gradient: Tensor, i) => [`grad${i}`, gradient]));
    // Each product has two gradients, the patch embedding one: the images have none.
    expect(countFlops(makeGraph({ loss, ...outputs }))).toBe(2 * embedding + 3 * blocks);
  });

  it("counts nothing element-wise", () => {
    expect(countFlops(makeGraph({ y: sum(square(input("x", [100]))) }))).toBe(0);
  });
});

describe("countMovedBytes", () => {
  it("counts what is read and written, nothing of products and of new shapes, of a slice only its part", () => {
    const x = input("x", [10, 100]);
    const bytes = (y: Tensor) => countMovedBytes(makeGraph({ y }));
    expect(bytes(add(x, input("b", [100])))).toBe(4 * (1000 + 100 + 1000));
    expect(bytes(sum(x, [1]))).toBe(4 * (1000 + 10));
    expect(bytes(matmul(x, input("w", [100, 7])))).toBe(0);
    expect(bytes(reshape(x, [1000]))).toBe(0);
    expect(bytes(slice(x, 0, 2, 5))).toBe(4 * (300 + 300));
    expect(bytes(square(add(x, x)))).toBe(bytes(add(x, x)) + bytes(square(x)));
  });
});
