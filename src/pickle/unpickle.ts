/**
 * @file Python pickles without Python: protocols 0 to 5 read into plain values, nothing executed. A stack machine that
 * knows containers, numbers and text; what a global in the stream becomes is decided by the caller's list alone, and a
 * global that is not on it is an error that names it.
 * Source: the opcodes' descriptions in Python's Lib/pickletools.py.
 */

import { PickleCursor } from "./cursor.js";
import { PickleError } from "./pickle-error.js";
import { decimal, float, latin1, quotedBytes, rawUnicode } from "./text.js";

/** What a global of the stream becomes: called where Python would call the function or class. */
export type PickleGlobal = (...args: readonly unknown[]) => unknown;

export interface UnpickleOptions {
  /** By "module name", such as "numpy.core.multiarray _reconstruct". Anything else is a PickleError that names it. */
  readonly globals?: Readonly<Record<string, PickleGlobal>>;
  /** What a persistent id stands for (PyTorch's storages). Without it they are an error. */
  readonly persistent?: (id: unknown) => unknown;
  /** Gives an object that a global made its state, and returns the object. Without it that is an error. */
  readonly build?: (object: unknown, state: unknown) => unknown;
  /** How Python 2's `str` (bytes or text, nobody knows) comes: as text of Latin-1, or as bytes. Default "latin1". */
  readonly strings?: "latin1" | "bytes";
}

class Unpickler {
  readonly #in: PickleCursor;
  readonly #options: UnpickleOptions;
  readonly #memo = new Map<number, unknown>();
  /** Stacks below the marks. */
  readonly #below: unknown[][] = [];
  #stack: unknown[] = [];

  constructor(bytes: Uint8Array, options: UnpickleOptions) {
    this.#in = new PickleCursor(bytes);
    this.#options = options;
  }

  run(): { value: unknown; bytesRead: number } {
    for (;;) {
      const start = this.#in.at;
      const opcode = this.#in.uint8();
      if (opcode === 0x2e) return { value: this.#pop(), bytesRead: this.#in.at };
      if (!this.#step(opcode)) {
        const shown = opcode.toString(16).padStart(2, "0");
        throw new PickleError(
          `byte 0x${shown} at ${start} is no opcode that this reader knows: not a pickle, or damaged`,
        );
      }
    }
  }

  /** Carries out one opcode; false when it is unknown. */
  #step(opcode: number): boolean {
    return (
      this.#constant(opcode) ||
      this.#textOrBytes(opcode) ||
      this.#container(opcode) ||
      this.#memoOrStack(opcode) ||
      this.#object(opcode)
    );
  }

