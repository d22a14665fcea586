/** @file Recipes: YAML files of the configuration's shape, found by name in the package's `recipes/` or by path. */

import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parse, YAMLParseError } from "yaml";
import { explainError } from "../files.js";
import { ConfigError, parseConfig, type RunConfig, suggestion } from "../training/index.js";

const recipesFolder = fileURLToPath(new URL("../../recipes/", import.meta.url));

/** The names of the built-in recipes, such as `quick/vicreg`. */
export function recipeNames(): string[] {
  return readdirSync(recipesFolder, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".yaml"))
    .map((file) => file.slice(0, -".yaml".length).replaceAll("\\", "/"))
    .sort();
}

/** Values given on the command line, which replace the recipe's. */
export interface Overrides {
  readonly steps?: number | undefined;
  readonly epochs?: number | undefined;
  readonly seed?: number | undefined;
  /** `key.path=value`, the value in YAML. */
  readonly set?: readonly string[];
}

/** A validated configuration. @throws ConfigError for an unknown recipe, broken YAML, or keys that do not fit. */
export function loadRecipe(nameOrPath: string, overrides: Overrides = {}): RunConfig {
  const file = findRecipe(nameOrPath);
  return overridden(readYaml(file), overrides, relative(process.cwd(), file) || file);
}

/**
 * A configuration with values replaced, validated.
 * @param where What it comes from, for messages.
 * @throws ConfigError when it does not fit.
 */
export function overridden(source: unknown, overrides: Overrides, where: string): RunConfig {
  if (typeof source !== "object" || source === null || Array.isArray(source)) {
    throw new ConfigError(`${where}: expected a mapping of keys to values at the top`);
  }
  const config = structuredClone(source) as Record<string, unknown>;
  if (overrides.steps !== undefined || overrides.epochs !== undefined) {
    delete config.steps;
    delete config.epochs;
  }
  for (const key of ["steps", "epochs", "seed"] as const) {
    if (overrides[key] !== undefined) config[key] = overrides[key];
  }
  for (const assignment of overrides.set ?? []) assign(config, assignment);
  return parseConfig(config, where);
}

function findRecipe(nameOrPath: string): string {
  const builtIn = join(recipesFolder, `${nameOrPath}.yaml`);
  if (existsSync(builtIn)) return builtIn;
  const path = resolve(nameOrPath);
  if (existsSync(path) && statSync(path).isFile()) return path;
  throw new ConfigError(
    `no recipe "${nameOrPath}", neither built in nor a file${suggestion(nameOrPath, recipeNames())}; ` +
      "`inbetween recipes` lists them",
  );
}

function readYaml(file: string): unknown {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new ConfigError(`${file} cannot be read: ${explainError(error)}`, { cause: error });
  }
  return parseYaml(text, file);
}

function parseYaml(text: string, where: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    if (error instanceof YAMLParseError)
      throw new ConfigError(`${where}: ${error.message}`, { cause: error });
    throw error;
  }
}

/** Sets `key.path=value` in a nested object. */
function assign(config: Record<string, unknown>, assignment: string): void {
  const equals = assignment.indexOf("=");
  if (equals < 1)
    throw new ConfigError(`--set ${assignment}: expected KEY=VALUE, such as optimizer.betas=[0.9,0.95]`);
  const keys = assignment.slice(0, equals).split(".");
  const last = keys.pop() as string;
  const holder = keys.reduce<Record<string, unknown>>((node, key) => {
    const child = node[key];
    if (typeof child === "object" && child !== null) return child as Record<string, unknown>;
    const made: Record<string, unknown> = {};
    node[key] = made;
    return made;
  }, config);
  holder[last] = parseYaml(assignment.slice(equals + 1), `--set ${assignment}`);
}
