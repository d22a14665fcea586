/** @file Dense row-major matrices on the host: what extracted features are. */

/** `[rows, columns]`, row-major. */
export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float32Array;
}

/** @throws RangeError when the data does not fill the shape. */
export function matrix(rows: number, columns: number, data: Float32Array): Matrix {
  if (data.length !== rows * columns) {
    throw new RangeError(`${data.length} values do not fill a matrix [${rows}, ${columns}]`);
  }
  return { rows, columns, data };
}

/** Row `i`, a view. */
export function rowOf({ columns, data }: Matrix, i: number): Float32Array {
  return data.subarray(i * columns, (i + 1) * columns);
}

/** Rows `from` to `to` (exclusive), a view. */
export function rowsOf({ columns, data }: Matrix, from: number, to: number): Matrix {
  return { rows: to - from, columns, data: data.subarray(from * columns, to * columns) };
}

/** Matrices of equally many rows side by side. @throws RangeError when the numbers of rows differ. */
export function besides(...parts: readonly Matrix[]): Matrix {
  const rows = parts[0]?.rows ?? 0;
  const columns = parts.reduce((total, part) => total + part.columns, 0);
  const data = new Float32Array(rows * columns);
  let left = 0;
  for (const part of parts) {
    if (part.rows !== rows)
      throw new RangeError(`matrices of ${rows} and ${part.rows} rows do not stand side by side`);
    for (let i = 0; i < rows; i++) data.set(rowOf(part, i), i * columns + left);
    left += part.columns;
  }
  return { rows, columns, data };
}

/** Matrices of equally many columns one below the other. @throws RangeError when they differ. */
export function below(parts: readonly Matrix[]): Matrix {
  const columns = parts[0]?.columns ?? 0;
  const rows = parts.reduce((total, part) => total + part.rows, 0);
  const data = new Float32Array(rows * columns);
  let first = 0;
  for (const part of parts) {
    if (part.columns !== columns) {
      throw new RangeError(
        `matrices of ${columns} and ${part.columns} columns do not stand one below the other`,
      );
    }
    data.set(part.data, first * columns);
    first += part.rows;
  }
  return matrix(rows, columns, data);
}

/** Mean and standard deviation of each column. */
export interface ColumnMoments {
  readonly mean: Float64Array;
  /** Population standard deviation. */
  readonly std: Float64Array;
}

export function columnMoments({ rows, columns, data }: Matrix): ColumnMoments {
  const mean = new Float64Array(columns);
  const std = new Float64Array(columns);
  for (let i = 0; i < data.length; i++) {
    const column = i % columns;
    mean[column] = (mean[column] as number) + (data[i] as number) / rows;
  }
  for (let i = 0; i < data.length; i++) {
    const column = i % columns;
    const centred = (data[i] as number) - (mean[column] as number);
    std[column] = (std[column] as number) + centred ** 2 / rows;
  }
  return { mean, std: std.map(Math.sqrt) };
}

/** (x - mean) / std by column; a column that hardly varies becomes zeros. */
export function standardized({ rows, columns, data }: Matrix, { mean, std }: ColumnMoments): Matrix {
  const scale = std.map((deviation, column) =>
    deviation > 1e-6 * (1 + Math.abs(mean[column] as number)) ? 1 / deviation : 0,
  );
  const result = data.map((value, i) => {
    const column = i % columns;
    return (value - (mean[column] as number)) * (scale[column] as number);
  });
  return { rows, columns, data: result };
}
