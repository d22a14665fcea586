/**
 * @file Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
 * SC 2011). A stream is a pure function of its keys, such as (seed, epoch, sample, view), so a draw does not depend
 * on how many loaders ran, in which order, or whether the run was resumed. Imports nothing; every folder may use it.
 */

const M0 = 0xd2511f53;
const M1 = 0xcd9e8d57;
const W0 = 0x9e3779b9;
const W1 = 0xbb67ae85;

/** High 32 bits of the unsigned product of two 32-bit integers. */
function mulHigh(a: number, b: number): number {
  const a0 = a & 0xffff;
  const a1 = a >>> 16;
  const b0 = b & 0xffff;
  const b1 = b >>> 16;
  const low = a0 * b0;
  const mid1 = a1 * b0 + (low >>> 16);
  const mid2 = a0 * b1 + (mid1 & 0xffff);
  return (a1 * b1 + Math.floor(mid1 / 65536) + Math.floor(mid2 / 65536)) >>> 0;
}

/** One Philox4x32-10 block: `counter` (4 words) under `key` (2 words), 4 words of output. */
export function philox4x32(
  counter: readonly [number, number, number, number],
  key: readonly [number, number],
): [number, number, number, number] {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const hi0 = mulHigh(M0, c0);
    const lo0 = Math.imul(M0, c0) >>> 0;
    const hi1 = mulHigh(M1, c2);
    const lo1 = Math.imul(M1, c2) >>> 0;
    [c0, c1, c2, c3] = [(hi1 ^ c1 ^ k0) >>> 0, lo1, (hi0 ^ c3 ^ k1) >>> 0, lo0];
    k0 = (k0 + W0) >>> 0;
    k1 = (k1 + W1) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** A stream of numbers that depends on its keys alone. */
export class RandomStream {
  readonly #key: [number, number];
  readonly #high: [number, number];
  #block = 0;
  #words: [number, number, number, number] = [0, 0, 0, 0];
  #used = 4;
  #spare: number | undefined;

  /** @param key Two 32-bit words. @param high Two 32-bit words that select the stream under this key. */
  constructor(key: readonly [number, number], high: readonly [number, number]) {
    this.#key = [key[0] >>> 0, key[1] >>> 0];
    this.#high = [high[0] >>> 0, high[1] >>> 0];
  }

  /** The next unsigned 32-bit integer. */
  word(): number {
    if (this.#used === 4) {
      const low = this.#block >>> 0;
      const carry = Math.floor(this.#block / 2 ** 32) >>> 0;
      this.#words = philox4x32([low, carry, this.#high[0], this.#high[1]], this.#key);
      this.#block++;
      this.#used = 0;
    }
    return this.#words[this.#used++ as 0 | 1 | 2 | 3];
  }

  /** Uniform in [low, high), with 32 random bits. */
  uniform(low = 0, high = 1): number {
    return low + (high - low) * (this.word() / 2 ** 32);
  }

  /** Uniform integer in [0, below). */
  integer(below: number): number {
    return Math.floor(this.uniform() * below);
  }

  /** True with probability `p`. */
  chance(p: number): boolean {
    return this.uniform() < p;
  }

  /** Standard normal deviate (Box-Muller). */
  normal(): number {
    if (this.#spare !== undefined) {
      const value = this.#spare;
      this.#spare = undefined;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    const angle = 2 * Math.PI * this.uniform();
    this.#spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  /** A permutation of 0..length-1 (Fisher-Yates). */
  permutation(length: number): Uint32Array {
    const order = Uint32Array.from({ length }, (_, i) => i);
    for (let i = length - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      const held = order[i] as number;
      order[i] = order[j] as number;
      order[j] = held;
    }
    return order;
  }
}

/** FNV-1a over a string's UTF-16 code units, 32 bits. */
function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return hash;
}

/**
 * The stream named by `keys` under `seed`, e.g. `randomStream(seed, "crop", epoch, sample, view)`.
 * Keys are folded into Philox's 128 bits by Philox itself, so near-by keys give unrelated streams.
 */
export function randomStream(seed: number, ...keys: readonly (string | number)[]): RandomStream {
  let state = philox4x32([seed >>> 0, Math.floor(seed / 2 ** 32) >>> 0, keys.length, 0x1b873593], [W0, W1]);
  for (const key of keys) {
    const isText = typeof key === "string";
    const low = isText ? hashText(key) : key >>> 0;
    const high = isText ? key.length : Math.floor(key / 2 ** 32) >>> 0;
    state = philox4x32([low, high, state[2], state[3]], [state[0], state[1]]);
  }
  return new RandomStream([state[0], state[1]], [state[2], state[3]]);
}
