/** @file Elements and slices picked by integer indices, and their transposes, which add to the picked places. */

import { GraphError, showShape } from "../errors.js";
import { onnxTypeCode } from "../onnx/emitter.js";
import { normalizeAxis, sameShape, sizeOf } from "../shape.js";
import { applyOne, at, type Operator, requireRank, requireSameDType, type Tensor } from "../tensor.js";
import { add } from "./elementwise.js";
import { broadcastTo } from "./reduce.js";
import { reshape } from "./reshape.js";
import { constant, scalar } from "./source.js";

interface AxisAttributes {
  readonly axis: number;
}

function requireIndices(operator: string, indices: Tensor): void {
  if (indices.dtype !== "int64" && indices.dtype !== "int32") {
    throw new GraphError(`${operator}: indices must be int64 or int32, got ${indices}; cast them`);
  }
}

const gatherOperator: Operator<AxisAttributes> = {
  name: "gather",
  infer: (inputs, { axis }) => {
    const [x, indices] = [at(inputs, 0), at(inputs, 1)];
    requireIndices("gather", indices);
    return {
      dtype: x.dtype,
      shape: [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)],
    };
  },
  lower: (emit, inputs, { attributes }) => emit.node("Gather", inputs, { axis: { int: attributes.axis } }),
  vjp: ({ inputs, attributes: { axis } }, [g]) => {
    if (!g) return [];
    const [x, indices] = [at(inputs, 0), at(inputs, 1)];
    const dim = at(x.shape, axis);
    const lead = sizeOf(x.shape.slice(0, axis));
    const starts = constant(
      Array.from({ length: lead }, (_, i) => i * dim),
      [lead, 1],
      indices.dtype,
    );
    const rows = reshape(add(starts, reshape(indices, [1, indices.size])), [lead * indices.size]);
    const rest = sizeOf(x.shape.slice(axis + 1));
    return [reshape(scatterRows(rows, reshape(g, [rows.size, rest]), lead * dim), x.shape)];
  },
};

/**
 * The slices of `x` at `indices` along one axis, as `torch.index_select` with indices of any rank.
 * @param indices int64 or int32, each in [0, x.shape[axis]).
 * @returns `x`'s shape with the dimension `axis` replaced by the shape of `indices`.
 */
export function gather(x: Tensor, axis: number, indices: Tensor): Tensor {
  return applyOne(gatherOperator, [x, indices], { axis: normalizeAxis("gather", axis, x.rank) });
}

const scatterRowsOperator: Operator<{ readonly rows: number }> = {
  name: "scatterRows",
  infer: (inputs, { rows }) => {
    const [indices, updates] = [at(inputs, 0), at(inputs, 1)];
    requireIndices("scatterRows", indices);
    requireRank("scatterRows", indices, 1);
    requireRank("scatterRows", updates, 2);
    if (indices.size !== updates.shape[0]) {
      throw new GraphError(`scatterRows: ${indices.size} indices for ${updates}; give one index per row`);
    }
    return { dtype: updates.dtype, shape: [rows, at(updates.shape, 1)] };
  },
  lower: (emit, [indices, updates], { inputs, outputs }) => {
    const places = at(inputs, 0);
    const wide =
      places.dtype === "int64"
        ? (indices as string)
        : emit.node("Cast", [indices as string], { to: { int: onnxTypeCode.int64 } });
    const column = emit.node("Reshape", [wide, emit.shape([places.size, 1])]);
    const result = at(outputs, 0);
    const zeros = emit.node("Expand", [emit.scalar(result.dtype, 0), emit.shape(result.shape)]);
    return emit.node("ScatterND", [zeros, column, updates as string], { reduction: { string: "add" } });
  },
  vjp: ({ inputs }, [g]) => [undefined, g && gather(g, 0, at(inputs, 0))],
};

/**
 * Zeros `[rows, D]` to whose rows `indices` (`[N]`) the rows of `updates` (`[N, D]`) are added; an index may repeat.
 * The transpose of `gather` along axis 0.
 */
