/**
 * @file Python pickles without Python: the machine of `pickletools`, protocols 0 to 5, that builds plain data. It has
 * no way to run code: a name that the caller does not know is an error, and a known one is a function of ours.
 */

import type { ByteCursor } from "./byte-cursor.js";
import { FormatError, quoted } from "./format-error.js";
import { decodeLong, decodeUtf8, parseInteger, unescapeString, unescapeUnicode } from "./literals.js";
import { PickleGlobal, PickleObject, type PickleValue } from "./values.js";

/** Operations a pickle may have: some hundred thousand are usual, and each may make an object. */
const MAX_OPERATIONS = 5_000_000;
/** Bytes of strings and arrays inside a pickle, in all. */
const MAX_PAYLOAD_BYTES = 2 ** 30;
const NEWEST_PROTOCOL = 5;

export interface UnpickleOptions {
  /** The meaning of a name; `undefined`: it is unknown, and the pickle is refused. */
  readonly find: (module: string, name: string) => PickleGlobal | undefined;
  /** The meaning of a reference to something outside the pickle (torch: its storages). */
  readonly load?: (reference: PickleValue) => PickleValue;
}

/**
 * Reads one pickle; the cursor then stands behind it.
 * @throws FormatError when it is damaged, too large, or refers to a name that `find` does not know, which it names.
 */
export function unpickle(cursor: ByteCursor, options: UnpickleOptions): PickleValue {
  return new Machine(cursor, options).run();
}

class Machine {
  #stack: PickleValue[] = [];
  /** The stacks below the open marks. */
  readonly #below: PickleValue[][] = [];
  readonly #memo = new Map<number, PickleValue>();
  #payload = 0;

  constructor(
    private readonly cursor: ByteCursor,
    private readonly options: UnpickleOptions,
  ) {}

  run(): PickleValue {
    for (let count = 0; count < MAX_OPERATIONS; count++) {
      const code = this.cursor.byte();
      if (code === 0x2e /* STOP */) return this.#pop();
      const operation = operations.get(code);
      if (!operation) {
        throw new FormatError(
          `its pickle has the unknown operation 0x${code.toString(16).padStart(2, "0")} before byte ${this.cursor.position}`,
        );
      }
      operation(this, this.cursor);
    }
    throw new FormatError(`its pickle has more than ${MAX_OPERATIONS} operations`);
  }

  push(value: PickleValue): void {
    this.#stack.push(value);
  }

  #pop(): PickleValue {
    const value = this.#stack.pop();
    if (value === undefined) throw new FormatError("its pickle takes a value from an empty stack");
    return value;
  }

  pop(): PickleValue {
    return this.#pop();
  }

  top(): PickleValue {
    const value = this.#stack.at(-1);
    if (value === undefined) throw new FormatError("its pickle looks at an empty stack");
    return value;
  }

  mark(): void {
    this.#below.push(this.#stack);
    this.#stack = [];
  }

  /** The values since the last mark, which is removed. */
  sinceMark(): PickleValue[] {
    const below = this.#below.pop();
    if (!below) throw new FormatError("its pickle goes back to a mark that it never made");
    const values = this.#stack;
    this.#stack = below;
    return values;
  }

  /** POP also takes a mark. */
  discard(): void {
    if (this.#stack.length > 0) this.#stack.pop();
    else this.sinceMark();
  }

  remember(index: number | bigint): void {
    this.#memo.set(Number(index), this.top());
  }

  memoize(): void {
    this.#memo.set(this.#memo.size, this.top());
  }

  recall(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) throw new FormatError(`its pickle recalls value ${index}, which it never kept`);
    this.push(value);
  }

  payload(length: number | bigint): Uint8Array<ArrayBuffer> {
    this.#payload += Number(length);
    if (this.#payload > MAX_PAYLOAD_BYTES) {
      throw new FormatError(`its pickle holds more than ${MAX_PAYLOAD_BYTES} bytes of strings and arrays`);
    }
    return this.cursor.take(Number(length));
  }

  text(length: number | bigint): void {
    this.push(decodeUtf8(this.payload(length)));
  }

  list(): PickleValue[] {
    const value = this.top();
    if (!Array.isArray(value)) throw new FormatError("its pickle appends to something that is no list");
    return value;
  }

  set(pairs: readonly PickleValue[]): void {
    const map = this.top();
    if (!(map instanceof Map))
      throw new FormatError("its pickle sets a key of something that is no dictionary");
    setPairs(map, pairs);
  }

  global(module: PickleValue, name: PickleValue): void {
    if (typeof module !== "string" || typeof name !== "string") {
      throw new FormatError("its pickle refers to a global whose name is no text");
    }
    const found = this.options.find(module, name);
    if (!found) {
      throw new FormatError(
        `its pickle refers to ${quoted(`${module}.${name}`)}, which is not among the names that are read; nothing was ` +
          "executed. Save tensors alone: torch.save(model.state_dict(), file)",
      );
    }
    this.push(found);
  }

  persistent(reference: PickleValue): void {
    if (!this.options.load)
      throw new FormatError("its pickle refers to data outside of it, and there are none");
    this.push(this.options.load(reference));
  }

  call(callable: PickleValue, args: PickleValue): void {
    if (!(callable instanceof PickleGlobal) || !callable.make) {
      throw new FormatError(`its pickle calls ${describe(callable)}, which cannot be called`);
    }
    if (!Array.isArray(args)) throw new FormatError(`its pickle calls ${callable.type} without a tuple`);
    this.push(callable.make(args));
  }

  /** Sets the state of the object on top of the stack: attributes, never code. */
  build(state: PickleValue): void {
    const object = this.top();
    // An OrderedDict's attributes (torch's `_metadata`) say nothing about tensors.
    if (object instanceof Map || object instanceof Set || object === null) return;
    if (!(object instanceof PickleObject)) {
      throw new FormatError(`its pickle sets the state of ${describe(object)}, which has none`);
    }
    object.setState(state);
  }
}

