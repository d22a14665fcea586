/** @file I-JEPA's masks: exact against NumPy on the same numbers; their rules over 10,000 draws; what is refused. */

import { describe, expect, test } from "vitest";
import { randomStream } from "#src/random.js";
import {
  blockSize,
  type MultiBlockMask,
  type MultiBlockOptions,
  multiBlockBounds,
  multiBlockMasks,
} from "#src/transforms/index.js";
import { Replay, storedMasks } from "./helpers.js";

const official: MultiBlockOptions = {
  targets: 4,
  targetScale: [0.15, 0.2],
  targetAspect: [0.75, 1.5],
  contextScale: [0.85, 1],
  minKeep: 10,
  allowOverlap: false,
};
const square = (side: number) => ({ rows: side, columns: side });

test.each(storedMasks.multiBlock.map((stored, i) => [`${i}, grid ${stored.grid}`, stored] as const))(
  "the blocks that NumPy places: batch %s",
  (_, { grid, options, words, images }) => {
    const ofBatch = new Replay(words);
    const ofImages = images.map((image) => new Replay(image.words));
    const masks = multiBlockMasks(ofBatch, ofImages, square(grid), options);
    expect(masks).toEqual(images.map(({ context, targets }) => ({ context, targets })));
    for (const stream of [ofBatch, ...ofImages]) expect(stream.isUsedUp).toBe(true);
  },
);

test("among these are batches whose images had to give up targets", () => {
  expect(storedMasks.multiBlock.filter(({ relaxed }) => relaxed > 0)).toHaveLength(2);
});

/** The rectangle that ascending patch numbers fill, or undefined. */
function rectangle(patches: readonly number[], columns: number) {
  const rows = patches.map((patch) => Math.floor(patch / columns));
  const places = patches.map((patch) => patch % columns);
  const [top, left] = [Math.min(...rows), Math.min(...places)];
  const [height, width] = [Math.max(...rows) - top + 1, Math.max(...places) - left + 1];
  return new Set(patches).size === height * width && patches.length === height * width
    ? { top, left, height, width }
    : undefined;
}

/** What is wrong with an image's masks, given the size that all targets of its batch have. */
function faults(
  { context, targets }: MultiBlockMask,
  side: number,
  { minKeep }: MultiBlockOptions,
  size: { readonly height: number; readonly width: number } | undefined,
): string[] {
  const last = (patch: number) => patch % side === side - 1 || Math.floor(patch / side) === side - 1;
  const bounds = multiBlockBounds(square(side), { ...official, minKeep });
  const found: string[] = [];
  for (const target of targets) {
    const { height, width } = rectangle(target, side) ?? {};
    if (!size || height !== size.height || width !== size.width) found.push("a target of another shape");
    if (target.some(last)) found.push("a target on the last row or column");
    if (target.length < bounds.smallestTarget || target.length > bounds.largestTarget)
      found.push(`a target of ${target.length} patches`);
  }
  const covered = new Set(targets.flat());
  if (targets.length !== 4) found.push(`${targets.length} targets`);
  if (context.some((patch) => covered.has(patch))) found.push("a context that holds a target");
  if (context.some(last)) found.push("a context on the last row or column");
  if (context.some((patch, k) => k > 0 && patch <= (context[k - 1] as number))) found.push("no raster order");
  if (context.length <= minKeep || context.length > bounds.largestContext)
    found.push(`a context of ${context.length} patches`);
  return found;
}

test.each([
  ["224/16", 14, official],
  ["224/14", 16, official],
  ["32/4", 8, { ...official, minKeep: 4 }],
])(
  "10,000 images of %s: blocks are whole, of one size, off the last row and column, not in the context",
  (_, side, options) => {
    const batch = 40;
    const lengths = new Set<number>();
    for (let i = 0; i < 10_000 / batch; i++) {
      const streams = Array.from({ length: batch }, (_, image) => randomStream(9, "image", i, image));
      const masks = multiBlockMasks(randomStream(9, "batch", i), streams, square(side), options);
      const size = rectangle(masks[0]?.targets[0] ?? [], side);
      expect(masks.flatMap((mask) => faults(mask, side, options, size))).toEqual([]);
      expect(new Set(masks.map(({ context }) => context.length)).size).toBe(1);
      lengths.add(masks[0]?.context.length ?? 0);
    }
    expect(lengths.size).toBeGreaterThan(5);
  },
);

test("a capacity cuts contexts that are all longer, and no others", () => {
  const draw = (capacity?: number) =>
    multiBlockMasks(
      randomStream(1, "batch"),
      [randomStream(1, "image", 0), randomStream(1, "image", 1)],
      square(14),
      official,
      capacity,
    );
  const length = draw()[0]?.context.length ?? 0;
  expect(draw(length)).toEqual(draw());
  expect(draw(169)).toEqual(draw());
  const cut = draw(length - 3);
  expect(cut[1]?.context).toEqual(draw()[1]?.context.slice(0, length - 3));
  expect(cut[1]?.targets).toEqual(draw()[1]?.targets);
});

describe("bounds", () => {
  test.each([14, 16, 8])("hold for 100,000 sizes and are met: grid %i", (side) => {
    const grid = square(side);
    const { smallestTarget, largestTarget } = multiBlockBounds(grid, { ...official, minKeep: 0 });
    const areas = Array.from({ length: 100_001 }, (_, i) => {
      const { rows, columns } = blockSize(grid, official.targetScale, official.targetAspect, i / 100_000);
      return rows * columns;
    });
    const [least, most] = areas.reduce(([a, b], x) => [Math.min(a, x), Math.max(b, x)], [
      Number.POSITIVE_INFINITY,
      0,
    ] as [number, number]);
    expect(least).toBeGreaterThanOrEqual(smallestTarget);
    expect(most).toBeLessThanOrEqual(largestTarget);
    // Not far off: what is reserved beyond need is computed for nothing.
    expect(largestTarget - most).toBeLessThanOrEqual(4);
    expect(least - smallestTarget).toBeLessThanOrEqual(4);
  });

  test("blocks that would never be accepted are refused with what would be", () => {
    expect(() => multiBlockBounds(square(8), official)).toThrow(
      /a target block can have 9 of the 8x8 patches \(scale 0.15 to 0.2\), but one with 10 \("minKeep"\) or fewer is never accepted; use minKeep 8 or less/,
    );
    expect(() => multiBlockBounds(square(8), { ...official, minKeep: 8 })).not.toThrow();
    expect(() => multiBlockBounds(square(14), { ...official, contextScale: [0.01, 1] })).toThrow(
      /a context block/,
    );
  });
});
