/** @file Gradient clipping by norm. */

import { add, div, minimum, mul, type Operand, sqrt, square, sum, type Tensor } from "../../graph/index.js";
import { mapValues } from "../../records.js";
import type { Tensors } from "./optimizer.js";

/**
 * What shares one norm: all gradients (PyTorch's `clip_grad_norm_`), each tensor its own (DINO, iBOT), or each
 * submodule, i.e. the tensors whose names start alike up to the first "." (DINOv2).
 */
export type ClipScope = "all" | "tensor" | "module";

export interface Clipped {
  readonly gradients: Record<string, Tensor>;
  /** The norms before clipping, shape [], by tensor or submodule; `all` for the one of all. */
  readonly norms: Record<string, Tensor>;
}

/** Added to the norm in the divisor, as in PyTorch and DINO. */
const EPSILON = 1e-6;

/** Gradients times min(1, maximum / (norm + 1e-6)), the norm taken over each scope. */
export function clipGradients(gradients: Tensors, maximum: Operand, scope: ClipScope = "all"): Clipped {
  const scopeOf = (name: string) =>
    scope === "all" ? "all" : scope === "tensor" ? name : name.split(".", 1).join();
  const squares: Record<string, Tensor> = {};
  for (const [name, gradient] of Object.entries(gradients)) {
    const [key, own] = [scopeOf(name), sum(square(gradient))];
    const others = squares[key];
    squares[key] = others ? add(others, own) : own;
  }
  const norms = mapValues(squares, (total) => sqrt(total));
  const factors = mapValues(norms, (norm) => minimum(div(maximum, add(norm, EPSILON)), 1));
  return {
    gradients: mapValues(gradients, (gradient, name) => mul(gradient, factors[scopeOf(name)] ?? 1)),
    norms,
  };
}
