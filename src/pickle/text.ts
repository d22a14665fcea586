/** @file The texts of pickles: numbers and strings of protocol 0, and Latin-1. */

import { PickleError } from "./pickle-error.js";

/** Text of bytes, one character each. (TextDecoder's "latin1" is Windows-1252.) */
export function latin1(bytes: Uint8Array): string {
  let text = "";
  for (let start = 0; start < bytes.length; start += 4096) {
    text += String.fromCharCode(...bytes.subarray(start, start + 4096));
  }
  return text;
}

/** A number where it is exact, a bigint beyond. */
export function integer(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** More digits would take long to convert, and no size, label or seed has them. */
const MAX_DIGITS = 2500;

export function decimal(text: string): number | bigint {
  if (!/^[+-]?\d+$/.test(text) || text.length > MAX_DIGITS) {
    throw new PickleError(`${text.slice(0, 40)} is no whole number`);
  }
  return integer(BigInt(text.replace(/^\+/, "")));
}

const SPECIAL: Readonly<Record<string, number>> = { nan: Number.NaN, inf: Infinity, "-inf": -Infinity };

export function float(text: string): number {
  if (Object.hasOwn(SPECIAL, text)) return SPECIAL[text] as number;
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) {
    throw new PickleError(`${text.slice(0, 40)} is no number`);
  }
  return Number(text);
}

const ESCAPES: Readonly<Record<string, string>> = {
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\\": "\\",
  "'": "'",
  '"': '"',
};

/** The bytes of a Python string literal in quotes. */
export function quotedBytes(literal: string): Uint8Array {
  const quote = literal[0];
  if (literal.length < 2 || (quote !== "'" && quote !== '"') || !literal.endsWith(quote)) {
    throw new PickleError(`the string ${literal.slice(0, 40)} has no quotes around it`);
  }
  const text = literal.slice(1, -1).replace(/\\(x[0-9a-fA-F]{2}|.)/g, (all, code: string) => {
    const isHex = code.startsWith("x") && code.length === 3;
    return isHex ? String.fromCharCode(Number.parseInt(code.slice(1), 16)) : (ESCAPES[code] ?? all);
  });
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** Python's "raw-unicode-escape": Latin-1, with the rest escaped. */
export function rawUnicode(line: string): string {
  return line.replace(/\\u([0-9a-fA-F]{4})|\\U([0-9a-fA-F]{8})/g, (_, short, long) => {
    const code = Number.parseInt(short ?? long, 16);
    if (code > 0x10ffff) throw new PickleError(`${code.toString(16)} is no character`);
    return String.fromCodePoint(code);
  });
}
