/** @file Parts of tensors: slices, concatenation, padding, flips. */

import { GraphError } from "../errors.js";
import { normalizeAxis, type Shape, sizeOf } from "../shape.js";
import { apply, applyOne, at, type Operator, only, requireSameDType, type Tensor } from "../tensor.js";
import { add } from "./elementwise.js";
import { sum } from "./reduce.js";
import { expandDims, reshape } from "./reshape.js";
import { constant } from "./source.js";

interface SliceAttributes {
  readonly axis: number;
  readonly start: number;
  readonly length: number;
  readonly step: number;
}

const sliceOperator: Operator<SliceAttributes> = {
  name: "slice",
  infer: (inputs, { axis, length }) => {
    const x = at(inputs, 0);
    return { dtype: x.dtype, shape: x.shape.map((dim, i) => (i === axis ? length : dim)) };
  },
  lower: (emit, [x], { attributes: { axis, start, length, step } }) =>
    emit.node("Slice", [
      x as string,
      emit.ints([start]),
      emit.ints([start + (length - 1) * step + 1]),
      emit.ints([axis]),
      emit.ints([step]),
    ]),
  vjp: ({ inputs, attributes: { axis, start, length, step } }, [g]) => {
    if (!g) return [];
    const dim = at(at(inputs, 0).shape, axis);
    const spread = spreadOut(g, axis, step);
    return [pad(spread, { axis, before: start, after: dim - start - ((length - 1) * step + 1) })];
  },
};

/** Puts `step - 1` zeros between the elements along `axis`. */
function spreadOut(x: Tensor, axis: number, step: number): Tensor {
  if (step === 1) return x;
  const length = at(x.shape, axis);
  const split = reshapeAround(x, axis, [length, 1]);
  const padded = pad(split, { axis: axis + 1, before: 0, after: step - 1 });
  return slice(reshapeAround(padded, axis, [length * step], 2), axis, 0, (length - 1) * step + 1);
}

function reshapeAround(x: Tensor, axis: number, middle: Shape, replaced = 1): Tensor {
  return reshape(x, [...x.shape.slice(0, axis), ...middle, ...x.shape.slice(axis + replaced)]);
}

/**
 * Elements `start`, `start + step`, … below `end` along one axis. Negative `start` and `end` count from the back.
 * @param step At least 1.
 */
export function slice(x: Tensor, axis: number, start: number, end?: number, step = 1): Tensor {
  const place = normalizeAxis("slice", axis, x.rank);
  const dim = at(x.shape, place);
  const first = start < 0 ? start + dim : start;
  const last = end === undefined ? dim : end < 0 ? end + dim : end;
  if (first < 0 || last > dim || first >= last || step < 1) {
    throw new GraphError(
      `slice: ${start}:${end ?? ""}:${step} is empty or outside dimension ${axis} of ${x}`,
    );
  }
  const length = Math.ceil((last - first) / step);
  if (length === dim) return x;
  return applyOne(sliceOperator, [x], { axis: place, start: first, length, step });
}

interface SplitAttributes {
  readonly axis: number;
  readonly sizes: readonly number[];
}

const splitOperator: Operator<SplitAttributes> = {
  name: "split",
  infer: (inputs, { axis, sizes }) => {
    const { dtype, shape } = at(inputs, 0);
    return sizes.map((size) => ({ dtype, shape: shape.map((dim, i) => (i === axis ? size : dim)) }));
  },
  lower: (emit, [x], { attributes: { axis, sizes } }) =>
    emit.nodes("Split", [x as string, emit.ints(sizes)], { axis: { int: axis } }, { outputs: sizes.length }),
  vjp: ({ outputs, attributes: { axis } }, cotangents) => [
    concat(
      outputs.map(
        ({ dtype, shape }, i) => cotangents[i] ?? constant(new Float32Array(sizeOf(shape)), shape, dtype),
      ),
      axis,
    ),
  ],
};

/** `x` cut along `axis` into parts of the given sizes. */
export function split(x: Tensor, axis: number, sizes: readonly number[]): readonly Tensor[] {
  const place = normalizeAxis("split", axis, x.rank);
  const total = sizes.reduce((a, b) => a + b, 0);
  if (total !== x.shape[place] || sizes.some((size) => size < 1)) {
    throw new GraphError(
      `split: sizes ${sizes.join(" + ")} = ${total} do not make up dimension ${axis} of ${x}`,
    );
  }
  return sizes.length === 1 ? [x] : apply(splitOperator, [x], { axis: place, sizes });
}

