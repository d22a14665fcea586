/** @file What is wrong with data that a schema refused, for the person who wrote it: keys, values, nearest names. */

import { closest, distance } from "fastest-levenshtein";
import { z } from "zod";

/** What is wrong with `source`, one line for each key: what it is, what it should be, the nearest name. */
export function issueLines(issue: z.core.$ZodIssue, source: unknown, schema: z.ZodType): string[] {
  const path = issue.path.join(".");
  if (issue.code === "unrecognized_keys") {
    const known = knownKeys(schema, issue.path, source);
    return issue.keys.map((key) => {
      const name = [...issue.path, key].join(".");
      return `unknown key "${name}"${suggestion(key, known)}`;
    });
  }
  const given = valueAt(source, issue.path);
  if (issue.code === "invalid_value" || (issue.code === "invalid_union" && issue.discriminator)) {
    const known = issue.code === "invalid_value" ? issue.values : namesOf(schema, issue.path, source);
    const names = known.map(String);
    const expected = `expected ${names.length === 1 ? "" : "one of "}${names.map((name) => `"${name}"`).join(", ")}`;
    const near = typeof given === "string" ? nearest(given, names) : undefined;
    return [`"${path}": ${expected} (${got(given)})${near === undefined ? "" : `; did you mean "${near}"?`}`];
  }
  const expected =
    issue.code === "invalid_type"
      ? `expected ${typeNames[issue.expected] ?? issue.expected}`
      : issue.message.replace(/^Too (small|big): /, "");
  return [`${path === "" ? "" : `"${path}": `}${expected} (${got(given)})`];
}

/** Types as the writer of a YAML file knows them. */
const typeNames: Readonly<Record<string, string>> = {
  object: "a mapping of keys to values",
  array: "a list",
  tuple: "a list",
  number: "a number",
  int: "a whole number",
  string: "a text",
  boolean: "true or false",
};

function got(given: unknown): string {
  return given === undefined ? "missing" : `got ${JSON.stringify(given)}`;
}

function valueAt(source: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (value, key) => (value as Record<PropertyKey, unknown> | null | undefined)?.[key],
    source,
  );
}

/** `; did you mean "x"?` when a known name is near. */
export function suggestion(name: string, known: readonly string[]): string {
  if (known.length === 0) return "";
  const near = nearest(name, known);
  return near === undefined ? `; known: ${known.join(", ")}` : `; did you mean "${near}"?`;
}

/** The known name that `name` is probably a slip of. */
function nearest(name: string, known: readonly string[]): string | undefined {
  if (known.length === 0) return undefined;
  const near = closest(name, known);
  return distance(name, near) <= Math.max(2, name.length / 3) ? near : undefined;
}

interface JsonSchema {
  readonly properties?: Record<string, JsonSchema>;
  readonly anyOf?: JsonSchema[];
  readonly oneOf?: JsonSchema[];
  readonly const?: unknown;
}

/** The keys of the object schema at `path`, for suggestions: of the variant that the source names. */
function knownKeys(schema: z.ZodType, path: readonly PropertyKey[], source: unknown): string[] {
  const { properties } = schemaAt(schema, path, source) ?? {};
  return Object.keys(properties ?? {});
}

/** The values of a discriminator, whose variants are at `path` without its last key. */
function namesOf(schema: z.ZodType, path: readonly PropertyKey[], source: unknown): unknown[] {
  const key = String(path.at(-1));
  return variantsOf(schemaAt(schema, path.slice(0, -1), source)).map(
    ({ properties }) => properties?.[key]?.const,
  );
}

function variantsOf(node: JsonSchema | undefined): JsonSchema[] {
  return [...(node?.anyOf ?? []), ...(node?.oneOf ?? [])];
}

/** The schema at `path`; where there are variants, the one that has the constants of the source. */
function schemaAt(schema: z.ZodType, path: readonly PropertyKey[], source: unknown): JsonSchema | undefined {
  const chosen = (node: JsonSchema | undefined, given: unknown): JsonSchema | undefined =>
    variantsOf(node).find(({ properties }) =>
      Object.entries(properties ?? {}).some(
        ([key, child]) => child.const !== undefined && child.const === valueAt(given, [key]),
      ),
    ) ?? node;
  const root = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as JsonSchema;
  return path.reduce<JsonSchema | undefined>(
    (node, key, i) => chosen(node?.properties?.[String(key)], valueAt(source, path.slice(0, i + 1))),
    root,
  );
}
