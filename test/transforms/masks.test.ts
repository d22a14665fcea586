/** @file Block-wise masks: draw for draw those of an independent implementation; their rules over 10,000 draws. */

import { expect, test } from "vitest";
import { RandomStream, randomStream } from "#src/random.js";
import {
  blockMask,
  type Dinov2MaskOptions,
  dinov2LargestCount,
  dinov2Masks,
  type IbotMaskOptions,
  ibotLargestCount,
  ibotMask,
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
}>("transforms/masks.json");

/** The list of words of make_masks.py in the place of Philox's. */
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
const count = (mask: Uint8Array): number => mask.reduce((sum, bit) => sum + bit, 0);

function hexadecimal(mask: Uint8Array): string {
  return BigInt(`0b${mask.join("")}`)
    .toString(16)
    .padStart(Math.ceil(mask.length / 4), "0");
}

function histogram(masks: readonly Uint8Array[]): Record<string, number> {
  const views: Record<string, number> = {};
  for (const mask of masks) views[count(mask)] = (views[count(mask)] ?? 0) + 1;
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
    const bound = ibotLargestCount(square(side), options);
    expect(Math.max(...drawn.map(count))).toBeLessThanOrEqual(bound);
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
    const bound = dinov2LargestCount(square(side), views, options);
    for (const batch of drawn) {
      expect(batch.filter((mask) => count(mask) > 0).length).toBe(Math.floor(views / 2));
      expect(batch.reduce((sum, mask) => sum + count(mask), 0)).toBeLessThanOrEqual(bound);
    }
  },
);

test("DINOv2's bound is the sum over strata; of a part of the views, that of their largest", () => {
  const options = { probability: 0.5, ratio: [0.1, 0.5], aspect } as const;
  // Bounds 0.2, 0.3, 0.4, 0.5 of 196 patches.
  expect(dinov2LargestCount(square(14), 8, options)).toBe(39 + 58 + 78 + 98);
  expect(dinov2LargestCount(square(14), 8, options, 2)).toBe(98 + 78);
  expect(dinov2LargestCount(square(14), 8, { ...options, probability: 0 })).toBe(0);
});

test("masked patches are a union of rectangles within the bounds, never more than the target", () => {
  const random = randomStream(3, "masks");
  for (let draw = 0; draw < 10_000; draw++) {
    const grid = { rows: 7 + (draw % 5), columns: 9 };
    const target = random.uniform(0, 0.6) * grid.rows * grid.columns;
    const mask = blockMask(random, grid, target, { aspect, smallestBlock: 4, largestBlock: 20 });
    const masked = count(mask);
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
    expect(count(mask)).toBe(19);
    mask.forEach((bit, i) => {
      hits[i] = (hits[i] as number) + bit;
    });
  }
  // Each patch is hit with probability 19 / 64: within five standard deviations (46 of 10,000).
  for (const hit of hits) expect(Math.abs(hit - (10_000 * 19) / 64)).toBeLessThan(230);
});
