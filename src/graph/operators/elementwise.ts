/** @file Element-wise arithmetic and functions, with NumPy broadcasting of two operands. */

import { type DType, isFloat } from "../dtype.js";
import { GraphError } from "../errors.js";
import { onnxTypeCode } from "../onnx/emitter.js";
import { broadcastShapes } from "../shape.js";
import {
  applyOne,
  at,
  type NodeView,
  type NonDifferentiable,
  type Operator,
  requireFloat,
  requireSameDType,
  Tensor,
  type Vjp,
} from "../tensor.js";
import { type Operand, toTensor } from "./source.js";

type None = Readonly<Record<never, never>>;
const none: None = {};

/** A rule for one cotangent and the node's operands. */
type SimpleVjp = (g: Tensor, node: NodeView<None>) => readonly (Tensor | undefined)[];

function rule(vjp: SimpleVjp | NonDifferentiable): Vjp<None> | NonDifferentiable {
  return typeof vjp === "string" ? vjp : (node, cotangents) => vjp(at(cotangents, 0) as Tensor, node);
}

type Lower = Operator<None>["lower"];

function unary(
  name: string,
  type: string,
  vjp: SimpleVjp | NonDifferentiable,
  lower: Lower = (emit, inputs) => emit.node(type, inputs),
): (x: Tensor) => Tensor {
  const operator: Operator<None> = {
    name,
    infer: ([x]) => {
      if (x) requireFloat(name, x);
      return x as Tensor;
    },
    lower,
    vjp: rule(vjp),
  };
  return (x) => applyOne(operator, [x], none);
}

function operands(name: string, a: Operand, b: Operand): [Tensor, Tensor] {
  if (a instanceof Tensor) return [a, toTensor(b, a.dtype)];
  if (b instanceof Tensor) return [toTensor(a, b.dtype), b];
  throw new GraphError(`${name}: both operands are numbers (${a} and ${b}); compute them before tracing`);
}

function binary(
  name: string,
  type: string,
  vjp: SimpleVjp | NonDifferentiable,
  result?: DType,
  lower: Lower = (emit, inputs) => emit.node(type, inputs),
): (a: Operand, b: Operand) => Tensor {
  const operator: Operator<None> = {
    name,
    infer: (inputs) => {
      const [a, b] = [at(inputs, 0), at(inputs, 1)];
      requireSameDType(name, a, b);
      return { dtype: result ?? a.dtype, shape: broadcastShapes(name, a.shape, b.shape) };
    },
    lower,
    vjp: rule(vjp),
  };
  return (a, b) => applyOne(operator, operands(name, a, b), none);
}

const x = (node: NodeView<None>): Tensor => at(node.inputs, 0);
const a = x;
const b = (node: NodeView<None>): Tensor => at(node.inputs, 1);
const y = (node: NodeView<None>): Tensor => at(node.outputs, 0);

export const add = binary("add", "Add", (g) => [g, g]);
export const sub = binary("sub", "Sub", (g) => [g, neg(g)]);
export const mul = binary("mul", "Mul", (g, n) => [mul(g, b(n)), mul(g, a(n))]);
/** Quotient; integer operands truncate towards zero. */
export const div = binary("div", "Div", (g, n) => {
  const ga = div(g, b(n));
  return [ga, neg(mul(ga, y(n)))]; // d(a/b)/db = -(a/b)/b
});
/** `a` to the power `b`; the gradient of `b` takes log(a), so it is for positive `a`. */
export const pow = binary(
  "pow",
  "Pow",
  (g, n) => [mul(g, mul(b(n), pow(a(n), sub(b(n), 1)))), mul(g, mul(y(n), log(a(n))))],
  undefined,
  (emit, names, { inputs, outputs }) => {
    // WebGPU's kernel fails on operands that broadcast where a row is a multiple of four: broadcast them first.
    const { shape, size } = at(outputs, 0);
    const operandNames = names.map((name, i) =>
      emit.target.provider !== "webgpu" || at(inputs, i).size === size
        ? name
        : emit.node("Expand", [name, emit.shape(shape)]),
    );
    return emit.node("Pow", operandNames);
  },
);
/** The larger operand; a tie gives each half of the gradient, as PyTorch does. */
export const maximum = binary("maximum", "Max", (g, n) => shareByOrder(g, greater(a(n), b(n)), n));
/** The smaller operand; a tie gives each half of the gradient, as PyTorch does. */
export const minimum = binary("minimum", "Min", (g, n) => shareByOrder(g, less(a(n), b(n)), n));

function shareByOrder(g: Tensor, isFirst: Tensor, n: NodeView<None>): Tensor[] {
  const half = where(equal(a(n), b(n)), mul(g, 0.5), toTensor(0, g.dtype));
  const first = where(isFirst, g, half);
  return [first, sub(g, first)];
}

export const equal = binary("equal", "Equal", "zero", "bool");
export const less = binary("less", "Less", "zero", "bool");
export const lessEqual = binary("lessEqual", "LessOrEqual", "zero", "bool");
export const greater = binary("greater", "Greater", "zero", "bool");
export const greaterEqual = binary("greaterEqual", "GreaterOrEqual", "zero", "bool");
export const logicalAnd = binary("logicalAnd", "And", "zero", "bool");
export const logicalOr = binary("logicalOr", "Or", "zero", "bool", (emit, inputs) => {
  // WebGPU has no kernel for Or.
  if (emit.target.provider !== "webgpu") return emit.node("Or", inputs);
  return emit.node("Not", [
    emit.node(
      "And",
      inputs.map((operand) => emit.node("Not", [operand])),
    ),
  ]);
});

