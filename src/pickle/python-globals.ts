/**
 * @file The names of Python's library and of NumPy that pickles of plain data refer to. Each is a function of ours that
 * builds data from data.
 */

import { FormatError, quoted } from "./format-error.js";
import { PickleGlobal, PickleObject, type PickleValue } from "./values.js";

export type PickleGlobals = ReadonlyMap<string, PickleGlobal>;

/** An array of NumPy, its elements as bytes. */
export class NumpyArray extends PickleObject {
  shape: readonly number[] = [];
  /** NumPy's code with the byte order: `<f4`. */
  dtype = "";
  isFortran = false;
  bytes: Uint8Array = new Uint8Array();

  constructor() {
    super("numpy.ndarray");
  }

  /** (version, shape, dtype, is Fortran, bytes) */
  override setState(state: PickleValue): void {
    const [, shape, dtype, isFortran, content] = Array.isArray(state) ? state : [];
    // Python 2 has bytes as text.
    const bytes = typeof content === "string" ? Uint8Array.from(Buffer.from(content, "latin1")) : content;
    if (!Array.isArray(shape) || !(dtype instanceof NumpyDtype) || !(bytes instanceof Uint8Array)) {
      throw new FormatError("its pickle has a NumPy array of objects, or one whose state is damaged");
    }
    this.shape = shape.map(Number);
    this.dtype = dtype.code;
    this.isFortran = isFortran === true;
    this.bytes = bytes;
  }
}

class NumpyDtype extends PickleObject {
  #order = "<";

  constructor(private readonly kind: string) {
    super("numpy.dtype");
  }

  get code(): string {
    return this.#order + this.kind;
  }

  /** (version, byte order, …) */
  override setState(state: PickleValue): void {
    const order = Array.isArray(state) ? state[1] : undefined;
    if (typeof order === "string") this.#order = order === "=" ? "<" : order;
  }
}

/** A NumPy scalar as a number where it is one. */
function scalar(dtype: PickleValue, bytes: PickleValue): PickleValue {
  if (!(dtype instanceof NumpyDtype) || !(bytes instanceof Uint8Array))
    return new PickleObject("numpy scalar");
  const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const read = scalars[dtype.code.slice(1)];
  if (!read || bytes.length !== read.size) return new PickleObject(`numpy scalar ${dtype.code}`);
  return read.get(data, dtype.code[0] !== ">");
}

interface ScalarType {
  readonly size: number;
  readonly get: (data: DataView, littleEndian: boolean) => PickleValue;
}

const scalars: Readonly<Record<string, ScalarType>> = {
  f8: { size: 8, get: (data, little) => data.getFloat64(0, little) },
  f4: { size: 4, get: (data, little) => data.getFloat32(0, little) },
  i8: { size: 8, get: (data, little) => Number(data.getBigInt64(0, little)) },
  i4: { size: 4, get: (data, little) => data.getInt32(0, little) },
  u1: { size: 1, get: (data) => data.getUint8(0) },
  b1: { size: 1, get: (data) => data.getUint8(0) !== 0 },
};

/** A dictionary from another, or from a list of pairs. */
function dictionary(source: PickleValue | undefined): Map<PickleValue, PickleValue> {
  if (source === undefined) return new Map();
  if (source instanceof Map) return new Map(source);
  if (Array.isArray(source) && source.every((pair) => Array.isArray(pair) && pair.length === 2)) {
    return new Map(source as [PickleValue, PickleValue][]);
  }
  throw new FormatError("its pickle makes a dictionary of something that holds no pairs");
}

function items(source: PickleValue | undefined): readonly PickleValue[] {
  if (source === undefined) return [];
  if (Array.isArray(source)) return source;
  if (source instanceof Set) return [...source];
  throw new FormatError("its pickle makes a collection of something that is no list");
}

/** Text as bytes: how protocols before 3 hold bytes. */
function encode([text, encoding]: readonly PickleValue[]): PickleValue {
  const isLatin1 = typeof encoding === "string" && /^(latin-?1|iso-?8859-?1)$/i.test(encoding);
  if (typeof text !== "string" || !isLatin1) {
    throw new FormatError(`its pickle encodes text as ${quoted(String(encoding))}, expected latin1`);
  }
  return Uint8Array.from(Buffer.from(text, "latin1"));
}

/** `copyreg._reconstructor(class, base, state)`: how protocols before 2 make objects. */
function reconstruct([type]: readonly PickleValue[]): PickleValue {
  if (type instanceof PickleGlobal && type.make) return type.make([]);
  throw new FormatError("its pickle makes an object of something that is no class");
}

const made: Readonly<Record<string, (args: readonly PickleValue[]) => PickleValue>> = {
  "_codecs.encode": encode,
  "argparse.Namespace": () => new PickleObject("argparse.Namespace"),
  "builtins.bytearray": ([bytes]) => (bytes instanceof Uint8Array ? bytes : encode([bytes ?? "", "latin1"])),
  "builtins.bytes": ([bytes]) => (bytes instanceof Uint8Array ? bytes : new Uint8Array()),
  "builtins.complex": () => new PickleObject("builtins.complex"),
  "builtins.frozenset": ([source]) => new Set(items(source)),
  "builtins.range": () => new PickleObject("builtins.range"),
  "builtins.set": ([source]) => new Set(items(source)),
  "builtins.slice": () => new PickleObject("builtins.slice"),
  "collections.Counter": ([source]) => dictionary(source),
  "collections.OrderedDict": ([source]) => dictionary(source),
  "collections.defaultdict": ([, source]) => dictionary(source),
  "copyreg._reconstructor": reconstruct,
  "numpy._core.multiarray._reconstruct": () => new NumpyArray(),
  "numpy._core.multiarray.scalar": ([dtype = null, bytes = null]) => scalar(dtype, bytes),
  "numpy.dtype": ([kind]) => new NumpyDtype(String(kind)),
  "pathlib.PosixPath": (parts) => parts.map(String).join("/"),
  "pathlib.WindowsPath": (parts) => parts.map(String).join("\\"),
  "types.SimpleNamespace": () => new PickleObject("types.SimpleNamespace"),
};

/** Classes that are referred to, as a dictionary's factory for example, and never called. */
const constants = [
  "builtins.bool",
  "builtins.dict",
  "builtins.float",
  "builtins.int",
  "builtins.list",
  "builtins.object",
  "builtins.str",
  "builtins.tuple",
  "numpy.ndarray",
];

/** Names of older Pythons and NumPys. */
function currentName(name: string): string {
  return name
    .replace(/^__builtin__\./, "builtins.")
    .replace(/^copy_reg\./, "copyreg.")
    .replace(/^numpy\.core\./, "numpy._core.")
    .replace(/^pathlib\._local\./, "pathlib.");
}

const pythonGlobals: PickleGlobals = new Map([
  ...Object.entries(made).map(([name, make]) => [name, new PickleGlobal(name, make)] as const),
  ...constants.map((name) => [name, new PickleGlobal(name)] as const),
]);

/** Finds names among those of this file and some more. */
export function finder(more: PickleGlobals): (module: string, name: string) => PickleGlobal | undefined {
  return (module, name) => {
    const key = currentName(`${module}.${name}`);
    return pythonGlobals.get(key) ?? more.get(key);
  };
}
