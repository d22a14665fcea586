/**
 * @file Cuts the work on large activations into blocks of rows, so that what one node writes is still in the cache when
 * the next one reads it: the block goes through many nodes before the next block's turn comes. Rows stay independent in
 * all but a few nodes (sums over the batch, gradients of weights), which become sums over the blocks: the same function,
 * with another order of summation there.
 */

import { GraphError } from "../errors.js";
import { type Graph, nodesOf } from "../graph.js";
import { add, mul } from "../operators/elementwise.js";
import type { MatmulAttributes } from "../operators/matmul.js";
import { broadcastTo } from "../operators/reduce.js";
import { reshape } from "../operators/reshape.js";
import { concat, split } from "../operators/slice.js";
import { type Shape, sameShape } from "../shape.js";
import { at, type Node, Tensor } from "../tensor.js";

export interface TileOptions {
  /** A block of the largest activation has about this many elements (default 2^20: 4 MB of float32). */
  readonly blockElements?: number;
  /** Matrix products keep at least this many rows: they prepare their other operand for each block anew (default 512). */
  readonly minimumRows?: number;
}

/** A tensor as equal blocks along one axis. */
interface Tiled {
  readonly axis: number;
  readonly blocks: readonly Tensor[];
}

/** How a node runs on blocks. */
interface Plan {
  /** Of each input: the axis along which it is cut, or `undefined` for the whole in every block. */
  readonly inputs: readonly (number | undefined)[];
  readonly count: number;
  /** The axis along which the outputs are cut; `sum` and `mean`: the result is that of the blocks' results. */
  readonly result: number | "sum" | "mean";
  /** A node on a block, where its attributes depend on the shape. */
  readonly build?: (inputs: readonly Tensor[]) => readonly Tensor[];
}

/** Applied to each element (of operands that broadcast). */
const elementwise = new Set(
  (
    "add sub mul div pow maximum minimum equal less lessEqual greater greaterEqual logicalAnd logicalOr logicalNot " +
    "neg abs sign floor ceil round exp log sqrt reciprocal sin cos tanh sigmoid relu softplus erf where clamp cast gelu"
  ).split(" "),
);

/** Work along one axis, on the axes' other elements independently. */
const alongAxis = new Set(["softmax", "logSoftmax", "slice", "pad", "flip", "cumsum"]);

/** Work on each image; the first operand (and a grid) has one per sample. */
const perImage = new Set(["conv2d", "convTranspose2d", "unfold", "fold", "gridSample"]);

/** Stand for their operands once a graph has been differentiated. */
function renamed({ operator, inputs, outputs }: Node): readonly Tensor[] | undefined {
  if (operator === "stopGradient") return inputs;
  return operator === "customVjp" ? inputs.slice(inputs.length - outputs.length) : undefined;
}

/** Blocks this many times smaller than the largest are not worth the overhead of more nodes. */
const SMALLEST_SHARE = 16;

/** Runs large activations block by block: for a CPU, whose caches are small; a GPU wants large kernels. */
export function tile(graph: Graph, { blockElements = 1 << 20, minimumRows = 512 }: TileOptions = {}): Graph {
  const products = nodesOf(graph).filter(isRowProduct);
  const largest = Math.max(1, ...products.map(({ outputs }) => at(outputs, 0).size));
  const parts = 2 ** Math.max(0, Math.round(Math.log2(largest / blockElements)));
  if (parts === 1) return graph;
  return new Tiling(parts, { minimumRows, smallest: (parts * blockElements) / SMALLEST_SHARE }).run(graph);
}

/**
 * `[R, K] x [K, M]`, the product of a layer with all rows of its input. With one column on either side it is a sum over
 * rows or an outer product, as of a weight that is centred.
 */
function isRowProduct({ operator, inputs, outputs, attributes }: Node): boolean {
  if (operator !== "matmul" || inputs.some(({ rank }) => rank !== 2)) return false;
  const [inner, columns] = [at(inputs, 0).shape[1], at(outputs, 0).shape[1]];
  return inner !== 1 && columns !== 1 && !(attributes as MatmulAttributes).transposeA;
}