  #constant(opcode: number): boolean {
    switch (opcode) {
      case 0x4e: // NONE
        return this.#push(null);
      case 0x88: // NEWTRUE
        return this.#push(true);
      case 0x89: // NEWFALSE
        return this.#push(false);
      case 0x49: {
        // INT: "00" and "01" are the booleans of protocol 0.
        const line = this.#in.line();
        return this.#push(line === "00" ? false : line === "01" ? true : decimal(line));
      }
      case 0x4c: // LONG
        return this.#push(decimal(this.#in.line().replace(/L$/, "")));
      case 0x4a: // BININT
        return this.#push(this.#in.int32());
      case 0x4b: // BININT1
        return this.#push(this.#in.uint8());
      case 0x4d: // BININT2
        return this.#push(this.#in.uint16());
      case 0x8a: // LONG1
        return this.#push(this.#in.long(this.#in.uint8()));
      case 0x8b: // LONG4
        return this.#push(this.#in.long(this.#in.length(4)));
      case 0x46: // FLOAT
        return this.#push(float(this.#in.line()));
      case 0x47: // BINFLOAT, the only big-endian one
        return this.#push(this.#in.float64());
      default:
        return false;
    }
  }

  #textOrBytes(opcode: number): boolean {
    switch (opcode) {
      case 0x53: // STRING
        return this.#push(this.#string(quotedBytes(this.#in.line())));
      case 0x54: // BINSTRING
        return this.#push(this.#string(this.#in.slice(this.#in.length(4))));
      case 0x55: // SHORT_BINSTRING
        return this.#push(this.#string(this.#in.slice(this.#in.uint8())));
      case 0x56: // UNICODE
        return this.#push(rawUnicode(this.#in.line()));
      case 0x58: // BINUNICODE
        return this.#push(this.#in.utf8(this.#in.length(4)));
      case 0x8c: // SHORT_BINUNICODE
        return this.#push(this.#in.utf8(this.#in.uint8()));
      case 0x8d: // BINUNICODE8
        return this.#push(this.#in.utf8(this.#in.length(8)));
      case 0x42: // BINBYTES
        return this.#push(this.#in.slice(this.#in.length(4)));
      case 0x43: // SHORT_BINBYTES
        return this.#push(this.#in.slice(this.#in.uint8()));
      case 0x8e: // BINBYTES8
      case 0x96: // BYTEARRAY8
        return this.#push(this.#in.slice(this.#in.length(8)));
      default:
        return false;
    }
  }

  #container(opcode: number): boolean {
    switch (opcode) {
      case 0x5d: // EMPTY_LIST
      case 0x8f: // EMPTY_SET
        return this.#push([]);
      case 0x6c: // LIST
        return this.#push(this.#popMark());
      case 0x91: // FROZENSET
      case 0x74: // TUPLE
        return this.#push(Object.freeze(this.#popMark()));
      case 0x29: // EMPTY_TUPLE
        return this.#push(Object.freeze([]));
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: {
        // TUPLE3
        const items = Array.from({ length: opcode - 0x84 }, () => this.#pop()).reverse();
        return this.#push(Object.freeze(items));
      }
      case 0x7d: // EMPTY_DICT
        return this.#push(new Map());
      case 0x64: {
        // DICT
        const dict = new Map();
        this.#setItems(dict, this.#popMark());
        return this.#push(dict);
      }
      case 0x61: {
        // APPEND
        const item = this.#pop();
        this.#append([item]);
        return true;
      }
      case 0x65: // APPENDS
      case 0x90: // ADDITEMS
        this.#append(this.#popMark());
        return true;
      case 0x73: {
        // SETITEM
        const value = this.#pop();
        const key = this.#pop();
        this.#setItems(this.#top(), [key, value]);
        return true;
      }
      case 0x75: {
        // SETITEMS
        const items = this.#popMark();
        this.#setItems(this.#top(), items);
        return true;
      }
      default:
        return false;
    }
  }

  #memoOrStack(opcode: number): boolean {
    switch (opcode) {
      case 0x80: {
        // PROTO
        const version = this.#in.uint8();
        if (version > 5) throw new PickleError(`protocol ${version}: this reader knows 0 to 5`);
        return true;
      }
      case 0x95: // FRAME
        this.#in.length(8);
        return true;
      case 0x28: // MARK
        this.#below.push(this.#stack);
        this.#stack = [];
        return true;
      case 0x30: // POP
        if (this.#stack.length > 0) this.#pop();
        else this.#popMark();
        return true;
      case 0x31: // POP_MARK
        this.#popMark();
        return true;
      case 0x32: // DUP
        return this.#push(this.#top());
      case 0x70: // PUT
        return this.#remember(Number(decimal(this.#in.line())));
      case 0x71: // BINPUT
        return this.#remember(this.#in.uint8());
      case 0x72: // LONG_BINPUT
        return this.#remember(this.#in.length(4));
      case 0x94: // MEMOIZE
        return this.#remember(this.#memo.size);
      case 0x67: // GET
        return this.#recall(Number(decimal(this.#in.line())));
      case 0x68: // BINGET
        return this.#recall(this.#in.uint8());
      case 0x6a: // LONG_BINGET
        return this.#recall(this.#in.length(4));
      default:
        return false;
    }
  }

  #object(opcode: number): boolean {
    switch (opcode) {
      case 0x63: // GLOBAL
        return this.#push(this.#global(this.#in.line(), this.#in.line()));
      case 0x93: {
        // STACK_GLOBAL
        const name = this.#pop();
        const module = this.#pop();
        if (typeof module !== "string" || typeof name !== "string") {
          throw new PickleError("a global is named by something that is no text");
        }
        return this.#push(this.#global(module, name));
      }
      case 0x69: {
        // INST
        const global = this.#global(this.#in.line(), this.#in.line());
        return this.#push(global(...this.#popMark()));
      }
      case 0x6f: {
        // OBJ
        const [callee, ...args] = this.#popMark();
        return this.#push(this.#call(callee, args));
      }
      case 0x52: // REDUCE
      case 0x81: {
        // NEWOBJ
        const args = this.#pop();
        return this.#push(this.#call(this.#pop(), args));
      }
      case 0x92: {
        // NEWOBJ_EX
        const named = this.#pop();
        if (!(named instanceof Map) || named.size > 0) {
          throw new PickleError("an object is made with named arguments, which this reader does not know");
        }
        const args = this.#pop();
        return this.#push(this.#call(this.#pop(), args));
      }
      case 0x62: {
        // BUILD
        const state = this.#pop();
        const object = this.#pop();
        const { build } = this.#options;
        if (!build) throw new PickleError("an object is given a state, expected plain values only");
        return this.#push(build(object, state));
      }
      case 0x50: // PERSID
        return this.#push(this.#persistent(this.#in.line()));
      case 0x51: // BINPERSID
        return this.#push(this.#persistent(this.#pop()));
      default:
        return false;
    }
  }

  #global(module: string, name: string): PickleGlobal {
    const key = `${module} ${name}`;
    const { globals = {} } = this.#options;
    const global = Object.hasOwn(globals, key) ? globals[key] : undefined;
    if (!global) {
      throw new PickleError(
        `the pickle asks for ${module}.${name}, which is not among what this reader builds`,
      );
    }
    return global;
  }

  /** Calls what came from the caller's list: nothing else on the stack is a function. */
  #call(callee: unknown, args: unknown): unknown {
    if (typeof callee !== "function") throw new PickleError("something that is no global is called");
    if (!Array.isArray(args)) throw new PickleError("a global is called with something that is no tuple");
    return callee(...args);
  }

  #persistent(id: unknown): unknown {
    const { persistent } = this.#options;
    if (!persistent) throw new PickleError("the pickle refers to data outside of it (a persistent id)");
    return persistent(id);
  }

  #push(value: unknown): true {
    this.#stack.push(value);
    return true;
  }

  #pop(): unknown {
    if (this.#stack.length === 0) throw new PickleError(`the stack is empty at byte ${this.#in.at}: damaged`);
    return this.#stack.pop();
  }

  #top(): unknown {
    if (this.#stack.length === 0) throw new PickleError(`the stack is empty at byte ${this.#in.at}: damaged`);
    return this.#stack[this.#stack.length - 1];
  }

  #popMark(): unknown[] {
    const items = this.#stack;
    const below = this.#below.pop();
    if (!below) throw new PickleError(`no mark on the stack at byte ${this.#in.at}: damaged`);
    this.#stack = below;
    return items;
  }

  /** Python 2's str. */
  #string(bytes: Uint8Array): string | Uint8Array {
    return this.#options.strings === "bytes" ? bytes : latin1(bytes);
  }

  #append(items: readonly unknown[]): void {
    const list = this.#top();
    if (!Array.isArray(list) || Object.isFrozen(list))
      throw new PickleError("something that is no list is appended to");
    for (const item of items) list.push(item);
  }

  #setItems(dict: unknown, items: readonly unknown[]): void {
    if (!(dict instanceof Map)) throw new PickleError("something that is no dict is given items");
    if (items.length % 2 !== 0) throw new PickleError("a dict is given a key without a value");
    for (let i = 0; i < items.length; i += 2) dict.set(items[i], items[i + 1]);
  }

  #remember(index: number): true {
    this.#memo.set(index, this.#top());
    return true;
  }

  #recall(index: number): true {
    if (!this.#memo.has(index)) throw new PickleError(`memo ${index} is read before it is written: damaged`);
    return this.#push(this.#memo.get(index));
  }
}

/**
 * Reads one pickle from the beginning of `bytes`.
 *
 * None is null, True and False booleans, int a number (beyond 2^53 a bigint), float a number, str text, bytes and bytearray a
 * Uint8Array (a view of `bytes`, so that its place in the file is known), list and set an array, tuple and frozenset a
 * frozen array, dict a Map. A global that is only named comes as the function of `globals` itself.
 *
 * @returns The value, and where the pickle ends: another may follow.
 * @throws PickleError for anything damaged, and for anything that is not allowed.
 */
export function unpickle(
  bytes: Uint8Array,
  options: UnpickleOptions = {},
): { value: unknown; bytesRead: number } {
  return new Unpickler(bytes, options).run();
}
