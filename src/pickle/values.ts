/** @file What a pickle is read into: plain data, and objects that only a list of known names can make. */

import { FormatError } from "./format-error.js";

/**
 * Lists and tuples are arrays, dictionaries are maps (a key may be anything), integers beyond 2^53 are bigints. The same
 * object may occur in several places, also inside itself.
 */
export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleValue[]
  | Map<PickleValue, PickleValue>
  | Set<PickleValue>
  | PickleObject;

/** An object of a class that is not plain data. Subclasses hold what their reader needs. */
export class PickleObject {
  /** Those that the pickle sets. */
  readonly attributes = new Map<PickleValue, PickleValue>();

  /** @param type Python's name: `argparse.Namespace`. */
  constructor(readonly type: string) {}

  /** Takes what the pickle gives as the object's state: (attributes, slots), or the attributes alone. */
  setState(state: PickleValue): void {
    for (const part of Array.isArray(state) ? state : [state]) {
      if (part instanceof Map) for (const [key, value] of part) this.attributes.set(key, value);
    }
  }
}

/** A name that a pickle refers to: a class, a function or a constant. */
export class PickleGlobal extends PickleObject {
  /** @param make What calling it gives; a constant when omitted. */
  constructor(
    type: string,
    readonly make?: (args: readonly PickleValue[]) => PickleValue,
  ) {
    super(type);
  }

  override setState(): never {
    throw new FormatError(`its pickle sets the state of ${this.type}, which has none`);
  }
}
