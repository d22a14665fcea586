/** @file The error raised while a graph is traced. */

/** A graph was traced with operands that do not fit; thrown at the caller's line, before anything runs. */
export class GraphError extends Error {
  override readonly name = "GraphError";
}

/** `[2, 3]`, or `scalar` for rank 0. */
export function showShape(shape: readonly number[]): string {
  return shape.length === 0 ? "scalar" : `[${shape.join(", ")}]`;
}