class Tiling {
  readonly #whole = new Map<Tensor, Tensor>();
  readonly #tiled = new Map<Tensor, Tiled>();
  /** Wholes that some node wanted in blocks. */
  readonly #cut = new Map<Tensor, Tiled>();

  constructor(
    private readonly parts: number,
    /** Rows of a block, and elements of a whole tensor, below which nothing is cut. */
    private readonly limits: { readonly minimumRows: number; readonly smallest: number },
  ) {}

  run(graph: Graph): Graph {
    for (const node of nodesOf(graph)) {
      if (node.operator === "input") continue;
      const same = renamed(node);
      if (same) for (const [i, output] of node.outputs.entries()) this.#rename(output, at(same, i));
      else if (!this.#runTiled(node)) this.#runWhole(node);
    }
    const outputs = Object.entries(graph.outputs).map(([name, tensor]) => [name, this.#wholeOf(tensor)]);
    return { inputs: graph.inputs, outputs: Object.fromEntries(outputs) as Record<string, Tensor> };
  }

  #rename(output: Tensor, source: Tensor): void {
    const tiled = this.#tiled.get(source);
    if (tiled) this.#tiled.set(output, tiled);
    else this.#whole.set(output, this.#wholeOf(source));
  }

  #runWhole(node: Node): void {
    const inputs = node.inputs.map((input) => this.#wholeOf(input));
    const isChanged = inputs.some((input, i) => input !== node.inputs[i]);
    const outputs = isChanged ? node.rebuild(inputs) : node.outputs;
    for (const [i, output] of node.outputs.entries()) this.#whole.set(output, at(outputs, i));
  }

  #wholeOf(tensor: Tensor): Tensor {
    const known = this.#whole.get(tensor);
    if (known) return known;
    const tiled = this.#tiled.get(tensor);
    const whole = tiled ? concat(tiled.blocks, tiled.axis) : tensor;
    this.#whole.set(tensor, whole);
    return whole;
  }

  #blocksOf(tensor: Tensor, axis: number, count: number): readonly Tensor[] {
    const known = [this.#tiled.get(tensor), this.#cut.get(tensor)].find(
      (tiled) => tiled?.axis === axis && tiled.blocks.length === count,
    );
    if (known) return known.blocks;
    const size = at(tensor.shape, axis) / count;
    const sizes = Array.from({ length: count }, () => size);
    const blocks = split(this.#wholeOf(tensor), axis, sizes);
    this.#cut.set(tensor, { axis, blocks });
    return blocks;
  }

  #runTiled(node: Node): boolean {
    const rearranged = this.#rearranged(node);
    if (rearranged) {
      for (const [i, output] of node.outputs.entries()) this.#tiled.set(output, at(rearranged, i));
      return true;
    }
    const plan = this.#plan(node);
    if (!plan) return false;
    const { count, result, build = node.rebuild } = plan;
    const inputs = node.inputs.map((input, i) => {
      const axis = plan.inputs[i];
      return axis === undefined ? this.#wholeOf(input) : this.#blocksOf(input, axis, count);
    });
    const blocks = Array.from({ length: count }, (_, block) =>
      build(inputs.map((input) => (input instanceof Tensor ? input : at(input, block)))),
    );
    for (const [i, output] of node.outputs.entries()) {
      const own = blocks.map((outputs) => at(outputs, i));
      if (typeof result === "number") this.#tiled.set(output, joinedAlong(output, result, own));
      else {
        const total = own.reduce((sum, block) => add(sum, block));
        this.#whole.set(output, result === "mean" ? mul(total, 1 / count) : total);
      }
    }
    return true;
  }

