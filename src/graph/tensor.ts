/**
 * @file Symbolic tensors, the nodes that produce them, and what an operator must declare.
 * A graph is nothing but tensors that know their producers: tracing a function builds it, nothing runs.
 */

import { type DType, isFloat } from "./dtype.js";
import { GraphError, showShape } from "./errors.js";
import type { Emitter } from "./onnx/emitter.js";
import { type Shape, sizeOf } from "./shape.js";

/** Element type and static shape: all that is known of a value before it is computed. */
export interface TensorType {
  readonly dtype: DType;
  readonly shape: Shape;
}

/** An immutable symbolic value. */
export class Tensor implements TensorType {
  constructor(
    readonly dtype: DType,
    readonly shape: Shape,
    /** The node that computes this tensor. */
    readonly producer: Node,
    /** Which of the producer's outputs it is. */
    readonly index: number,
  ) {}

  get rank(): number {
    return this.shape.length;
  }

  get size(): number {
    return sizeOf(this.shape);
  }

  /** `float32[2, 3]` */
  toString(): string {
    return `${this.dtype}${showShape(this.shape)}`;
  }
}

/** What an operator's rules see of a node. */
export interface NodeView<A> {
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  readonly attributes: A;
}

/**
 * Vector-Jacobian product: cotangents of the inputs from those of the outputs (`undefined` where none arrived;
 * a single-output operator's is always there). A cotangent may have the broadcast shape: the walk reduces it.
 */
export type Vjp<A> = (
  node: NodeView<A>,
  cotangents: readonly (Tensor | undefined)[],
) => readonly (Tensor | undefined)[];

/**
 * In place of a gradient rule. `zero`: the derivative is zero almost everywhere (floor, comparisons, indices).
 * `none`: a gradient must not be asked for; the walk raises an error when one is.
 */
export type NonDifferentiable = "zero" | "none";

/** One operator, declared once. A declaration without a gradient rule does not compile. */
export interface Operator<A> {
  readonly name: string;
  /** The outputs' types. @throws GraphError when the operands do not fit. */
  infer(inputs: readonly Tensor[], attributes: A): TensorType | readonly TensorType[];
  /** Emits ONNX nodes and returns the outputs' names. */
  lower(emit: Emitter, inputs: readonly string[], node: NodeView<A>): string | readonly string[];
  readonly vjp: Vjp<A> | NonDifferentiable;
}

let created = 0;

/** The id that the next node will get; older nodes have smaller ones. */
export function nextNodeId(): number {
  return created;
}

/** An operator applied to inputs. Ids grow in order of creation, so they order any graph topologically. */
export class Node implements NodeView<unknown> {
  readonly id = created++;
  readonly outputs: readonly Tensor[];

  constructor(
    readonly operator: string,
    readonly inputs: readonly Tensor[],
    readonly attributes: unknown,
    outputs: readonly TensorType[],
    /** The same operator with the same attributes on other inputs. */
    readonly rebuild: (inputs: readonly Tensor[]) => readonly Tensor[],
    readonly lower: (emit: Emitter, inputs: readonly string[]) => readonly string[],
    readonly vjp:
      | ((cotangents: readonly (Tensor | undefined)[]) => readonly (Tensor | undefined)[])
      | NonDifferentiable,
  ) {
    this.outputs = outputs.map(({ dtype, shape }, index) => new Tensor(dtype, shape, this, index));
  }
}

/** Applies an operator: checks the operands by its shape rule and returns its outputs. */
export function apply<A>(operator: Operator<A>, inputs: readonly Tensor[], attributes: A): readonly Tensor[] {
  const inferred = operator.infer(inputs, attributes);
  const types: readonly TensorType[] = "dtype" in inferred ? [inferred] : inferred;
  const { vjp } = operator;
  const node: Node = new Node(
    operator.name,
    inputs,
    attributes,
    types,
    (others) => apply(operator, others, attributes),
    (emit, names) => {
      const lowered = operator.lower(emit, names, view);
      return typeof lowered === "string" ? [lowered] : lowered;
    },
    typeof vjp === "string" ? vjp : (cotangents) => vjp(view, cotangents),
  );
  const view: NodeView<A> = { inputs: node.inputs, outputs: node.outputs, attributes };
  return node.outputs;
}

/** Applies an operator that has one output. */
export function applyOne<A>(operator: Operator<A>, inputs: readonly Tensor[], attributes: A): Tensor {
  return only(apply(operator, inputs, attributes));
}

/** The sole element of a list. */
export function only<T>(list: readonly T[]): T {
  const [first] = list;
  if (list.length !== 1 || first === undefined) throw new Error(`expected one element, got ${list.length}`);
  return first;
}

/** Element `i` of a list that is known to have it. */
export function at<T>(list: readonly T[], i: number): T {
  const item = list[i];
  if (item === undefined) throw new Error(`internal: no element ${i} in a list of ${list.length}`);
  return item;
}

/** @throws GraphError unless the operands are floating point and of one dtype. */
export function requireFloat(operator: string, ...operands: readonly Tensor[]): void {
  for (const operand of operands) {
    if (!isFloat(operand.dtype)) {
      throw new GraphError(`${operator}: expected floating point operands, got ${operand}; cast it first`);
    }
  }
  requireSameDType(operator, ...operands);
}

/** @throws GraphError unless the operands have one dtype. */
export function requireSameDType(operator: string, ...operands: readonly Tensor[]): void {
  const first = operands[0];
  for (const operand of operands) {
    if (first && operand.dtype !== first.dtype) {
      throw new GraphError(
        `${operator}: operands ${operands.join(" and ")} differ in dtype; cast one of them`,
      );
    }
  }
}

/** @throws GraphError unless `operand` has one of the given ranks. */
export function requireRank(operator: string, operand: Tensor, ...ranks: readonly number[]): void {
  if (!ranks.includes(operand.rank)) {
    throw new GraphError(`${operator}: expected a tensor of rank ${ranks.join(" or ")}, got ${operand}`);
  }
}