export function scatterRows(indices: Tensor, updates: Tensor, rows: number): Tensor {
  return applyOne(scatterRowsOperator, [indices, updates], { rows });
}

/** @throws GraphError unless `indices` has the rank of `x` and its dimensions outside `axis`. */
function requireAligned(operator: string, x: Tensor, axis: number, indices: Tensor): void {
  requireIndices(operator, indices);
  if (indices.rank !== x.rank || indices.shape.some((dim, i) => i !== axis && dim !== x.shape[i])) {
    throw new GraphError(
      `${operator}: the shape of indices ${showShape(indices.shape)} must be that of ${x} outside axis ${axis}; ` +
        "broadcast them, or use gather to pick whole slices",
    );
  }
}

const gatherElementsOperator: Operator<AxisAttributes> = {
  name: "gatherElements",
  infer: (inputs, { axis }) => {
    const [x, indices] = [at(inputs, 0), at(inputs, 1)];
    requireAligned("gatherElements", x, axis, indices);
    return { dtype: x.dtype, shape: indices.shape };
  },
  lower: (emit, inputs, { attributes }) =>
    emit.node("GatherElements", inputs, { axis: { int: attributes.axis } }),
  vjp: ({ inputs, attributes: { axis } }, [g]) => {
    if (!g) return [];
    const [x, indices] = [at(inputs, 0), at(inputs, 1)];
    return [scatterAdd(broadcastTo(scalar(0, g.dtype), x.shape), axis, indices, g)];
  },
};

/**
 * `result[…, i, …] = x[…, indices[…, i, …], …]` along one axis, as `torch.gather`.
 * @param indices int64 or int32, of `x`'s shape outside `axis`, each in [0, x.shape[axis]).
 */
export function gatherElements(x: Tensor, axis: number, indices: Tensor): Tensor {
  const place = normalizeAxis("gatherElements", axis, x.rank);
  return applyOne(gatherElementsOperator, [x, indices], { axis: place });
}

export interface ScatterOptions {
  /** `none` replaces elements (each place at most once), `add` adds to them (default `none`). */
  readonly reduction?: "none" | "add";
}

const scatterElementsOperator: Operator<AxisAttributes & Required<ScatterOptions>> = {
  name: "scatterElements",
  infer: (inputs, { axis }) => {
    const [x, indices, updates] = [at(inputs, 0), at(inputs, 1), at(inputs, 2)];
    requireAligned("scatterElements", x, axis, indices);
    requireSameDType("scatterElements", x, updates);
    if (!sameShape(indices.shape, updates.shape)) {
      throw new GraphError(`scatterElements: indices ${indices} and updates ${updates} differ in shape`);
    }
    return x;
  },
  lower: (emit, inputs, { attributes: { axis, reduction } }) =>
    emit.node("ScatterElements", inputs, { axis: { int: axis }, reduction: { string: reduction } }),
  vjp: ({ inputs, attributes: { axis, reduction } }, [g]) => {
    if (!g) return [];
    const indices = at(inputs, 1);
    const kept = () => scatterElements(g, axis, indices, broadcastTo(scalar(0, g.dtype), indices.shape));
    return [reduction === "add" ? g : kept(), undefined, gatherElements(g, axis, indices)];
  },
};

/**
 * `x` with `updates` written or added at `[…, indices[…, i, …], …]` along one axis, as `torch.scatter`.
 * @param indices int64 or int32, of `x`'s shape outside `axis`. @param updates Of the shape of `indices`.
 */
export function scatterElements(
  x: Tensor,
  axis: number,
  indices: Tensor,
  updates: Tensor,
  { reduction = "none" }: ScatterOptions = {},
): Tensor {
  const place = normalizeAxis("scatterElements", axis, x.rank);
  return applyOne(scatterElementsOperator, [x, indices, updates], { axis: place, reduction });
}

/** `x` with `updates` added at `indices` along one axis, as `torch.scatter_add`; an index may repeat. */
export function scatterAdd(x: Tensor, axis: number, indices: Tensor, updates: Tensor): Tensor {
  return scatterElements(x, axis, indices, updates, { reduction: "add" });
}
