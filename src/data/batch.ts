/** @file What a loader hands over. */

/** One batch; its buffers belong to the receiver and can be transferred. */
export interface Batch {
  /** Number of the batch, from 0 at the start of training. */
  readonly step: number;
  readonly epoch: number;
  /** Samples in the batch; the rows of `views` from here on, if any, are padding (zeros). */
  readonly count: number;
  /** Sample of each row, [count]. */
  readonly indices: Int32Array<ArrayBuffer>;
  /** Class of each row, [count]; undefined when the data set has no labels. */
  readonly labels: Int32Array<ArrayBuffer> | undefined;
  /** For each crop spec its views, 8-bit planes [B, 3, size, size]. */
  readonly views: readonly Uint8Array<ArrayBuffer>[];
}
