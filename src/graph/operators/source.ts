/** @file Where values come from: named inputs and constants. */

import { type DType, type HostArray, type HostArrays, hostArray } from "../dtype.js";
import { GraphError, showShape } from "../errors.js";
import { type Shape, sizeOf } from "../shape.js";
import { applyOne, type Operator, Tensor } from "../tensor.js";

interface InputAttributes {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape;
}

const inputOperator: Operator<InputAttributes> = {
  name: "input",
  infer: (_, { dtype, shape }) => ({ dtype, shape }),
  lower: (_emit, _inputs, { attributes }) => attributes.name,
  vjp: () => [],
};

/** A named value that is fed when the graph runs. */
export function input(name: string, shape: Shape, dtype: DType = "float32"): Tensor {
  for (const dim of shape) {
    if (!Number.isInteger(dim) || dim < 0) {
      throw new GraphError(
        `input "${name}": shape ${showShape(shape)} has a dimension that is no whole number`,
      );
    }
  }
  return applyOne(inputOperator, [], { name, dtype, shape });
}

/** The name that an input was made with. @throws GraphError when `tensor` is computed. */
export function inputName(tensor: Tensor): string {
  const { operator, attributes } = tensor.producer;
  if (operator !== "input")
    throw new GraphError(`${tensor} is computed by ${operator}; an input was expected`);
  return (attributes as InputAttributes).name;
}

export interface ConstantAttributes {
  readonly dtype: DType;
  readonly shape: Shape;
  readonly data: HostArray;
}

const constantOperator: Operator<ConstantAttributes> = {
  name: "constant",
  infer: (_, { dtype, shape }) => ({ dtype, shape }),
  lower: (emit, _, { attributes: { dtype, shape, data } }) => emit.constant(dtype, shape, data),
  vjp: () => [],
};

/** A tensor of known values, row-major. An array of the dtype's own type is kept, not copied: it must not change. */
export function constant(values: ArrayLike<number>, shape: Shape, dtype: DType = "float32"): Tensor {
  if (values.length !== sizeOf(shape)) {
    throw new GraphError(`constant: ${values.length} values do not fill the shape ${showShape(shape)}`);
  }
  return applyOne(constantOperator, [], {
    dtype,
    shape,
    data: kept(dtype, values) ?? hostArray(dtype, values),
  });
}

/** Values that are stored as the dtype stores them; bit patterns of float16 and bytes of bool look like numbers. */
function kept(dtype: DType, values: ArrayLike<number>): HostArray | undefined {
  if (dtype === "float32" && values instanceof Float32Array) return values;
  return dtype === "float64" && values instanceof Float64Array ? values : undefined;
}

/** A tensor of values as they are stored: float16 as its bit patterns, int64 as bigints. */
export function storedConstant<D extends DType>(data: HostArrays[D], shape: Shape, dtype: D): Tensor {
  if (data.length !== sizeOf(shape)) {
    throw new GraphError(`constant: ${data.length} values do not fill the shape ${showShape(shape)}`);
  }
  return applyOne(constantOperator, [], { dtype, shape, data });
}

/** A constant of rank 0. */
export function scalar(value: number, dtype: DType = "float32"): Tensor {
  return constant([value], [], dtype);
}

/** The contents of a constant; `undefined` for a tensor that is computed or fed. */
export function constantOf(tensor: Tensor): ConstantAttributes | undefined {
  const { operator, attributes } = tensor.producer;
  return operator === "constant" ? (attributes as ConstantAttributes) : undefined;
}

/** A tensor, or a number that takes the dtype of the operand beside it. */
export type Operand = Tensor | number;

/** `operand` as a tensor of `dtype` when it is a number. */
export function toTensor(operand: Operand, dtype: DType): Tensor {
  return operand instanceof Tensor ? operand : scalar(operand, dtype);
}
