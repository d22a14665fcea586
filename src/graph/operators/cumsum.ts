/** @file Running sums. */

import { normalizeAxis } from "../shape.js";
import { applyOne, at, type Operator, type Tensor } from "../tensor.js";

export interface CumsumOptions {
  /** Leave each element out of its own sum (default false). */
  readonly exclusive?: boolean;
  /** Sum from the end (default false). */
  readonly reverse?: boolean;
}

const cumsumOperator: Operator<Required<CumsumOptions> & { readonly axis: number }> = {
  name: "cumsum",
  infer: (inputs) => at(inputs, 0),
  lower: (emit, [x], { attributes: { axis, exclusive, reverse } }) =>
    emit.node("CumSum", [x as string, emit.scalar("int64", axis)], {
      exclusive: { int: exclusive ? 1 : 0 },
      reverse: { int: reverse ? 1 : 0 },
    }),
  vjp: ({ attributes: { axis, exclusive, reverse } }, [g]) => [
    g && cumsum(g, axis, { exclusive, reverse: !reverse }),
  ],
};

/** The sum of the elements up to each one along `axis`, as `torch.cumsum`. */
export function cumsum(
  x: Tensor,
  axis: number,
  { exclusive = false, reverse = false }: CumsumOptions = {},
): Tensor {
  return applyOne(cumsumOperator, [x], { axis: normalizeAxis("cumsum", axis, x.rank), exclusive, reverse });
}
