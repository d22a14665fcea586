/** @file A lock between threads of one process. */

/** Waiting blocks the thread: for worker threads only. */
export class ThreadLock {
  readonly #state: Int32Array;

  /** @param memory Four shared bytes, zero at first; the same for all who use the lock. */
  constructor(memory: SharedArrayBuffer) {
    this.#state = new Int32Array(memory);
  }

  /** Does `work` while no other holder of the lock does. */
  async hold<T>(work: () => Promise<T>): Promise<T> {
    while (Atomics.compareExchange(this.#state, 0, 0, 1) !== 0) Atomics.wait(this.#state, 0, 1);
    try {
      return await work();
    } finally {
      Atomics.store(this.#state, 0, 0);
      Atomics.notify(this.#state, 0, 1);
    }
  }
}