function setPairs(map: Map<PickleValue, PickleValue>, pairs: readonly PickleValue[]): void {
  if (pairs.length % 2 !== 0) throw new FormatError("its pickle has a key without a value");
  for (let i = 0; i < pairs.length; i += 2) map.set(pairs[i] as PickleValue, pairs[i + 1] as PickleValue);
}

function describe(value: PickleValue): string {
  if (value instanceof PickleObject) return value.type;
  return value === null || typeof value !== "object" ? quoted(String(value)) : "a container";
}

type Operation = (machine: Machine, cursor: ByteCursor) => void;

const lastOf = (count: number) => (machine: Machine) => {
  const values = Array.from({ length: count }, () => machine.pop());
  machine.push(values.reverse());
};

/** By code, in the groups of CPython's `pickletools.py`. */
const operations: ReadonlyMap<number, Operation> = new Map<number, Operation>([
  // Integers: INT, BININT, BININT1, BININT2, LONG, LONG1, LONG4.
  [0x49, (m, c) => m.push(parseInteger(c.line(), true))],
  [0x4a, (m, c) => m.push(c.view(4).getInt32(0, true))],
  [0x4b, (m, c) => m.push(c.byte())],
  [0x4d, (m, c) => m.push(c.view(2).getUint16(0, true))],
  [0x4c, (m, c) => m.push(parseInteger(c.line().replace(/L$/, ""), false))],
  [0x8a, (m, c) => m.push(decodeLong(c.take(c.byte())))],
  [0x8b, (m, c) => m.push(decodeLong(m.payload(positive(c.view(4).getInt32(0, true)))))],
  // Strings of Python 2, read as Latin-1: STRING, BINSTRING, SHORT_BINSTRING.
  [0x53, (m, c) => m.push(unescapeString(c.line()))],
  [0x54, (m, c) => m.push(latin1(m.payload(positive(c.view(4).getInt32(0, true)))))],
  [0x55, (m, c) => m.push(latin1(m.payload(c.byte())))],
  // Bytes: BINBYTES, SHORT_BINBYTES, BINBYTES8, BYTEARRAY8.
  [0x42, (m, c) => m.push(m.payload(c.view(4).getUint32(0, true)))],
  [0x43, (m, c) => m.push(m.payload(c.byte()))],
  [0x8e, (m, c) => m.push(m.payload(c.view(8).getBigUint64(0, true)))],
  [0x96, (m, c) => m.push(m.payload(c.view(8).getBigUint64(0, true)))],
  // NONE, NEWTRUE, NEWFALSE.
  [0x4e, (m) => m.push(null)],
  [0x88, (m) => m.push(true)],
  [0x89, (m) => m.push(false)],
  // Text: UNICODE, SHORT_BINUNICODE, BINUNICODE, BINUNICODE8.
  [0x56, (m, c) => m.push(unescapeUnicode(c.line()))],
  [0x8c, (m, c) => m.text(c.byte())],
  [0x58, (m, c) => m.text(c.view(4).getUint32(0, true))],
  [0x8d, (m, c) => m.text(c.view(8).getBigUint64(0, true))],
  // FLOAT, BINFLOAT.
  [0x46, (m, c) => m.push(Number(c.line()))],
  [0x47, (m, c) => m.push(c.view(8).getFloat64(0))],
  // Lists: EMPTY_LIST, APPEND, APPENDS, LIST.
  [0x5d, (m) => m.push([])],
  [
    0x61,
    (m) => {
      const value = m.pop();
      m.list().push(value);
    },
  ],
  [
    0x65,
    (m) => {
      const values = m.sinceMark();
      const list = m.list();
      for (const value of values) list.push(value);
    },
  ],
  [0x6c, (m) => m.push(m.sinceMark())],
  // Tuples: EMPTY_TUPLE, TUPLE, TUPLE1, TUPLE2, TUPLE3.
  [0x29, (m) => m.push([])],
  [0x74, (m) => m.push(m.sinceMark())],
  [0x85, lastOf(1)],
  [0x86, lastOf(2)],
  [0x87, lastOf(3)],
  // Dictionaries: EMPTY_DICT, DICT, SETITEM, SETITEMS.
  [0x7d, (m) => m.push(new Map())],
  [
    0x64,
    (m) => {
      const map = new Map<PickleValue, PickleValue>();
      setPairs(map, m.sinceMark());
      m.push(map);
    },
  ],
  [
    0x73,
    (m) => {
      const value = m.pop();
      const key = m.pop();
      m.set([key, value]);
    },
  ],
  [0x75, (m) => m.set(m.sinceMark())],
  // Sets: EMPTY_SET, ADDITEMS, FROZENSET.
  [0x8f, (m) => m.push(new Set())],
  [
    0x90,
    (m) => {
      const values = m.sinceMark();
      const set = m.top();
      if (!(set instanceof Set)) throw new FormatError("its pickle adds to something that is no set");
      for (const value of values) set.add(value);
    },
  ],
  [0x91, (m) => m.push(new Set(m.sinceMark()))],
  // The stack: POP, DUP, MARK, POP_MARK.
  [0x30, (m) => m.discard()],
  [0x32, (m) => m.push(m.top())],
  [0x28, (m) => m.mark()],
  [0x31, (m) => void m.sinceMark()],
  // The memo: GET, BINGET, LONG_BINGET, PUT, BINPUT, LONG_BINPUT, MEMOIZE.
  [0x67, (m, c) => m.recall(Number(c.line()))],
  [0x68, (m, c) => m.recall(c.byte())],
  [0x6a, (m, c) => m.recall(c.view(4).getUint32(0, true))],
  [0x70, (m, c) => m.remember(Number(c.line()))],
  [0x71, (m, c) => m.remember(c.byte())],
  [0x72, (m, c) => m.remember(c.view(4).getUint32(0, true))],
  [0x94, (m) => m.memoize()],
  // Names and objects: GLOBAL, STACK_GLOBAL, REDUCE, BUILD, INST, OBJ, NEWOBJ, NEWOBJ_EX.
  [0x63, (m, c) => m.global(c.line(), c.line())],
  [
    0x93,
    (m) => {
      const name = m.pop();
      m.global(m.pop(), name);
    },
  ],
  [
    0x52,
    (m) => {
      const args = m.pop();
      m.call(m.pop(), args);
    },
  ],
  [0x62, (m) => m.build(m.pop())],
  [
    0x69,
    (m, c) => {
      const args = m.sinceMark();
      m.global(c.line(), c.line());
      m.call(m.pop(), args);
    },
  ],
  [
    0x6f,
    (m) => {
      const [callable = null, ...args] = m.sinceMark();
      m.call(callable, args);
    },
  ],
  [
    0x81,
    (m) => {
      const args = m.pop();
      m.call(m.pop(), args);
    },
  ],
  [
    0x92,
    (m) => {
      const named = m.pop();
      const args = m.pop();
      if (!(named instanceof Map) || named.size > 0) {
        throw new FormatError(
          "its pickle makes an object with named arguments, which none of those read takes",
        );
      }
      m.call(m.pop(), args);
    },
  ],
  // References out of the pickle: PERSID, BINPERSID.
  [0x50, (m, c) => m.persistent(c.line())],
  [0x51, (m) => m.persistent(m.pop())],
  // PROTO, FRAME.
  [
    0x80,
    (_, c) => {
      const protocol = c.byte();
      if (protocol > NEWEST_PROTOCOL) {
        throw new FormatError(`its pickle has protocol ${protocol}, expected at most ${NEWEST_PROTOCOL}`);
      }
    },
  ],
  [0x95, (_, c) => void c.take(8)],
]);

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}

function positive(length: number): number {
  if (length < 0) throw new FormatError(`its pickle has a value of ${length} bytes, expected at least 0`);
  return length;
}
