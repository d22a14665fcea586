/** @file Features of named images, and how they are written. */

/** Some images' features. */
export interface FeatureRows {
  readonly names: readonly string[];
  /** Class of each image, where the images have classes. */
  readonly labels?: readonly string[];
  /** `[names.length, dim]`, row-major. */
  readonly data: Float32Array;
}

export interface FeatureTable extends FeatureRows {
  readonly dim: number;
}

export interface FeatureWriterOptions {
  /** The most rows there will be. */
  readonly count: number;
  readonly dim: number;
  /** Whether rows have labels. */
  readonly labelled: boolean;
}

/** Writes features row by row. What was there before stays until it is closed. */
export interface FeatureWriter {
  /** The files that closing leaves, by what they hold. */
  readonly files: Readonly<Record<string, string>>;
  append(rows: FeatureRows): Promise<void>;
  close(): Promise<void>;
  /** Gives up. */
  abort(): Promise<void>;
}

/** A file of features that cannot be written or read; the message names it and says what to do. */
export class FeatureFileError extends Error {
  override readonly name = "FeatureFileError";

  constructor(path: string, message: string, options?: ErrorOptions) {
    super(`${path}: ${message}`, options);
  }
}
