/** @file Messages of graphs that do not fit: what came, what was expected, what to do. */

import { describe, expect, it } from "vitest";
import * as g from "#src/graph/index.js";

const x = g.input("x", [2, 3]);
const y = g.input("y", [4, 5]);
const image = g.input("image", [2, 3, 8, 8]);
const int = g.input("int", [2], "int64");
const double = g.input("double", [2, 3], "float64");
const weight = g.input("weight", [5, 4, 3, 3]);

describe("messages", () => {
  const message = (run: () => unknown): string => {
    try {
      run();
    } catch (error) {
      expect(error).toBeInstanceOf(g.GraphError);
      return (error as Error).message;
    }
    return expect.fail("nothing was thrown");
  };

  it("of shapes that do not broadcast", () => {
    expect(message(() => g.add(x, y))).toMatchInlineSnapshot(
      `"add: shapes [2, 3] and [4, 5] do not broadcast (2 against 4); reshape one of them so that dimensions match or are 1"`,
    );
    expect(message(() => g.broadcastTo(x, [3, 2]))).toMatchInlineSnapshot(
      `"broadcastTo: shapes [2, 3] and [3, 2] do not broadcast (2 against 3); reshape one of them so that dimensions match or are 1"`,
    );
    expect(message(() => g.matmul(x, y))).toMatchInlineSnapshot(
      `"matmul: inner dimensions 3 and 4 differ for float32[2, 3] and float32[4, 5]; transpose or reshape one"`,
    );
    expect(message(() => g.matmul(x, int))).toMatchInlineSnapshot(
      `"matmul: expected floating point operands, got int64[2]; cast it first"`,
    );
    expect(message(() => g.matmul(x, g.input("v", [3])))).toMatchInlineSnapshot(
      `"matmul: expected operands of rank 2 or more, got float32[2, 3] and float32[3]; reshape them"`,
    );
  });

  it("of dtypes that do not fit", () => {
    expect(message(() => g.add(x, double))).toMatchInlineSnapshot(
      `"add: operands float32[2, 3] and float64[2, 3] differ in dtype; cast one of them"`,
    );
    expect(message(() => g.exp(int))).toMatchInlineSnapshot(
      `"exp: expected floating point operands, got int64[2]; cast it first"`,
    );
    expect(message(() => g.where(x, x, x))).toMatchInlineSnapshot(
      `"where: the condition must be bool, got float32[2, 3]; compare it with something"`,
    );
    expect(message(() => g.logicalNot(x))).toMatchInlineSnapshot(
      `"logicalNot: expected bool, got float32[2, 3]"`,
    );
    expect(message(() => g.gather(x, 0, x))).toMatchInlineSnapshot(
      `"gather: indices must be int64 or int32, got float32[2, 3]; cast them"`,
    );
    expect(message(() => g.oneHot(x, 3))).toMatchInlineSnapshot(
      `"oneHot: indices must be int64 or int32, got float32[2, 3]; cast them"`,
    );
    expect(message(() => g.add(1, 2))).toMatchInlineSnapshot(
      `"add: both operands are numbers (1 and 2); compute them before tracing"`,
    );
  });

  it("of axes, sizes and shapes", () => {
    expect(message(() => g.sum(x, [2]))).toMatchInlineSnapshot(`"sum: axis 2 is outside a tensor of rank 2"`);
    expect(message(() => g.sum(x, [0, -2]))).toMatchInlineSnapshot(
      `"sum: axes [0, -2] name a dimension twice"`,
    );
    expect(message(() => g.reshape(x, [4, 2]))).toMatchInlineSnapshot(
      `"reshape: float32[2, 3] has 6 elements, the shape [4, 2] asks for 8"`,
    );
    expect(message(() => g.reshape(x, [4, -1]))).toMatchInlineSnapshot(
      `"reshape: float32[2, 3] does not fit the shape [4, -1]"`,
    );
    expect(message(() => g.transpose(x, [0, 0]))).toMatchInlineSnapshot(
      `"transpose: [0, 0] does not order the dimensions of float32[2, 3]"`,
    );
    expect(message(() => g.squeeze(x, 0))).toMatchInlineSnapshot(
      `"squeeze: dimension 0 of float32[2, 3] is not 1"`,
    );
    expect(message(() => g.slice(x, 1, 2, 2))).toMatchInlineSnapshot(
      `"slice: 2:2:1 is empty or outside dimension 1 of float32[2, 3]"`,
    );
    expect(message(() => g.split(x, 1, [1, 1]))).toMatchInlineSnapshot(
      `"split: sizes 1 + 1 = 2 do not make up dimension 1 of float32[2, 3]"`,
    );
    expect(message(() => g.concat([x, y], 0))).toMatchInlineSnapshot(
      `"concat: float32[4, 5] does not join float32[2, 3] along axis 0; other dimensions must be equal"`,
    );
    expect(message(() => g.concat([], 0))).toMatchInlineSnapshot(`"concat: no tensors were given"`);
    expect(message(() => g.pad(x, { axis: 0, before: -1, after: 0 }))).toMatchInlineSnapshot(
      `"pad: -1 and 0 must not be negative (float32[2, 3])"`,
    );
    expect(message(() => g.pad(x, { axis: 1, before: 3, after: 0, mode: "reflect" }))).toMatchInlineSnapshot(
      `"pad: reflect can add at most 2 on a side of dimension 1 of float32[2, 3], not 3 and 0"`,
    );
    expect(message(() => g.variance(g.input("one", [3, 1]), [1]))).toMatchInlineSnapshot(
      `"variance: 1 values with correction 1 have no variance (float32[3, 1])"`,
    );
    expect(message(() => g.layerNorm(x, int, int, 1e-6))).toMatchInlineSnapshot(
      `"layerNorm: operands float32[2, 3] and int64[2] and int64[2] differ in dtype; cast one of them"`,
    );
    expect(message(() => g.input("bad", [1.5]))).toMatchInlineSnapshot(
      `"input "bad": shape [1.5] has a dimension that is no whole number"`,
    );
    expect(message(() => g.constant([1, 2], [3]))).toMatchInlineSnapshot(
      `"constant: 2 values do not fill the shape [3]"`,
    );
  });

  it("of images and windows", () => {
    expect(message(() => g.conv2d(x, weight))).toMatchInlineSnapshot(
      `"conv2d: expected a tensor of rank 4, got float32[2, 3]"`,
    );
    expect(message(() => g.conv2d(image, weight))).toMatchInlineSnapshot(
      `"conv2d: weight float32[5, 4, 3, 3] takes 4 channels, the image float32[2, 3, 8, 8] has 3; weight is [O, C / groups, kh, kw]"`,
    );
    expect(message(() => g.conv2d(image, g.input("w", [5, 1, 3, 3]), { groups: 3 }))).toMatchInlineSnapshot(
      `"conv2d: 5 channels of float32[5, 1, 3, 3] do not divide into 3 groups"`,
    );
    expect(message(() => g.conv2d(image, g.input("w", [5, 3, 9, 9])))).toMatchInlineSnapshot(
      `"conv2d: a window of 9 x 9 does not fit an image of 8 x 8 with padding 0 x 0; enlarge the image or the padding"`,
    );
    expect(message(() => g.conv2d(image, g.input("w", [5, 3, 3, 3]), { stride: 0 }))).toMatchInlineSnapshot(
      `"conv2d: stride [0, 0] must be whole numbers of at least 1"`,
    );
    expect(message(() => g.convTranspose2d(image, weight))).toMatchInlineSnapshot(
      `"convTranspose2d: weight float32[5, 4, 3, 3] takes 5 channels, the image float32[2, 3, 8, 8] has 3; weight is [C, O / groups, kh, kw]"`,
    );
    expect(
      message(() => g.convTranspose2d(image, g.input("w", [3, 4, 2, 2]), { stride: 2, outputPadding: 2 })),
    ).toMatchInlineSnapshot(
      `"convTranspose2d: outputPadding 2 x 2 must be whole and less than the stride 2 x 2"`,
    );
    expect(message(() => g.fold(g.input("c", [2, 10, 9]), { kernel: 2, size: 4 }))).toMatchInlineSnapshot(
      `"fold: float32[2, 10, 9] is not [B, C * 4, 9], the columns of 3 x 3 windows of 2 x 2 in an image of 4 x 4"`,
    );
    expect(message(() => g.resize(image, { mode: "bilinear" }))).toMatchInlineSnapshot(
      `"resize: give either size or scale"`,
    );
    expect(message(() => g.resize(image, { mode: "bilinear", scale: 0.01 }))).toMatchInlineSnapshot(
      `"resize: a side of float32[2, 3, 8, 8] would become 0 pixels; sizes are whole and at least 1"`,
    );
    expect(
      message(() => g.resize(image, { mode: "nearest", size: 4, antialias: true })),
    ).toMatchInlineSnapshot(
      `"resize: alignCorners and antialias are for bilinear and bicubic, not for nearest"`,
    );
    expect(message(() => g.gridSample(image, g.input("grid", [1, 4, 4, 2])))).toMatchInlineSnapshot(
      `"gridSample: the grid float32[1, 4, 4, 2] must be [2, height, width, 2]: one (x, y) per output pixel of float32[2, 3, 8, 8]"`,
    );
  });

  it("of indices", () => {
    expect(message(() => g.topK(x, 4))).toMatchInlineSnapshot(
      `"topK: k = 4 is not between 1 and the 3 elements of dimension 1 of float32[2, 3]"`,
    );
    expect(message(() => g.gatherElements(x, 1, int))).toMatchInlineSnapshot(
      `"gatherElements: the shape of indices [2] must be that of float32[2, 3] outside axis 1; broadcast them, or use gather to pick whole slices"`,
    );
    const places = g.input("places", [2, 2], "int64");
    expect(message(() => g.scatterAdd(x, 1, places, x))).toMatchInlineSnapshot(
      `"scatterElements: indices int64[2, 2] and updates float32[2, 3] differ in shape"`,
    );
  });

  it("of graphs", () => {
    const z = g.add(x, y.size > 0 ? g.input("hidden", [2, 3]) : x);
    expect(message(() => g.makeGraph({ z }, [x]))).toMatchInlineSnapshot(
      `"input "hidden" is used by the graph but not among its declared inputs"`,
    );
    expect(message(() => g.makeGraph({ x: z }))).toMatchInlineSnapshot(
      `"the name "x" stands for two values of the graph; rename one"`,
    );
    expect(message(() => g.inputName(z))).toMatchInlineSnapshot(
      `"float32[2, 3] is computed by add; an input was expected"`,
    );
  });
});
