/**
 * @file Products with constant matrices in 8-bit integers, in ONNX's own operators: what ONNX Runtime's
 * `quantize_dynamic` makes of a MatMul with `per_channel` weights. The matrix is stored as int8, symmetric, with one
 * scale a column; the other operand becomes uint8 when it is known, with one scale and zero point for all of it.
 */

import type { Shape } from "../shape.js";
import { at } from "../tensor.js";
import { type Emitter, onnxTypeCode } from "./emitter.js";

/** Largest level of a symmetric int8. */
const LEVELS = 127;

interface Quantized {
  /** `[inner, columns]` */
  readonly levels: Int8Array;
  /** By column: level times scale is the number. */
  readonly scales: Float32Array;
}

function quantize(data: Float32Array, inner: number, columns: number, isTransposed: boolean): Quantized {
  const [along, across] = isTransposed ? [1, inner] : [columns, 1];
  const levels = new Int8Array(data.length);
  const scales = new Float32Array(columns);
  for (let column = 0; column < columns; column++) {
    let largest = 0;
    for (let k = 0; k < inner; k++) {
      largest = Math.max(largest, Math.abs(data[k * along + column * across] as number));
    }
    const scale = largest === 0 ? 1 : largest / LEVELS;
    scales[column] = scale;
    for (let k = 0; k < inner; k++) {
      levels[k * columns + column] = Math.round((data[k * along + column * across] as number) / scale);
    }
  }
  return { levels, scales };
}

/**
 * `x` times a constant matrix.
 * @param x `[…, inner]` @param shape Of the matrix as it is stored: `[inner, columns]`, or `[columns, inner]` transposed.
 * @param scale A factor on the product.
 */
export function quantizedProduct(
  emit: Emitter,
  x: string,
  data: Float32Array,
  shape: Shape,
  isTransposed: boolean,
  scale: number,
): string {
  const [rows, columnsStored] = [at(shape, 0), at(shape, 1)];
  const [inner, columns] = isTransposed ? [columnsStored, rows] : [rows, columnsStored];
  const { levels, scales } = quantize(data, inner, columns, isTransposed);
  const [bytes, step, zero] = emit.nodes("DynamicQuantizeLinear", [x], {}, { outputs: 3 });
  const product = emit.node("MatMulInteger", [
    bytes as string,
    emit.constant("int8", [inner, columns], levels),
    zero as string,
  ]);
  const columnScales = emit.constant(
    "float32",
    [columns],
    scales.map((value) => value * scale),
  );
  return emit.node("Mul", [
    emit.node("Cast", [product], { to: { int: onnxTypeCode.float32 } }),
    emit.node("Mul", [step as string, columnScales]),
  ]);
}
