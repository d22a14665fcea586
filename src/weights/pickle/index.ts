/** @file Reading pickles as data. */

export { ByteCursor } from "./byte-cursor.js";
export { finder, NumpyArray, type PickleGlobals } from "./python-globals.js";
export { type UnpickleOptions, unpickle } from "./unpickler.js";
export { PickleGlobal, PickleObject, type PickleValue } from "./values.js";
