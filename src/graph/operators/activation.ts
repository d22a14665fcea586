/** @file Fused functions of networks that the runtime has single kernels for: softmax, layer norm, GELU. */

import { GraphError } from "../errors.js";
import { type Emitter, onnxTypeCode } from "../onnx/emitter.js";
import { normalizeAxis } from "../shape.js";
import {
  apply,
  applyOne,
  at,
  type Operator,
  requireFloat,
  requireSameDType,
  type Tensor,
} from "../tensor.js";
import { add, div, erf, exp, mul, square, sub } from "./elementwise.js";
import { broadcastTo, mean, sum } from "./reduce.js";
import { constant } from "./source.js";

interface AxisAttributes {
  readonly axis: number;
}

function alongAxis(
  name: string,
  type: string,
  vjp: Operator<AxisAttributes>["vjp"],
  lower: Operator<AxisAttributes>["lower"] = (emit, inputs, { attributes }) =>
    emit.node(type, inputs, { axis: { int: attributes.axis } }),
) {
  const operator: Operator<AxisAttributes> = {
    name,
    infer: (inputs) => {
      const x = at(inputs, 0);
      requireFloat(name, x);
      return x;
    },
    lower,
    vjp,
  };
  return (x: Tensor, axis = -1): Tensor =>
    applyOne(operator, [x], { axis: normalizeAxis(name, axis, x.rank) });
}

/** exp(x) normalised to sum 1 along `axis`. */
export const softmax = alongAxis("softmax", "Softmax", ({ outputs, attributes: { axis } }, [g]) => {
  if (!g) return [];
  const y = at(outputs, 0);
  return [mul(y, sub(g, sum(mul(g, y), [axis], { keepDims: true })))];
});

/** The logarithm of softmax along `axis`. */
export const logSoftmax = alongAxis(
  "logSoftmax",
  "LogSoftmax",
  ({ outputs, attributes: { axis } }, [g]) => {
    if (!g) return [];
    return [sub(g, mul(exp(at(outputs, 0)), sum(g, [axis], { keepDims: true })))];
  },
  (emit, [x], { attributes: { axis } }) => {
    if (emit.target.provider !== "webgpu")
      return emit.node("LogSoftmax", [x as string], { axis: { int: axis } });
    // WebGPU has no kernel for LogSoftmax: x - m - log(sum(exp(x - m))) with m the maximum.
    const axes = emit.ints([axis]);
    const shifted = emit.node("Sub", [x as string, emit.node("ReduceMax", [x as string, axes])]);
    const total = emit.node("ReduceSum", [emit.node("Exp", [shifted]), axes]);
    return emit.node("Sub", [shifted, emit.node("Log", [total])]);
  },
);

const geluOperator: Operator<Readonly<Record<never, never>>> = {
  name: "gelu",
  infer: (inputs) => {
    const x = at(inputs, 0);
    requireFloat("gelu", x);
    return x;
  },
  lower: (emit, inputs) => emit.node("Gelu", inputs, { approximate: { string: "none" } }),
  vjp: ({ inputs }, [g]) => (g ? [geluAgain(at(inputs, 0)).pullBack(g)] : []),
};

/**
 * GELU from element-wise operators, for backward passes: its value and the product of a cotangent with its derivative
 * share the error function.
 */
export function geluAgain(x: Tensor): { readonly value: Tensor; pullBack(g: Tensor): Tensor } {
  // With s = x / sqrt(2): Phi(x) = (1 + erf(s)) / 2, and Phi(x) + x phi(x) = Phi(x) + x / exp(s^2) / sqrt(2 pi).
  const s = mul(x, Math.SQRT1_2);
  const twicePhi = add(erf(s), 1);
  return {
    value: mul(mul(x, twicePhi), 0.5),
    pullBack: (g) => {
      const slope = mul(div(x, exp(square(s))), 2 / Math.sqrt(2 * Math.PI));
      return mul(mul(g, 0.5), add(twicePhi, slope));
    },
  };
}

/** x * Phi(x), exact (erf), Hendrycks & Gimpel 2016. */
export function gelu(x: Tensor): Tensor {
  return applyOne(geluOperator, [x], {});
}

