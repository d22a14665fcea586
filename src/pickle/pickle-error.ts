/** @file The error of src/pickle/. */

/** The pickle is damaged, or asks for what is not allowed. */
export class PickleError extends Error {
  override readonly name = "PickleError";
}
