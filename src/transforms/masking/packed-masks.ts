/**
 * @file Masks of a batch's views as the lists of their masked patches, of one length in every batch: compiled graphs
 * have static shapes, and what is only needed of masked patches is computed for those listed.
 */

/** Masks, and the patches that they hide. Numbers are row-major. */
export interface PackedMasks {
  /** `[views, patches]`, 1 where masked. */
  readonly mask: number[];
  /** `[capacity]`: places in `mask`, view by view; 0 behind the last. */
  readonly rows: number[];
  /** `[capacity]`: 1 over the number of masked patches of the same view; 0 behind the last. */
  readonly weight: number[];
}

/** Masked patches of a mask. */
export function maskedCount(mask: Uint8Array): number {
  return mask.reduce((sum, bit) => sum + bit, 0);
}

/** @throws RangeError when more patches are masked than `capacity`. */
export function packMasks(masks: readonly Uint8Array[], capacity: number): PackedMasks {
  const rows: number[] = [];
  const weight: number[] = [];
  let first = 0;
  for (const mask of masks) {
    const share = 1 / maskedCount(mask);
    mask.forEach((bit, patch) => {
      if (bit === 0) return;
      rows.push(first + patch);
      weight.push(share);
    });
    first += mask.length;
  }
  if (rows.length > capacity) {
    throw new RangeError(`${rows.length} patches are masked, and there is room for ${capacity}`);
  }
  const padding = Array.from({ length: capacity - rows.length }, () => 0);
  return {
    mask: masks.flatMap((mask) => [...mask]),
    rows: [...rows, ...padding],
    weight: [...weight, ...padding],
  };
}
