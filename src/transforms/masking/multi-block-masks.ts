/**
 * @file I-JEPA's masks (Assran et al. 2023, section 3; facebookresearch/ijepa, src/masks/multiblock.py): several target
 * blocks, and one context block from which the targets are cut out.
 *
 * As in the official code, not as one would expect:
 *   - the sizes of the blocks are drawn once for the whole batch, and one number sets both scale and aspect;
 *   - a block never reaches the last row or column, as its sides and its place stay below the grid's;
 *   - all contexts are cut to the shortest of the batch, first patches in raster order first.
 */

import { type RandomStream, randomStream } from "../../random.js";

type Range = readonly [low: number, high: number];

/** Rows and columns, of a grid of patches or of a block in it. */
interface Size {
  readonly rows: number;
  readonly columns: number;
}

export interface MultiBlockOptions {
  /** Target blocks of an image. */
  readonly targets: number;
  /** Share of the image that a target block covers. */
  readonly targetScale: Range;
  /** Rows over columns of a target block. */
  readonly targetAspect: Range;
  /** Share of the image that the (square) context block covers before the targets are cut out. */
  readonly contextScale: Range;
  /** A block with no more patches than this is placed again. */
  readonly minKeep: number;
  /** Whether the targets stay in the context. */
  readonly allowOverlap: boolean;
}

/** One image's masks: numbers of patches in raster order, ascending. */
export interface MultiBlockMask {
  readonly context: readonly number[];
  readonly targets: readonly (readonly number[])[];
}

/** Placements that are tried before one target less is cut out of the context. */
const ATTEMPTS = 20;

/** The size of a block at scale and aspect `low + u (high - low)`, as drawn by u in [0, 1]. */
export function blockSize(grid: Size, scale: Range, aspect: Range, u: number): Size {
  const area = Math.floor(grid.rows * grid.columns * between(scale, u));
  const ratio = between(aspect, u);
  return {
    rows: Math.min(Math.round(Math.sqrt(area * ratio)), grid.rows - 1),
    columns: Math.min(Math.round(Math.sqrt(area / ratio)), grid.columns - 1),
  };
}

function between([low, high]: Range, u: number): number {
  return low + u * (high - low);
}

/** What masks on a grid can come to, in patches. */
export interface MultiBlockBounds {
  readonly smallestTarget: number;
  /** No target block is larger. */
  readonly largestTarget: number;
  readonly smallestContext: number;
  /** No context is larger once targets are cut out. */
  readonly largestContext: number;
}

/**
 * Bounds on the sizes of blocks on a grid.
 * @throws RangeError when no block could be placed that keeps more than `minKeep` patches.
 */
export function multiBlockBounds(grid: Size, options: MultiBlockOptions): MultiBlockBounds {
  const { targetScale, targetAspect, contextScale, minKeep, allowOverlap } = options;
  const [smallestTarget, largestTarget] = areaBounds(grid, targetScale, targetAspect);
  const [smallestContext, largestBlock] = areaBounds(grid, contextScale, [1, 1]);
  const fail = (what: string, scale: Range, area: number): never => {
    throw new RangeError(
      `masks: a ${what} block can have ${area} of the ${grid.rows}x${grid.columns} patches (scale ${scale.join(" to ")}), ` +
        `but one with ${minKeep} ("minKeep") or fewer is never accepted; ` +
        `use minKeep ${Math.max(0, area - 1)} or less, a larger scale, or a smaller patch size`,
    );
  };
  if (smallestTarget <= minKeep) fail("target", targetScale, smallestTarget);
  if (smallestContext <= minKeep) fail("context", contextScale, smallestContext);
  // A context block that always fills all that blocks can reach loses at least one target, unless all are given up.
  const isCovering = smallestContext === (grid.rows - 1) * (grid.columns - 1);
  const isCut = !allowOverlap && isCovering && smallestContext - largestTarget > minKeep;
  return {
    smallestTarget,
    largestTarget,
    smallestContext,
    largestContext: largestBlock - (isCut ? smallestTarget : 0),
  };
}

