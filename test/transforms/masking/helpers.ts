/** @file Stored masks, and the random numbers that they came from. */

import { RandomStream } from "#src/random.js";
import type { MultiBlockOptions } from "#src/transforms/index.js";
import { readFixture } from "../helpers.js";

interface StoredMasks {
  readonly random: readonly {
    readonly patches: number;
    readonly ratio: number;
    readonly words: readonly number[];
    readonly kept: readonly number[];
  }[];
  readonly multiBlock: readonly {
    readonly grid: number;
    readonly options: MultiBlockOptions;
    readonly words: readonly number[];
    /** Images for which targets were given up. */
    readonly relaxed: number;
    readonly images: readonly {
      readonly words: readonly number[];
      readonly context: readonly number[];
      readonly targets: readonly (readonly number[])[];
    }[];
  }[];
}

/** Made by test/fixtures/transforms/make_masks.py. */
export const storedMasks = readFixture<StoredMasks>("masks.json");

/** A stream that gives known words, and no more. */
export class Replay extends RandomStream {
  readonly #words: Iterator<number>;

  constructor(words: readonly number[]) {
    super([0, 0], [0, 0]);
    this.#words = words[Symbol.iterator]();
  }

  override word(): number {
    const { value, done } = this.#words.next();
    if (done) throw new Error("more random numbers are drawn than were stored");
    return value;
  }

  get isUsedUp(): boolean {
    return this.#words.next().done === true;
  }
}
