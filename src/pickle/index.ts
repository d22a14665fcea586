/** @file Reading pickles as data. Imports no other folder. */

export { ByteCursor } from "./byte-cursor.js";
export { ByteRange, type ByteSource, FileBytes, MemoryBytes, readBytes } from "./byte-source.js";
export { FormatError, quoted } from "./format-error.js";
export { finder, NumpyArray, type PickleGlobals } from "./python-globals.js";
export { type UnpickleOptions, unpickle } from "./unpickler.js";
export { PickleGlobal, PickleObject, type PickleValue } from "./values.js";
