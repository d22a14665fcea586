/** @file Records: objects used as maps from names. Imports nothing; every folder may use it. */

/** The same keys with other values. */
export function mapValues<A, B>(
  record: Readonly<Record<string, A>>,
  map: (value: A, key: string) => B,
): Record<string, B> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value, key)]));
}

/** The same values under other keys. */
export function mapKeys<T>(
  record: Readonly<Record<string, T>>,
  map: (key: string) => string,
): Record<string, T> {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [map(key), value]));
}

/** Every key with `prefix` before it. */
export function prefixed<T>(record: Readonly<Record<string, T>>, prefix: string): Record<string, T> {
  return mapKeys(record, (key) => prefix + key);
}

/** The entries whose key starts with `prefix`, without it. */
export function unprefixed<T>(record: Readonly<Record<string, T>>, prefix: string): Record<string, T> {
  return Object.fromEntries(
    Object.entries(record)
      .filter(([key]) => key.startsWith(prefix))
      .map(([key, value]) => [key.slice(prefix.length), value]),
  );
}