export const neg = unary("neg", "Neg", (g) => [neg(g)]);
export const abs = unary("abs", "Abs", (g, n) => [mul(g, sign(x(n)))]);
export const sign = unary("sign", "Sign", "zero", (emit, [operand], { inputs }) => {
  // WebGPU has no kernel for Sign.
  if (emit.target.provider !== "webgpu") return emit.node("Sign", [operand as string]);
  const { dtype } = at(inputs, 0);
  const [isPositive, isNegative] = ["Greater", "Less"].map((type) =>
    emit.node("Cast", [emit.node(type, [operand as string, emit.scalar(dtype, 0)])], {
      to: { int: onnxTypeCode[dtype] },
    }),
  );
  return emit.node("Sub", [isPositive as string, isNegative as string]);
});
export const floor = unary("floor", "Floor", "zero");
export const ceil = unary("ceil", "Ceil", "zero");
/** Rounds half to even. */
export const round = unary("round", "Round", "zero");
export const exp = unary("exp", "Exp", (g, n) => [mul(g, y(n))]);
export const log = unary("log", "Log", (g, n) => [div(g, x(n))]);
export const sqrt = unary("sqrt", "Sqrt", (g, n) => [div(mul(g, 0.5), y(n))]);
export const reciprocal = unary("reciprocal", "Reciprocal", (g, n) => [neg(mul(g, mul(y(n), y(n))))]);
export const sin = unary("sin", "Sin", (g, n) => [mul(g, cos(x(n)))]);
export const cos = unary("cos", "Cos", (g, n) => [neg(mul(g, sin(x(n))))]);
export const tanh = unary("tanh", "Tanh", (g, n) => [mul(g, sub(1, mul(y(n), y(n))))]);
export const sigmoid = unary("sigmoid", "Sigmoid", (g, n) => [mul(g, mul(y(n), sub(1, y(n))))]);
/** max(x, 0); the gradient at 0 is 0. */
export const relu = unary("relu", "Relu", (g, n) => [where(greater(y(n), 0), g, toTensor(0, g.dtype))]);
/** log(1 + exp(x)) */
export const softplus = unary("softplus", "Softplus", (g, n) => [mul(g, sigmoid(x(n)))]);
/** The error function 2/sqrt(pi) * integral of exp(-t^2) from 0 to x. */
export const erf = unary("erf", "Erf", (g, n) => [
  mul(g, mul(exp(neg(mul(x(n), x(n)))), 2 / Math.sqrt(Math.PI))),
]);

const logicalNotOperator: Operator<None> = {
  name: "logicalNot",
  infer: ([operand]) => operand as Tensor,
  lower: (emit, inputs) => emit.node("Not", inputs),
  vjp: "zero",
};

export function logicalNot(operand: Tensor): Tensor {
  if (operand.dtype !== "bool") throw new GraphError(`logicalNot: expected bool, got ${operand}`);
  return applyOne(logicalNotOperator, [operand], none);
}

/** x * x */
export function square(operand: Tensor): Tensor {
  return mul(operand, operand);
}

const whereOperator: Operator<None> = {
  name: "where",
  infer: (inputs) => {
    const [condition, yes, no] = [at(inputs, 0), at(inputs, 1), at(inputs, 2)];
    if (condition.dtype !== "bool") {
      throw new GraphError(`where: the condition must be bool, got ${condition}; compare it with something`);
    }
    requireSameDType("where", yes, no);
    const shape = broadcastShapes("where", condition.shape, broadcastShapes("where", yes.shape, no.shape));
    return { dtype: yes.dtype, shape };
  },
  lower: (emit, inputs) => emit.node("Where", inputs),
  vjp: (node, [g]) => {
    if (!g) return [];
    const zero = toTensor(0, g.dtype);
    return [undefined, where(at(node.inputs, 0), g, zero), where(at(node.inputs, 0), zero, g)];
  },
};

/** `yes` where the condition holds, `no` elsewhere (all broadcast). */
export function where(condition: Tensor, yes: Operand, no: Operand): Tensor {
  const [yesTensor, noTensor] = operands("where", yes, no);
  return applyOne(whereOperator, [condition, yesTensor, noTensor], none);
}

/** `operand` limited to [low, high]; the gradient passes where it was inside. */
export function clamp(operand: Tensor, low: number, high: number): Tensor {
  return applyOne(clampOperator, [operand], { low, high });
}

const clampOperator: Operator<{ readonly low: number; readonly high: number }> = {
  name: "clamp",
  infer: ([operand]) => {
    if (operand) requireFloat("clamp", operand);
    return operand as Tensor;
  },
  lower: (emit, [operand], { inputs, attributes }) => {
    const { dtype } = at(inputs, 0);
    return emit.node("Clip", [
      operand as string,
      emit.scalar(dtype, attributes.low),
      emit.scalar(dtype, attributes.high),
    ]);
  },
  vjp: ({ inputs, attributes }, [g]) => {
    if (!g) return [];
    const operand = at(inputs, 0);
    const isInside = logicalAnd(greaterEqual(operand, attributes.low), lessEqual(operand, attributes.high));
    return [where(isInside, g, toTensor(0, g.dtype))];
  },
};

const castOperator: Operator<{ readonly to: DType }> = {
  name: "cast",
  infer: (inputs, { to }) => ({ dtype: to, shape: at(inputs, 0).shape }),
  lower: (emit, inputs, { attributes }) =>
    emit.node("Cast", inputs, { to: { int: onnxTypeCode[attributes.to] } }),
  vjp: ({ inputs }, [g]) => [g && isFloat(at(inputs, 0).dtype) ? cast(g, at(inputs, 0).dtype) : undefined],
};

/** `operand` with its elements converted to `dtype`. */
export function cast(operand: Tensor, dtype: DType): Tensor {
  return operand.dtype === dtype ? operand : applyOne(castOperator, [operand], { to: dtype });
}
