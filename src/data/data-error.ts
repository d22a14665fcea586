/** @file The error that data/ throws for what a user gave: a folder, a file, an option. Its message says what to do. */

export class DataError extends Error {
  override readonly name = "DataError";
}

/** There is nothing at all at a path. */
export function noImage(path: string): DataError {
  return new DataError(
    `The folder ${path} holds no image: put JPEG, PNG, WebP, TIFF, AVIF or GIF files into it ` +
      "(in sub-folders if you like), or give another folder.",
  );
}

/** The message of anything thrown, on one line. */
export function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  // libvips keeps its messages in one place for all threads: another thread may have taken this one's.
  const text = message === "Unknown error" ? "the file is damaged" : message;
  return text.trim().replace(/\s*[\r\n]+\s*/g, "; ");
}
