/** @file Position embeddings: interpolation of learned ones to other grids, and fixed sine-cosine ones. */

import { constant, GraphError, matmul, reshape, type Tensor } from "../graph/index.js";
import { bicubicMatrix } from "./bicubic.js";

/** Rows and columns of patches. */
export interface Grid {
  readonly rows: number;
  readonly columns: number;
}

export interface PositionInterpolation {
  /**
   * Added to the target's rows and columns when the scale factor is computed; the factor, not the sizes, then maps
   * coordinates. 0: the sizes do.
   */
  readonly offset: number;
  /** Widen the bicubic kernel when the grid shrinks. */
  readonly antialias: boolean;
}

/** How the published models resize their position embeddings; checkpoints are only right with their own way. */
export const positionInterpolations = {
  /** DINO, iBOT and DINOv2 (their `interpolate_pos_encoding`). */
  dino: { offset: 0.1, antialias: false },
  /** DINOv2 with registers. */
  dinov2Registers: { offset: 0, antialias: true },
  /** ViT, DINOv2 and I-JEPA in transformers. */
  transformers: { offset: 0, antialias: false },
  /** timm, when weights are loaded. */
  timm: { offset: 0, antialias: true },
} as const satisfies Record<string, PositionInterpolation>;

/**
 * Bicubic interpolation of a grid of embeddings, as two matrix products along the axes: exact and differentiable.
 * @param positions `[rows * columns, D]` in raster order @returns `[rows' * columns', D]`
 * @throws GraphError when `positions` does not have the rows of `from`.
 */
export function interpolatePositions(
  positions: Tensor,
  from: Grid,
  to: Grid,
  { offset, antialias }: PositionInterpolation,
): Tensor {
  const [count, features] = positions.shape as [number, number];
  if (positions.rank !== 2 || count !== from.rows * from.columns) {
    throw new GraphError(
      `interpolatePositions: ${positions} does not hold one row for each of ${from.rows}x${from.columns} patches`,
    );
  }
  if (from.rows === to.rows && from.columns === to.columns) return positions;
  const along = (size: number, target: number) =>
    constant(
      bicubicMatrix(size, target, size / (target + offset), antialias),
      [target, size],
      positions.dtype,
    );
  const wide = matmul(
    along(from.columns, to.columns),
    reshape(positions, [from.rows, from.columns, features]),
  );
  const tall = matmul(along(from.rows, to.rows), reshape(wide, [from.rows, to.columns * features]));
  return reshape(tall, [to.rows * to.columns, features]);
}

/** Which coordinate the first half of a sine-cosine embedding holds: MAE and I-JEPA the column, MoCo v3 the row. */
export type SinCosOrder = "columnFirst" | "rowFirst";

/**
 * Fixed 2-D sine-cosine embeddings, `[rows * columns, D]` row-major: a half for each coordinate, each half
 * [sin(c w), cos(c w)] with w_i = 10000^(-i / (D / 4)) (MAE, util/pos_embed.py; MoCo v3, vits.py).
 * @throws RangeError unless D is a multiple of 4.
 */
export function sinCosPositions({ rows, columns }: Grid, features: number, order: SinCosOrder): Float64Array {
  if (features % 4 !== 0) {
    throw new RangeError(`sine-cosine position embeddings need a multiple of 4 features, got ${features}`);
  }
  const quarter = features / 4;
  const frequencies = Array.from({ length: quarter }, (_, i) => 10000 ** (-i / quarter));
  const values = new Float64Array(rows * columns * features);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const start = (row * columns + column) * features;
      const coordinates = order === "columnFirst" ? [column, row] : [row, column];
      coordinates.forEach((coordinate, half) => {
        frequencies.forEach((frequency, i) => {
          const place = start + half * 2 * quarter + i;
          values[place] = Math.sin(coordinate * frequency);
          values[place + quarter] = Math.cos(coordinate * frequency);
        });
      });
    }
  }
  return values;
}
