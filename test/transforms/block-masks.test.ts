/** @file Block-wise masks: draw for draw those of an independent implementation; their rules over 10,000 draws. */

import { expect, test } from "vitest";
import { RandomStream, randomStream } from "#src/random.js";
import {
  blockMask,
  type Dinov2MaskOptions,
  dinov2Capacity,
  dinov2Masks,
  type IbotMaskOptions,
  ibotCapacity,
  ibotMask,
  ibotMasks,
  maskedCount,
  packMasks,
} from "#src/transforms/index.js";
import { readFixture } from "../nn/helpers.js";

interface Stored {
  readonly side: number;
  readonly seed: number;
  readonly draws: number;
  /** Views by the number of their masked patches. */
  readonly histogram: Readonly<Record<string, number>>;
  readonly last: string;
}

const stored = readFixture<{
  readonly ibot: (Stored & Pick<IbotMaskOptions, "ratios"> & { spreads: number[]; masks: string[] })[];
  readonly dinov2: (Stored &
    Pick<Dinov2MaskOptions, "probability" | "ratio"> & { views: number; masks: string[][] })[];
}>("transforms/block_masks.json");

/** The list of words of make_block_masks.py in the place of Philox's. */
class Words extends RandomStream {
  #i = 0;
  constructor(private readonly seed: number) {
    super([0, 0], [0, 0]);
  }
  override word(): number {
    let x = (this.seed + Math.imul(this.#i++, 0x9e3779b9)) >>> 0;
    x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
    x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
    return (x ^ (x >>> 15)) >>> 0;
  }
}

const aspect = [0.3, 1 / 0.3] as const;
const square = (side: number) => ({ rows: side, columns: side });

function hexadecimal(mask: Uint8Array): string {
  return BigInt(`0b${mask.join("")}`)
    .toString(16)
    .padStart(Math.ceil(mask.length / 4), "0");
}

function histogram(masks: readonly Uint8Array[]): Record<string, number> {
  const views: Record<string, number> = {};
  for (const mask of masks) views[maskedCount(mask)] = (views[maskedCount(mask)] ?? 0) + 1;
  return views;
}

test.each(stored.ibot)(
  "iBOT: $draws masks on $side x $side patches, ratios $ratios, are those of the oracle",
  ({ side, seed, draws, ratios, spreads, masks, last, histogram: expected }) => {
    const words = new Words(seed);
    const options = { ratios, ratioSpreads: spreads, aspect, shape: "block" } as const;
    const drawn = Array.from({ length: draws }, () => ibotMask(words, square(side), options));
    expect(drawn.slice(0, masks.length).map(hexadecimal)).toEqual(masks);
    expect(hexadecimal(drawn.at(-1) as Uint8Array)).toBe(last);
    expect(histogram(drawn)).toEqual(expected);
    const bound = ibotCapacity(square(side), 1, options);
    expect(Math.max(...drawn.map(maskedCount))).toBeLessThanOrEqual(bound);
  },
);

test.each(stored.dinov2)(
  "DINOv2: $draws batches of $views views on $side x $side patches are those of the oracle",
  ({ side, seed, draws, views, probability, ratio, masks, last, histogram: expected }) => {
    const words = new Words(seed);
    const options = { probability, ratio, aspect };
    const drawn = Array.from({ length: draws }, () => dinov2Masks(words, square(side), views, options));
    expect(drawn.slice(0, masks.length).map((batch) => batch.map(hexadecimal))).toEqual(masks);
    expect(hexadecimal(drawn.at(-1)?.at(-1) as Uint8Array)).toBe(last);
    expect(histogram(drawn.flat())).toEqual(expected);
    // Half of the views are masked, and all of them together never more than the bound.
    const bound = dinov2Capacity(square(side), views, options);
    for (const batch of drawn) {
      expect(batch.filter((mask) => maskedCount(mask) > 0).length).toBe(Math.floor(views / 2));
      expect(batch.reduce((sum, mask) => sum + maskedCount(mask), 0)).toBeLessThanOrEqual(bound);
    }
  },
);

test("DINOv2's capacity is the sum over strata", () => {
  const options = { probability: 0.5, ratio: [0.1, 0.5], aspect } as const;
  // Bounds 0.2, 0.3, 0.4, 0.5 of 196 patches.
  expect(dinov2Capacity(square(14), 8, options)).toBe(39 + 58 + 78 + 98);
  expect(dinov2Capacity(square(14), 8, { ...options, probability: 0 })).toBe(0);
});

test("iBOT's capacity is far below the largest sum for many views, and batches are kept within it", () => {
  const options: IbotMaskOptions = { ratios: [0, 0.3], ratioSpreads: [0, 0.2], aspect, shape: "block" };
  expect(ibotCapacity(square(14), 2, options)).toBe(2 * 98);
  // Mean 0.15, variance (0.3² + 0.2² / 3) / 2 - 0.15² a view.
  const deviation = Math.sqrt(256 * ((0.09 + 0.04 / 3) / 2 - 0.0225));
  expect(ibotCapacity(square(14), 256, options)).toBe(Math.ceil(196 * (256 * 0.15 + 5 * deviation)));
  const random = randomStream(5, "masks");
  for (let batch = 0; batch < 50; batch++) {
    const masks = ibotMasks(random, square(8), 16, options);
    expect(masks).toHaveLength(16);
    const total = masks.reduce((sum, mask) => sum + maskedCount(mask), 0);
    expect(total).toBeLessThanOrEqual(ibotCapacity(square(8), 16, options));
  }
  // Without a spread all masks are equally large.
  const few: IbotMaskOptions = { ratios: [0.25], ratioSpreads: [0], aspect, shape: "random" };
  expect(ibotCapacity(square(8), 4, few)).toBe(64);
});

test("packed masks list the masked patches of every view with their share, then nothing", () => {
  const masks = [Uint8Array.of(0, 1, 0, 1), Uint8Array.of(0, 0, 0, 0), Uint8Array.of(1, 1, 0, 1)];
  const { mask, rows, weight } = packMasks(masks, 7);
  expect(mask).toEqual([0, 1, 0, 1, 0, 0, 0, 0, 1, 1, 0, 1]);
  expect(rows).toEqual([1, 3, 8, 9, 11, 0, 0]);
  expect(weight).toEqual([1 / 2, 1 / 2, 1 / 3, 1 / 3, 1 / 3, 0, 0]);
  expect(() => packMasks(masks, 4)).toThrow("5 patches are masked, and there is room for 4");
});

test("masked patches are a union of rectangles within the bounds, never more than the target", () => {
  const random = randomStream(3, "masks");
  for (let draw = 0; draw < 10_000; draw++) {
    const grid = { rows: 7 + (draw % 5), columns: 9 };
    const target = random.uniform(0, 0.6) * grid.rows * grid.columns;
    const mask = blockMask(random, grid, target, { aspect, smallestBlock: 4, largestBlock: 20 });
    const masked = maskedCount(mask);
    expect(masked).toBeLessThanOrEqual(target);
    // Whoever is masked has a neighbour that is, unless one patch alone was asked for: 4 patches make a block.
    if (target >= 8) expect(masked).toBeGreaterThan(0);
  }
});

test("without a block shape, exactly the asked for number of patches anywhere", () => {
  const random = randomStream(4, "masks");
  const options: IbotMaskOptions = { ratios: [0.3], ratioSpreads: [0], aspect, shape: "random" };
  const hits = new Float64Array(64);
  for (let draw = 0; draw < 10_000; draw++) {
    const mask = ibotMask(random, square(8), options);
    expect(maskedCount(mask)).toBe(19);
    mask.forEach((bit, i) => {
      hits[i] = (hits[i] as number) + bit;
    });
  }
  // Each patch is hit with probability 19 / 64: within five standard deviations (46 of 10,000).
  for (const hit of hits) expect(Math.abs(hit - (10_000 * 19) / 64)).toBeLessThan(230);
});
