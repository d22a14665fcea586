/** @file The error that data/ throws for what a user gave: a folder, a file, an option. Its message says what to do. */

export class DataError extends Error {
  override readonly name = "DataError";
}

/** The message of anything thrown, on one line. */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.trim().replace(/\s*[\r\n]+\s*/g, "; ");
}