const concatOperator: Operator<{ readonly axis: number }> = {
  name: "concat",
  infer: (inputs, { axis }) => {
    const first = at(inputs, 0);
    requireSameDType("concat", ...inputs);
    for (const other of inputs) {
      if (other.rank !== first.rank || other.shape.some((dim, i) => i !== axis && dim !== first.shape[i])) {
        throw new GraphError(
          `concat: ${other} does not join ${first} along axis ${axis}; other dimensions must be equal`,
        );
      }
    }
    const joined = inputs.reduce((total, { shape }) => total + at(shape, axis), 0);
    return { dtype: first.dtype, shape: first.shape.map((dim, i) => (i === axis ? joined : dim)) };
  },
  lower: (emit, inputs, { attributes }) => emit.node("Concat", inputs, { axis: { int: attributes.axis } }),
  vjp: ({ inputs, attributes: { axis } }, [g]) =>
    g
      ? split(
          g,
          axis,
          inputs.map(({ shape }) => at(shape, axis)),
        )
      : [],
};

/** Tensors joined along an existing axis. */
export function concat(parts: readonly Tensor[], axis: number): Tensor {
  if (parts.length === 0) throw new GraphError("concat: no tensors were given");
  if (parts.length === 1) return only(parts);
  return applyOne(concatOperator, parts, { axis: normalizeAxis("concat", axis, at(parts, 0).rank) });
}

/** Tensors of one shape joined along a new axis. */
export function stack(parts: readonly Tensor[], axis = 0): Tensor {
  return concat(
    parts.map((part) => expandDims(part, axis)),
    axis,
  );
}

/** What stands beyond the edge: zeros, the mirror image (without the edge itself), or the edge. */
export type PadMode = "zero" | "reflect" | "edge";

interface PadAttributes {
  readonly axis: number;
  readonly before: number;
  readonly after: number;
  readonly mode: PadMode;
}

export interface PadOptions extends Omit<PadAttributes, "mode"> {
  /** Default `zero`. */
  readonly mode?: PadMode;
}

const onnxPadMode = { zero: "constant", reflect: "reflect", edge: "edge" } as const satisfies Record<
  PadMode,
  string
>;

const padOperator: Operator<PadAttributes> = {
  name: "pad",
  infer: (inputs, { axis, before, after, mode }) => {
    const x = at(inputs, 0);
    if (before < 0 || after < 0)
      throw new GraphError(`pad: ${before} and ${after} must not be negative (${x})`);
    const most = at(x.shape, axis) - 1;
    if (mode === "reflect" && Math.max(before, after) > most) {
      throw new GraphError(
        `pad: reflect can add at most ${most} on a side of dimension ${axis} of ${x}, not ${before} and ${after}`,
      );
    }
    return { dtype: x.dtype, shape: x.shape.map((dim, i) => (i === axis ? before + dim + after : dim)) };
  },
  lower: (emit, [x], { attributes: { axis, before, after, mode }, inputs }) => {
    const { rank, dtype } = at(inputs, 0);
    const pads = Array.from({ length: 2 * rank }, (_, i) =>
      i === axis ? before : i === axis + rank ? after : 0,
    );
    const value = mode === "zero" ? [emit.scalar(dtype, 0)] : [];
    return emit.node("Pad", [x as string, emit.ints(pads), ...value], {
      mode: { string: onnxPadMode[mode] },
    });
  },
  vjp: ({ inputs, attributes }, [g]) => {
    if (!g) return [];
    const { axis, before, after, mode } = attributes;
    const dim = at(at(inputs, 0).shape, axis);
    let result = slice(g, axis, before, before + dim);
    if (mode === "zero") return [result];
    // The copies' cotangents go back to where the copies came from: a mirrored strip, or the edge.
    const gap = mode === "reflect" ? 1 : 0;
    const back = (strip: Tensor): Tensor =>
      gap ? flip(strip, axis) : sum(strip, [axis], { keepDims: true });
    if (before > 0) {
      const strip = back(slice(g, axis, 0, before));
      result = add(result, pad(strip, { axis, before: gap, after: dim - gap - at(strip.shape, axis) }));
    }
    if (after > 0) {
      const strip = back(slice(g, axis, before + dim));
      result = add(result, pad(strip, { axis, before: dim - gap - at(strip.shape, axis), after: gap }));
    }
    return [result];
  },
};

/** `x` with `before` and `after` elements added along one axis: zeros, its mirror image, or its edge. */
export function pad(x: Tensor, { axis, before, after, mode = "zero" }: PadOptions): Tensor {
  if (before === 0 && after === 0) return x;
  return applyOne(padOperator, [x], { axis: normalizeAxis("pad", axis, x.rank), before, after, mode });
}

const flipOperator: Operator<{ readonly axis: number }> = {
  name: "flip",
  infer: (inputs) => at(inputs, 0),
  lower: (emit, [x], { attributes: { axis } }) =>
    emit.node("Slice", [
      x as string,
      emit.ints([-1]),
      emit.ints([-(2 ** 31)]),
      emit.ints([axis]),
      emit.ints([-1]),
    ]),
  vjp: ({ attributes: { axis } }, [g]) => [g && flip(g, axis)],
};

/** `x` in reverse order along one axis. */
export function flip(x: Tensor, axis: number): Tensor {
  return applyOne(flipOperator, [x], { axis: normalizeAxis("flip", axis, x.rank) });
}
