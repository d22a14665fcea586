/** @file Numbers and strings as pickles write them. */

import { FormatError, quoted } from "./format-error.js";

/** Python's integers have no end; those of checkpoints fit 64 bits, and torch's magic number 80. */
const MAX_LONG_BYTES = 1024;

/** A little-endian integer in two's complement, of as many bytes as there are. */
export function decodeLong(bytes: Uint8Array): number | bigint {
  if (bytes.length === 0) return 0;
  if (bytes.length > MAX_LONG_BYTES) {
    throw new FormatError(
      `its pickle has an integer of ${bytes.length} bytes, expected at most ${MAX_LONG_BYTES}`,
    );
  }
  const hex = Buffer.from(bytes).reverse().toString("hex");
  return shortest(BigInt.asIntN(8 * bytes.length, BigInt(`0x${hex}`)));
}

/** A decimal integer; `00` and `01` are the truth values of protocol 0 where they may be meant. */
export function parseInteger(text: string, mayBeBoolean: boolean): number | bigint | boolean {
  if (mayBeBoolean && (text === "00" || text === "01")) return text === "01";
  if (!/^\s*[+-]?\d{1,2400}\s*$/.test(text)) {
    throw new FormatError(`its pickle has the integer ${quoted(text)}, expected decimal digits`);
  }
  return shortest(BigInt(text.trim().replace(/^\+/, "")));
}

function shortest(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

export function decodeUtf8(bytes: Uint8Array): string {
  // Python writes half a surrogate pair as it is ("surrogatepass"); it becomes a replacement character here.
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}

const escapes: Readonly<Record<string, string>> = {
  n: "\n",
  r: "\r",
  t: "\t",
  a: "\x07",
  b: "\b",
  f: "\f",
  v: "\v",
};

/** A quoted string as Python 2's `repr` gives it. */
export function unescapeString(text: string): string {
  const inside = /^(['"])(.*)\1$/s.exec(text.trim())?.[2];
  if (inside === undefined) throw new FormatError(`its pickle has the string ${quoted(text)} without quotes`);
  return inside.replace(/\\(x[\da-f]{2}|[0-7]{1,3}|.)/gis, (_, code: string) => {
    if (/^x[\da-f]{2}$/i.test(code)) return String.fromCharCode(Number.parseInt(code.slice(1), 16));
    if (/^[0-7]/.test(code)) return String.fromCharCode(Number.parseInt(code, 8));
    return escapes[code] ?? code;
  });
}

/** Text in the encoding "raw-unicode-escape". */
export function unescapeUnicode(text: string): string {
  return text.replace(/\\u([\da-f]{4})|\\U([\da-f]{8})/gi, (whole, short?: string, long?: string) => {
    const code = Number.parseInt(short ?? long ?? "", 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}