  /** Splitting and joining along the axis that is cut: nothing is computed. */
  #rearranged({ operator, inputs, outputs, attributes }: Node): Tiled[] | undefined {
    if (operator !== "split" && operator !== "concat") return undefined;
    const { axis } = attributes as { readonly axis: number };
    const leader = inputs.map((input) => this.#tiled.get(input)).find((tiled) => tiled?.axis === axis);
    if (!leader) return undefined;
    const size = at(at(leader.blocks, 0).shape, axis);
    const counts = [...inputs, ...outputs].map(({ shape }) => at(shape, axis) / size);
    if (counts.some((count) => !Number.isInteger(count))) return undefined;
    const blocks = inputs.flatMap((input, i) => this.#blocksOf(input, axis, at(counts, i)));
    return outputs.map((_, i) => {
      const start = counts.slice(inputs.length, inputs.length + i).reduce((sum, count) => sum + count, 0);
      return { axis, blocks: blocks.slice(start, start + at(counts, inputs.length + i)) };
    });
  }

  #plan(node: Node): Plan | undefined {
    const { operator } = node;
    if (operator === "matmul") return this.#planMatmul(node);
    if (operator === "broadcastTo") {
      const start = this.#planBroadcast(node);
      if (start) return start;
    }
    const tiled = node.inputs.map((input) => this.#tiled.get(input));
    // The largest operand leads: the others are cut as it is.
    let lead = -1;
    node.inputs.forEach((input, i) => {
      if (tiled[i] && (lead < 0 || input.size > at(node.inputs, lead).size)) lead = i;
    });
    const leader = tiled[lead];
    if (!leader) return undefined;
    const [input, count] = [at(node.inputs, lead), leader.blocks.length];
    const planned = planFor(node, input, leader.axis, count);
    return planned && { ...planned, count };
  }

  /** A large broadcast of a row per sample, as a mean's gradient is; that of a matrix's rows may be a weight's. */
  #planBroadcast({ inputs, outputs }: Node): Plan | undefined {
    const [input, output] = [at(inputs, 0), at(outputs, 0)];
    const { parts: count } = this;
    const rows = output.shape[0] ?? 1;
    const isCut =
      output.rank > 2 && input.rank === output.rank && input.shape[0] === rows && rows % count === 0;
    if (this.#tiled.has(input) || !isCut || output.size < this.limits.smallest) return undefined;
    const shape = withPart(output.shape, 0, count);
    return { inputs: [0], count, result: 0, build: ([x]) => [broadcastTo(x as Tensor, shape)] };
  }

  #planMatmul(node: Node): Plan | undefined {
    const [a, b] = [at(node.inputs, 0), at(node.inputs, 1)];
    const { transposeA, transposeB } = node.attributes as MatmulAttributes;
    const { rank } = at(node.outputs, 0);
    const [tiledA, tiledB] = [this.#tiled.get(a), this.#tiled.get(b)];
    const rowsA = transposeA ? a.rank - 1 : a.rank - 2;
    const innerA = transposeA ? a.rank - 2 : a.rank - 1;
    const innerB = transposeB ? b.rank - 1 : b.rank - 2;
    const isEnough = (size: number, count: number) => size / count >= this.limits.minimumRows;
    const inner = tiledA?.axis === innerA ? tiledA : tiledB?.axis === innerB ? tiledB : undefined;
    if (inner) {
      const count = inner.blocks.length;
      return isEnough(at(a.shape, innerA), count)
        ? { inputs: [innerA, innerB], count, result: "sum" }
        : undefined;
    }
    if (!tiledA) {
      // Blocks begin here, at a layer.
      const rows = at(a.shape, 0);
      const isLarge = Math.max(a.size, at(node.outputs, 0).size) >= this.limits.smallest;
      return isLarge && isRowProduct(node) && rows % this.parts === 0 && isEnough(rows, this.parts)
        ? { inputs: [0, undefined], count: this.parts, result: 0 }
        : undefined;
    }
    const { axis, blocks } = tiledA;
    const count = blocks.length;
    if (axis === rowsA) {
      return isEnough(at(a.shape, axis), count)
        ? { inputs: [axis, undefined], count, result: rank - 2 }
        : undefined;
    }
    // A leading dimension: each block has its own matrices.
    const result = axis + rank - a.rank;
    const axisB = result - (rank - b.rank);
    return { inputs: [axis, axisB >= 0 && at(b.shape, axisB) !== 1 ? axisB : undefined], count, result };
  }
}

/** The blocks of a tensor. @throws GraphError when they do not make it up: a rule is wrong. */
function joinedAlong(tensor: Tensor, axis: number, blocks: readonly Tensor[]): Tiled {
  const shape = withPart(tensor.shape, axis, blocks.length);
  const wrong = blocks.find((block) => !sameShape(block.shape, shape));
  if (!wrong) return { axis, blocks };
  throw new GraphError(
    `internal: tiling ${tensor.producer.operator} makes blocks ${wrong} along axis ${axis} of ${tensor}`,
  );
}

/** How a node runs when `leader`, one of its inputs, is cut along `axis`; `undefined` where it cannot. */
function planFor(node: Node, leader: Tensor, axis: number, count: number): Omit<Plan, "count"> | undefined {
  const { operator, inputs, outputs, attributes } = node;
  const output = at(outputs, 0);
  if (elementwise.has(operator)) {
    const result = axis + output.rank - leader.rank;
    const axes = inputs.map(({ shape, rank }) => {
      const own = result - (output.rank - rank);
      return own >= 0 && at(shape, own) !== 1 ? own : undefined;
    });
    return { inputs: axes, result };
  }
  if (perImage.has(operator)) {
    const cut = operator === "gridSample" ? [0, 0] : inputs.map((_, i) => (i === 0 ? 0 : undefined));
    return axis === 0 && inputs[0] === leader ? { inputs: cut, result: 0 } : undefined;
  }
  if (alongAxis.has(operator)) {
    return (attributes as { axis: number }).axis === axis ? undefined : { inputs: [axis], result: axis };
  }
  switch (operator) {
    case "layerNorm":
      return axis < leader.rank - 1 && inputs[0] === leader
        ? { inputs: [axis, undefined, undefined], result: axis }
        : undefined;
    case "split":
    case "concat":
      return (attributes as { axis: number }).axis === axis
        ? undefined
        : { inputs: inputs.map(() => axis), result: axis };
    case "transpose": {
      const { permutation } = attributes as { readonly permutation: readonly number[] };
      return { inputs: [axis], result: permutation.indexOf(axis) };
    }
    case "reshape": {
      const result = reshapedAxis(leader.shape, axis, output.shape, count);
      if (result === undefined) return undefined;
      const shape = withPart(output.shape, result, count);
      return { inputs: [axis], result, build: ([x]) => [reshape(x as Tensor, shape)] };
    }
    case "broadcastTo": {
      const result = axis + output.rank - leader.rank;
      const shape = withPart(output.shape, result, count);
      return { inputs: [axis], result, build: ([x]) => [broadcastTo(x as Tensor, shape)] };
    }
    case "sum":
    case "mean":
    case "max":
    case "min": {
      const { axes, keepDims } = attributes as {
        readonly axes: readonly number[];
        readonly keepDims: boolean;
      };
      if (!axes.includes(axis)) {
        const before = keepDims ? 0 : axes.filter((other) => other < axis).length;
        return { inputs: [axis], result: axis - before };
      }
      return operator === "sum" || operator === "mean" ? { inputs: [axis], result: operator } : undefined;
    }
    default:
      return undefined;
  }
}

/** The axis of `to` along which a reshaped tensor's blocks are cut, where they still are blocks. */
function reshapedAxis(from: Shape, axis: number, to: Shape, count: number): number | undefined {
  const before = from.slice(0, axis).reduce((product, dim) => product * dim, 1);
  let product = 1;
  for (const [i, dim] of to.entries()) {
    if (product === before && dim % count === 0) return i;
    product *= dim;
  }
  return undefined;
}

function withPart(shape: Shape, axis: number, count: number): number[] {
  return shape.map((dim, i) => (i === axis ? dim / count : dim));
}
