/**
 * @file Computes what depends on constants alone while the graph is made: sums, products and rearrangements of weights.
 * Runtimes do this when they load a model. Here it is for what must know the values: matrices that are stored with
 * fewer bits are rounded once, after they have been computed, not before.
 */

import { type Graph, rewrite } from "../graph.js";
import { type ConstantAttributes, constant, constantOf } from "../operators/source.js";
import { type Shape, sizeOf } from "../shape.js";
import { at } from "../tensor.js";

type Values = Float32Array;

/** Row-major steps between neighbours of each dimension; 0 where an operand of size 1 is repeated. */
function stridesOf(shape: Shape, rank = shape.length): number[] {
  const strides = new Array<number>(rank).fill(0);
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i + rank - shape.length] = shape[i] === 1 ? 0 : step;
    step *= at(shape, i);
  }
  return strides;
}

/**
 * Calls `visit` for each row (along the last dimension) of `shape` with the index of its first element and that
 * element's places in arrays of the given strides.
 */
function walkRows(
  shape: Shape,
  strides: readonly (readonly number[])[],
  visit: (index: number, places: readonly number[]) => void,
): void {
  const outer = shape.slice(0, -1);
  const length = shape.at(-1) ?? 1;
  const counter = new Array<number>(outer.length).fill(0);
  const places = strides.map(() => 0);
  for (let index = 0; index < sizeOf(shape); index += length) {
    visit(index, places);
    for (let axis = outer.length - 1; axis >= 0; axis--) {
      const dim = at(outer, axis);
      const isBack = counter[axis] === dim - 1;
      counter[axis] = isBack ? 0 : at(counter, axis) + 1;
      for (let i = 0; i < strides.length; i++) {
        places[i] = at(places, i) + at(at(strides, i), axis) * (isBack ? 1 - dim : 1);
      }
      if (!isBack) break;
    }
  }
}

/** The elements of an array in the order of a view of it. */
function viewed(source: Values, shape: Shape, strides: readonly number[], offset = 0): Values {
  const out = new Float32Array(sizeOf(shape));
  const [length, step] = [shape.at(-1) ?? 1, strides.at(-1) ?? 0];
  walkRows(shape, [strides], (index, [place = 0]) => {
    for (let i = 0; i < length; i++) out[index + i] = source[offset + place + i * step] as number;
  });
  return out;
}

function elementwise(compute: (a: number, b: number) => number): Rule {
  return (shape, inputs) => {
    const [left, right] = [at(inputs, 0), at(inputs, 1)];
    const [a, b] = [left.data as Values, right.data as Values];
    const strides = [left, right].map((operand) => stridesOf(operand.shape, shape.length));
    const [stepA = 0, stepB = 0] = strides.map((each) => each.at(-1));
    const length = shape.at(-1) ?? 1;
    const out = new Float32Array(sizeOf(shape));
    walkRows(shape, strides, (index, [placeA = 0, placeB = 0]) => {
      for (let i = 0; i < length; i++) {
        out[index + i] = compute(a[placeA + i * stepA] as number, b[placeB + i * stepB] as number);
      }
    });
    return out;
  };
}

/** The values of a node's only output. */
type Rule = (shape: Shape, inputs: readonly ConstantAttributes[], attributes: unknown) => Values;

const valuesOf = (inputs: readonly ConstantAttributes[]): Values => at(inputs, 0).data as Values;

/** Broadcasts are left out: they only repeat values, in exported graphs over a batch of any size. */
const rules: Readonly<Record<string, Rule>> = {
  add: elementwise((a, b) => a + b),
  sub: elementwise((a, b) => a - b),
  mul: elementwise((a, b) => a * b),
  div: elementwise((a, b) => a / b),
  reshape: (_, inputs) => valuesOf(inputs),
  transpose: (shape, inputs, attributes) => {
    const { permutation } = attributes as { readonly permutation: readonly number[] };
    const strides = stridesOf(at(inputs, 0).shape);
    return viewed(
      valuesOf(inputs),
      shape,
      permutation.map((axis) => at(strides, axis)),
    );
  },
  slice: (shape, inputs, attributes) => {
    const { axis, start, step } = attributes as { axis: number; start: number; step: number };
    const strides = stridesOf(at(inputs, 0).shape);
    const along = at(strides, axis);
    return viewed(
      valuesOf(inputs),
      shape,
      strides.map((stride, i) => (i === axis ? stride * step : stride)),
      start * along,
    );
  },
  mean: (shape, inputs, attributes) => {
    const { axes } = attributes as { readonly axes: readonly number[] };
    const full = at(inputs, 0).shape;
    const values = valuesOf(inputs);
    const strides = stridesOf(full.map((dim, i) => (axes.includes(i) ? 1 : dim)));
    const [length, step] = [full.at(-1) ?? 1, strides.at(-1) ?? 0];
    const sums = new Float64Array(sizeOf(shape));
    walkRows(full, [strides], (index, [place = 0]) => {
      for (let i = 0; i < length; i++) {
        const target = place + i * step;
        sums[target] = (sums[target] as number) + (values[index + i] as number);
      }
    });
    const count = sizeOf(full) / sums.length;
    return Float32Array.from(sums, (sum) => sum / count);
  },
  matmul: (shape, inputs, attributes) => {
    const { transposeA, transposeB, scale } = attributes as {
      transposeA: boolean;
      transposeB: boolean;
      scale: number;
    };
    const [a, b] = [at(inputs, 0), at(inputs, 1)];
    const inner = at(a.shape, a.shape.length - (transposeA ? 2 : 1));
    const steps = ({ shape: own }: ConstantAttributes, isTransposed: boolean) => {
      const strides = stridesOf(own, shape.length);
      const [row, column] = strides.splice(-2) as [number, number];
      return { lead: strides, row: isTransposed ? column : row, column: isTransposed ? row : column };
    };
    const [left, right] = [steps(a, transposeA), steps(b, transposeB)];
    const [p, q] = [a.data as Values, b.data as Values];
    const out = new Float32Array(sizeOf(shape));
    const columns = at(shape, shape.length - 1);
    const starts = [
      [...left.lead, left.row, 0],
      [...right.lead, 0, right.column],
    ];
    walkRows(shape, starts, (index, [i = 0, j = 0]) => {
      for (let column = 0; column < columns; column++) {
        const start = j + column * right.column;
        let total = 0;
        for (let k = 0; k < inner; k++) {
          total += (p[i + k * left.column] as number) * (q[start + k * right.row] as number);
        }
        out[index + column] = total * scale;
      }
    });
    return out;
  },
};

/** The graph with each float32 node of known operands replaced by a constant, where there is a rule for its operator. */
export function foldConstants(graph: Graph): Graph {
  return rewrite(graph, (node, inputs) => {
    const rule = Object.hasOwn(rules, node.operator) ? rules[node.operator] : undefined;
    if (!rule || inputs.length === 0) return undefined;
    const known = inputs.map(constantOf);
    if (!isAllFloat32(known)) return undefined;
    const output = at(node.outputs, 0);
    return [constant(rule(output.shape, known, node.attributes), output.shape)];
  });
}

function isAllFloat32(known: readonly (ConstantAttributes | undefined)[]): known is ConstantAttributes[] {
  return known.every((each) => each?.dtype === "float32");
}
