/** @file Public API of pickle/: Python pickles read without Python, nothing executed. Imports nothing; runs anywhere. */

export { PickleError } from "./pickle-error.js";
export { latin1 } from "./text.js";
export { type PickleGlobal, type UnpickleOptions, unpickle } from "./unpickle.js";
