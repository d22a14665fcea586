/** @file Arithmetic on static shapes. */

import { GraphError, showShape } from "./errors.js";

export type Shape = readonly number[];

export function sizeOf(shape: Shape): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, i) => dim === b[i]);
}

/** NumPy broadcasting of two shapes. @throws GraphError when a pair of dimensions differs and neither is 1. */
export function broadcastShapes(operator: string, a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const x = a[i - rank + a.length] ?? 1;
    const y = b[i - rank + b.length] ?? 1;
    if (x !== y && x !== 1 && y !== 1) {
      throw new GraphError(
        `${operator}: shapes ${showShape(a)} and ${showShape(b)} do not broadcast (${x} against ${y}); ` +
          "reshape one of them so that dimensions match or are 1",
      );
    }
    return x === 1 ? y : x;
  });
}

/** `axis` counted from the front. @throws GraphError when it is outside [-rank, rank). */
export function normalizeAxis(operator: string, axis: number, rank: number): number {
  const normal = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(normal) || normal < 0 || normal >= rank) {
    throw new GraphError(`${operator}: axis ${axis} is outside a tensor of rank ${rank}`);
  }
  return normal;
}

/** Sorted, distinct axes counted from the front; all axes when none are given. */
export function normalizeAxes(operator: string, axes: readonly number[] | undefined, rank: number): number[] {
  if (axes === undefined) return Array.from({ length: rank }, (_, i) => i);
  const normal = axes.map((axis) => normalizeAxis(operator, axis, rank));
  if (new Set(normal).size !== normal.length) {
    throw new GraphError(`${operator}: axes [${axes.join(", ")}] name a dimension twice`);
  }
  return normal.sort((a, b) => a - b);
}
