/** @file A hash of plain data that does not depend on the order of keys. */

import { createHash } from "node:crypto";

/** SHA-256, in hexadecimal, of the JSON of `value` with the keys of every object sorted. */
export function hashJson(value: unknown): string {
  const json = JSON.stringify(value, (_key, entry: unknown) => {
    if (typeof entry !== "object" || entry === null || Array.isArray(entry)) return entry;
    return Object.fromEntries(Object.entries(entry).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
  return createHash("sha256").update(json).digest("hex");
}
