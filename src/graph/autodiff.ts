/**
 * @file Reverse-mode differentiation, graph to graph: the gradient is more symbolic tensors, which can be printed,
 * checked and differentiated again like any others.
 */

import { isFloat } from "./dtype.js";
import { GraphError } from "./errors.js";
import { add } from "./operators/elementwise.js";
import { broadcastTo, sumTo } from "./operators/reduce.js";
import { scalar } from "./operators/source.js";
import { sameShape } from "./shape.js";
import { apply, at, type Node, nextNodeId, type Operator, type Tensor } from "./tensor.js";

/** Cotangents by tensor, and the nodes still to be visited, latest first. */
class Cotangents {
  readonly #values = new Map<Tensor, Tensor>();
  readonly #queued = new Set<Node>();
  readonly #heap: Node[] = [];

  /** @param boundary Tensors whose producers are not visited. */
  constructor(private readonly boundary: ReadonlySet<Tensor>) {}

  of(tensor: Tensor): Tensor | undefined {
    return this.#values.get(tensor);
  }

  /** Adds a cotangent of `tensor`, summed to its shape where the operator broadcast it. */
  accumulate(tensor: Tensor, cotangent: Tensor): void {
    const fitted = sumTo(cotangent, tensor.shape);
    const known = this.#values.get(tensor);
    this.#values.set(tensor, known ? add(known, fitted) : fitted);
    if (!this.boundary.has(tensor)) this.#push(tensor.producer);
  }

  #push(node: Node): void {
    if (this.#queued.has(node)) return;
    this.#queued.add(node);
    const heap = this.#heap;
    let i = heap.push(node) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (at(heap, parent).id >= node.id) break;
      heap[i] = at(heap, parent);
      i = parent;
    }
    heap[i] = node;
  }

  /** The node with the highest id: all its consumers have been visited. */
  pop(): Node | undefined {
    const heap = this.#heap;
    const top = heap[0];
    const last = heap.pop();
    if (top === undefined || last === undefined || heap.length === 0) return top;
    let i = 0;
    for (;;) {
      const left = 2 * i + 1;
      if (left >= heap.length) break;
      const right = left + 1;
      const child = right < heap.length && at(heap, right).id > at(heap, left).id ? right : left;
      if (at(heap, child).id <= last.id) break;
      heap[i] = at(heap, child);
      i = child;
    }
    heap[i] = last;
    return top;
  }
}

/** Says of a tensor whether any of `wrt` is among its ancestors. */
function dependence(wrt: readonly Tensor[]): (tensor: Tensor) => boolean {
  const targets = new Set(wrt);
  const known = new Map<Tensor, boolean>();
  const depends = (tensor: Tensor): boolean => {
    const pending = [tensor];
    for (let top = pending.at(-1); top; top = pending.at(-1)) {
      if (known.has(top)) {
        pending.pop();
        continue;
      }
      if (targets.has(top)) {
        known.set(top, true);
        continue;
      }
      const unknown = top.producer.inputs.filter((input) => !known.has(input));
      if (unknown.length > 0) pending.push(...unknown);
      else
        known.set(
          top,
          top.producer.inputs.some((input) => known.get(input)),
        );
    }
    return known.get(tensor) === true;
  };
  return depends;
}

/**
 * Vector-Jacobian product: the cotangents of `wrt` for given cotangents of `outputs`.
 * A tensor that the outputs do not depend on gets zeros.
 * @throws GraphError when a path runs through an operator that has no gradient.
 */
export function vjp(
  outputs: readonly Tensor[],
  cotangents: readonly Tensor[],
  wrt: readonly Tensor[],
): Tensor[] {
  return pullBack(outputs, cotangents, wrt, new Set());
}

/** `vjp` that does not walk past the tensors of `boundary`. */
function pullBack(
  outputs: readonly Tensor[],
  cotangents: readonly Tensor[],
  wrt: readonly Tensor[],
  boundary: ReadonlySet<Tensor>,
): Tensor[] {
  const depends = dependence(wrt);
  const targets = new Set(wrt);
  const state = new Cotangents(boundary);
  outputs.forEach((output, i) => {
    const cotangent = at(cotangents, i);
    if (!sameShape(output.shape, cotangent.shape)) {
      throw new GraphError(`vjp: the cotangent of output ${i} is ${cotangent}, the output is ${output}`);
    }
    if (depends(output)) state.accumulate(output, cotangent);
  });
  for (let node = state.pop(); node; node = state.pop()) {
    if (node.inputs.length === 0) continue;
    if (node.vjp === "zero") continue;
    if (node.vjp === "none") {
      throw new GraphError(
        `${node.operator} has no gradient, and one was asked for through it; wrap its operand in stopGradient`,
      );
    }
    const ofInputs = node.vjp(node.outputs.map((output) => state.of(output)));
    node.inputs.forEach((input, i) => {
      const cotangent = ofInputs[i];
      if (cotangent && isFloat(input.dtype) && (targets.has(input) || depends(input))) {
        state.accumulate(input, cotangent);
      }
    });
  }
  return wrt.map((tensor) => state.of(tensor) ?? broadcastTo(scalar(0, tensor.dtype), tensor.shape));
}