const layerNormOperator: Operator<{ readonly epsilon: number }> = {
  name: "layerNorm",
  infer: (inputs) => {
    const [x, weight, bias] = [at(inputs, 0), at(inputs, 1), at(inputs, 2)];
    requireFloat("layerNorm", x);
    requireSameDType("layerNorm", x, weight, bias);
    const dim = x.shape[x.rank - 1];
    if (weight.rank !== 1 || bias.rank !== 1 || weight.shape[0] !== dim || bias.shape[0] !== dim) {
      throw new GraphError(
        `layerNorm: weight ${weight} and bias ${bias} do not fit the last dimension of ${x}`,
      );
    }
    const rows = { dtype: x.dtype, shape: [...x.shape.slice(0, -1), 1] };
    return [x, rows, rows];
  },
  lower: (emit, names, { inputs, attributes: { epsilon } }) => {
    const { dtype } = at(inputs, 0);
    if (dtype === "float64") return lowerLayerNorm(emit, names, epsilon);
    const attributes = { axis: { int: -1 }, epsilon: { float: epsilon } };
    const [y, ...statistics] = emit.nodes("LayerNormalization", names, attributes, { outputs: 3 });
    if (dtype === "float32") return [y as string, ...statistics];
    // The kernel's statistics are float32 whatever the operands are.
    return [
      y as string,
      ...statistics.map((name) => emit.node("Cast", [name], { to: { int: onnxTypeCode[dtype] } })),
    ];
  },
  vjp: ({ inputs, outputs }, [g, gAverage, gInverseStd]) => {
    const [x, weight] = [at(inputs, 0), at(inputs, 1)];
    const [average, inverseStd] = [at(outputs, 1), at(outputs, 2)];
    const normal = mul(sub(x, average), inverseStd);
    const across = { keepDims: true };
    const parts: Tensor[] = [];
    if (g) {
      const gNormal = mul(g, weight);
      const centred = sub(gNormal, mean(gNormal, [-1], across));
      parts.push(mul(inverseStd, sub(centred, mul(normal, mean(mul(gNormal, normal), [-1], across)))));
    }
    // The statistics have cotangents in second derivatives only: this rule reads them.
    const share = 1 / at(x.shape, x.rank - 1);
    if (gAverage) parts.push(mul(broadcastTo(gAverage, x.shape), share));
    if (gInverseStd) parts.push(mul(mul(gInverseStd, square(inverseStd)), mul(normal, -share)));
    // The walk sums the last two to the weight's shape.
    return [parts.reduce((total, part) => add(total, part)), g && mul(g, normal), g];
  },
};

/** Step by step, for float64: the kernel's statistics are float32. */
function lowerLayerNorm(
  emit: Emitter,
  [x, weight, bias]: readonly string[],
  epsilon: number,
): readonly string[] {
  const last = emit.ints([-1]);
  const meanOf = (name: string): string => emit.node("ReduceMean", [name, last], { keepdims: { int: 1 } });
  const average = meanOf(x as string);
  const centred = emit.node("Sub", [x as string, average]);
  const spread = emit.node("Add", [
    meanOf(emit.node("Mul", [centred, centred])),
    emit.scalar("float64", epsilon),
  ]);
  const inverseStd = emit.node("Reciprocal", [emit.node("Sqrt", [spread])]);
  const scaled = emit.node("Mul", [emit.node("Mul", [centred, inverseStd]), weight as string]);
  return [emit.node("Add", [scaled, bias as string]), average, inverseStd];
}

/**
 * Layer normalisation over the last dimension: (x - mean) / sqrt(var + epsilon) * weight + bias, biased variance.
 * @param x `[…, D]` @param weight `[D]` @param bias `[D]`
 */
export function layerNorm(x: Tensor, weight: Tensor, bias: Tensor, epsilon: number): Tensor {
  return at(apply(layerNormOperator, [x, weight, bias], { epsilon }), 0);
}

/**
 * Layer normalisation without scale and shift.
 * @param x `[…, D]` @returns the normalised rows, and the inverse standard deviations `[…, 1]`
 */
export function standardize(x: Tensor, epsilon: number): { normal: Tensor; inverseStd: Tensor } {
  const dim = at(x.shape, x.rank - 1);
  const [weight, bias] = [1, 0].map((value) => constant(new Float32Array(dim).fill(value), [dim], x.dtype));
  const [normal, , inverseStd] = apply(layerNormOperator, [x, weight as Tensor, bias as Tensor], { epsilon });
  return { normal: normal as Tensor, inverseStd: inverseStd as Tensor };
}