/** Bounds on a block's area over all u. Scale and aspect grow together, so sides are bounded for each whole area. */
function areaBounds(grid: Size, scale: Range, aspect: Range): [smallest: number, largest: number] {
  const patches = grid.rows * grid.columns;
  const [least, most] = scale.map((share) => Math.floor(patches * share)) as [number, number];
  const bounds: [number, number] = [Number.POSITIVE_INFINITY, 0];
  for (let area = least; area <= most; area++) {
    // The values of u at which the scale gives this area.
    const u = (share: number): number =>
      scale[1] === scale[0] ? 0 : Math.min(1, Math.max(0, (share - scale[0]) / (scale[1] - scale[0])));
    const ratios = [u(area / patches), scale[1] === scale[0] ? 1 : u((area + 1) / patches)].map((at) =>
      between(aspect, at),
    ) as [number, number];
    const side = (count: number, limit: number): number => Math.min(Math.round(Math.sqrt(count)), limit - 1);
    const rows = ratios.map((ratio) => side(area * ratio, grid.rows)) as [number, number];
    const columns = ratios.map((ratio) => side(area / ratio, grid.columns)) as [number, number];
    bounds[0] = Math.min(bounds[0], rows[0] * columns[1]);
    bounds[1] = Math.max(bounds[1], rows[1] * columns[0]);
  }
  return bounds;
}

/** How likely it is, at most, that a batch's contexts are cut to `contextCapacity`. */
const CUT_PROBABILITY = 1e-6;

/** Images that are drawn to estimate it. */
const TRIALS = 1024;

/**
 * How many patches need to be reserved for the contexts of a batch, all of which are as long as its shortest: so many
 * that all of the batch are longer with a probability of 1e-6 only. For a single image that is the longest context,
 * for a batch of 128 half as many.
 */
export function contextCapacity(grid: Size, options: MultiBlockOptions, batch: number): number {
  const { largestContext } = multiBlockBounds(grid, options);
  // The share of images that are longer than the capacity may be this, as a batch needs all of them to be.
  const share = CUT_PROBABILITY ** (1 / batch);
  const rank = Math.ceil((1 - share) * TRIALS);
  if (rank >= TRIALS) return largestContext;
  // Contexts are longest where targets are smallest and the context block is largest.
  const sizes = [0, 1].map((u) => blockSize(grid, options.targetScale, options.targetAspect, u)) as [
    Size,
    Size,
  ];
  const target = sizes[0].rows * sizes[0].columns <= sizes[1].rows * sizes[1].columns ? sizes[0] : sizes[1];
  const context = blockSize(grid, options.contextScale, [1, 1], 1);
  const random = randomStream(0, "context capacity");
  const lengths = Int32Array.from(
    { length: TRIALS },
    () => imageMask(random, grid, target, context, options).context.length,
  ).sort();
  return Math.min(largestContext, lengths[rank] ?? largestContext);
}

/**
 * The masks of a batch.
 * @param random The batch's own stream, which gives the sizes. @param samples A stream for each image: the places.
 * @param capacity Contexts are cut to this many patches if all of the batch are longer.
 * @returns One mask an image; contexts of one length, targets of one length.
 */
export function multiBlockMasks(
  random: RandomStream,
  samples: readonly RandomStream[],
  grid: Size,
  options: MultiBlockOptions,
  capacity = Number.POSITIVE_INFINITY,
): MultiBlockMask[] {
  const target = blockSize(grid, options.targetScale, options.targetAspect, random.uniform());
  const context = blockSize(grid, options.contextScale, [1, 1], random.uniform());
  const masks = samples.map((sample) => imageMask(sample, grid, target, context, options));
  const length = Math.min(capacity, ...masks.map((mask) => mask.context.length));
  return masks.map((mask) => ({ ...mask, context: mask.context.slice(0, length) }));
}

/** One image's masks, its context uncut. */
function imageMask(
  random: RandomStream,
  grid: Size,
  targetSize: Size,
  contextSize: Size,
  { targets: count, minKeep, allowOverlap }: MultiBlockOptions,
): MultiBlockMask {
  const targets = Array.from({ length: count }, () => placedBlock(random, grid, targetSize));
  const forbidden = allowOverlap ? [] : targets.map((target) => new Set(target));
  for (let attempt = 0; ; attempt++) {
    // The last targets are given up first.
    const held = forbidden.slice(0, Math.max(0, forbidden.length - Math.floor(attempt / ATTEMPTS)));
    const block = placedBlock(random, grid, contextSize);
    const context = block.filter((patch) => !held.some((target) => target.has(patch)));
    if (context.length > minKeep || held.length === 0) return { context, targets };
  }
}

/** The patches of a block at a random place. */
function placedBlock(random: RandomStream, grid: Size, { rows, columns }: Size): number[] {
  const top = random.integer(grid.rows - rows);
  const left = random.integer(grid.columns - columns);
  return Array.from(
    { length: rows * columns },
    (_, i) => (top + Math.floor(i / columns)) * grid.columns + left + (i % columns),
  );
}