/** Gradients of a scalar with respect to `wrt`. @throws GraphError when `loss` is not a scalar. */
export function grad(loss: Tensor, wrt: readonly Tensor[]): Tensor[] {
  if (loss.rank !== 0 || !isFloat(loss.dtype)) {
    throw new GraphError(`grad: the loss must be a floating point scalar, got ${loss}; sum or average it`);
  }
  return vjp([loss], [scalar(1, loss.dtype)], wrt);
}

type None = Readonly<Record<never, never>>;

const stopGradientOperator: Operator<None> = {
  name: "stopGradient",
  infer: (inputs) => at(inputs, 0),
  lower: (_, inputs) => inputs,
  vjp: "zero",
};

/** `x`, through which no gradient flows. */
export function stopGradient(x: Tensor): Tensor {
  return at(apply(stopGradientOperator, [x], {}), 0);
}

/** What a custom gradient rule sees. */
export type CustomVjp = (
  inputs: readonly Tensor[],
  outputs: readonly Tensor[],
  cotangents: readonly (Tensor | undefined)[],
) => readonly (Tensor | undefined)[];

interface CustomAttributes {
  readonly inputs: number;
  readonly rule: CustomVjp;
}

const customOperator: Operator<CustomAttributes> = {
  name: "customVjp",
  infer: (tensors, { inputs }) => tensors.slice(inputs),
  lower: (_, names, { attributes }) => names.slice(attributes.inputs),
  vjp: ({ inputs: all, outputs, attributes: { inputs, rule } }, cotangents) =>
    rule(all.slice(0, inputs), outputs, cotangents),
};

/** `outputs`, computed from `inputs` in any way, with `rule` in place of the gradient of that computation. */
export function customVjp(
  inputs: readonly Tensor[],
  outputs: readonly Tensor[],
  rule: CustomVjp,
): readonly Tensor[] {
  return apply(customOperator, [...inputs, ...outputs], { inputs: inputs.length, rule });
}

const barrierOperator: Operator<None> = {
  name: "barrier",
  infer: (inputs) => at(inputs, 0),
  // x + 0, with a zero that the runtime cannot fold and that exists only once the token does.
  lower: (emit, [x, token], { inputs }) => {
    const { rank, dtype } = at(inputs, 1);
    const zeros = emit.ints(Array.from({ length: rank }, () => 0));
    const ones = emit.ints(Array.from({ length: rank }, () => 1));
    const first = rank === 0 ? (token as string) : emit.node("Slice", [token as string, zeros, ones]);
    const one = emit.node("Reshape", [first, emit.ints([1])]);
    const magnitude = emit.node("Abs", [one]);
    const zero = emit.node("Min", [magnitude, emit.scalar(dtype, 0)]);
    return emit.node("Add", [x as string, zero]);
  },
  vjp: (_, [g]) => [g],
};

/** `x` after `token` has been computed; the runtime does not merge what follows with an earlier equal computation. */
export function barrier(x: Tensor, token: Tensor): Tensor {
  return at(apply(barrierOperator, [x, token], {}), 0);
}

/**
 * `fn(...inputs)` whose intermediate values are not kept for the backward pass but computed again there
 * (rematerialisation, Chen et al. 2016, "Training deep nets with sublinear memory cost"). Gradients also reach
 * the tensors that `fn` captures.
 */
export function checkpoint(
  fn: (...inputs: readonly Tensor[]) => Tensor,
  ...inputs: readonly Tensor[]
): Tensor {
  const firstId = nextNodeId();
  const output = fn(...inputs);
  const captured = capturedBy(output, firstId, new Set(inputs));
  const recompute: CustomVjp = (_, __, [g]) => {
    if (!g) return [];
    const again = inputs.map((tensor) => barrier(tensor, g));
    // Each cotangent is that of the direct uses alone: the walk outside goes on from inputs and captured tensors.
    const wrt = [...again, ...captured];
    return pullBack([fn(...again)], [g], wrt, new Set(wrt));
  };
  return at(customVjp([...inputs, ...captured], [output], recompute), 0);
}

/** The floating point tensors older than `firstId` that `output` was computed from, `known` ones left out. */
function capturedBy(output: Tensor, firstId: number, known: ReadonlySet<Tensor>): Tensor[] {
  const found = new Set<Tensor>();
  const seen = new Set<Tensor>();
  const pending = [output];
  for (let tensor = pending.pop(); tensor; tensor = pending.pop()) {
    if (seen.has(tensor) || known.has(tensor)) continue;
    seen.add(tensor);
    if (tensor.producer.id >= firstId) pending.push(...tensor.producer.inputs);
    else if (isFloat(tensor.dtype)) found.add(tensor);
  }
  return [...found];
}
