/** @file Matrix products. */

import { GraphError } from "../errors.js";
import { quantizedProduct } from "../onnx/quantized-product.js";
import { broadcastShapes } from "../shape.js";
import { applyOne, at, type Operator, requireFloat, type Tensor } from "../tensor.js";
import { constantOf } from "./source.js";

export interface MatmulOptions {
  /** Use the transpose of `a`'s (`b`'s) last two dimensions. */
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  /** A factor on the product, free where the device fuses it. */
  readonly scale?: number;
}

export type MatmulAttributes = Required<MatmulOptions>;

function matrixOf({ shape }: Tensor, isTransposed: boolean): [rows: number, columns: number] {
  const [rows, columns] = [at(shape, shape.length - 2), at(shape, shape.length - 1)];
  return isTransposed ? [columns, rows] : [rows, columns];
}

const matmulOperator: Operator<MatmulAttributes> = {
  name: "matmul",
  infer: (inputs, { transposeA, transposeB }) => {
    const [a, b] = [at(inputs, 0), at(inputs, 1)];
    requireFloat("matmul", a, b);
    if (a.rank < 2 || b.rank < 2) {
      throw new GraphError(`matmul: expected operands of rank 2 or more, got ${a} and ${b}; reshape them`);
    }
    const [rows, inner] = matrixOf(a, transposeA);
    const [other, columns] = matrixOf(b, transposeB);
    if (inner !== other) {
      const marks = `${transposeA ? " (transposed)" : ""} and ${b}${transposeB ? " (transposed)" : ""}`;
      throw new GraphError(
        `matmul: inner dimensions ${inner} and ${other} differ for ${a}${marks}; transpose or reshape one`,
      );
    }
    const batch = broadcastShapes("matmul", a.shape.slice(0, -2), b.shape.slice(0, -2));
    return { dtype: a.dtype, shape: [...batch, rows, columns] };
  },
  lower: (emit, [a, b], { inputs, attributes: { transposeA, transposeB, scale } }) => {
    const { dtype } = at(inputs, 0);
    const matrix = emit.target.quantized ? constantOf(at(inputs, 1)) : undefined;
    if (matrix?.data instanceof Float32Array && matrix.shape.length === 2 && !transposeA) {
      return quantizedProduct(emit, a as string, matrix.data, matrix.shape, transposeB, scale);
    }
    const isPlain = !transposeA && !transposeB && scale === 1;
    if (isPlain) return emit.node("MatMul", [a as string, b as string]);
    if (emit.target.contrib) {
      return emit.node(
        "FusedMatMul",
        [a as string, b as string],
        { transA: { int: transposeA ? 1 : 0 }, transB: { int: transposeB ? 1 : 0 }, alpha: { float: scale } },
        { domain: "com.microsoft" },
      );
    }
    const turn = (name: string, tensor: Tensor, isTransposed: boolean): string => {
      if (!isTransposed) return name;
      const perm = tensor.shape.map((_, i) => i);
      perm.push(...perm.splice(-2).reverse());
      return emit.node("Transpose", [name], { perm: { ints: perm } });
    };
    const product = emit.node("MatMul", [
      turn(a as string, at(inputs, 0), transposeA),
      turn(b as string, at(inputs, 1), transposeB),
    ]);
    return scale === 1 ? product : emit.node("Mul", [product, emit.scalar(dtype, scale)]);
  },
  vjp: ({ inputs, attributes: { transposeA, transposeB, scale } }, [g]) => {
    if (!g) return [];
    const [a, b] = [at(inputs, 0), at(inputs, 1)];
    // C = op(A) op(B): d op(A) = G op(B)^T, d op(B) = op(A)^T G, each transposed back where op transposes.
    const ga = transposeA
      ? matmul(b, g, { transposeA: transposeB, transposeB: true, scale })
      : matmul(g, b, { transposeB: !transposeB, scale });
    const gb = transposeB
      ? matmul(g, a, { transposeA: true, transposeB: transposeA, scale })
      : matmul(a, g, { transposeA: !transposeA, scale });
    return [ga, gb];
  },
};

/** Product of the last two dimensions, `[…, n, k] x […, k, m] -> […, n, m]`; leading dimensions broadcast. */
export function matmul(a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor {
  const { transposeA = false, transposeB = false, scale = 1 } = options;
  return applyOne(matmulOperator, [a, b], { transposeA, transposeB, scale });
}
