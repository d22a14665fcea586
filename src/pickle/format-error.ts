/** @file What is wrong with the contents of a file, without the file's name. */

/** Thrown by readers of bytes; whoever knows the file's name catches it and adds the name. */
export class FormatError extends Error {
  override readonly name = "FormatError";
}

/** A piece of a file's text in a message: short, on one line, quoted. */
export function quoted(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}
