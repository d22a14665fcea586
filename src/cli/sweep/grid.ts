/** @file A sweep file: which runs it stands for, each checked before the first one begins. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import { explainError } from "../../files.js";
import { ConfigError, issueLines } from "../../training/index.js";
import { loadRecipe, type Overrides } from "../recipes.js";

const values = z.record(z.string(), z.unknown());
const gridSchema = z.record(z.string(), z.array(z.unknown()).min(1));

const sweepSchema = z.strictObject({
  recipe: z.string(),
  /** What `pretrain` takes. */
  data: z.string(),
  /** Folder that holds the runs. */
  out: z.string(),
  /** Values of the recipe that all runs replace. */
  set: values.default({}),
  /** Values by key of the recipe: every combination is a run. */
  grid: gridSchema.default({}),
  /** Further grids, on another recipe or with other values. */
  also: z
    .array(
      z.strictObject({
        recipe: z.string().optional(),
        set: values.default({}),
        grid: gridSchema.default({}),
      }),
    )
    .default([]),
  /** What `evaluate transformations` takes, and under `knn` what `evaluate knn` takes. */
  evaluate: z
    .strictObject({
      data: z.string(),
      split: z.string().optional(),
      repeats: z.int().positive().default(3),
      hidden: z.int().positive().optional(),
      knn: z.strictObject({ train: z.string(), test: z.string().optional() }).optional(),
    })
    .optional(),
});

/** One run of a sweep. */
export interface Cell {
  /** Of its folder: the values that tell it from the others. */
  readonly name: string;
  /** Its run folder. */
  readonly run: string;
  readonly recipe: string;
  /** Values of the recipe that it replaces. */
  readonly values: Readonly<Record<string, unknown>>;
}

export interface Sweep extends Pick<z.output<typeof sweepSchema>, "data" | "out" | "evaluate"> {
  readonly cells: readonly Cell[];
}

/** Reads a sweep file and checks every run's configuration. @throws ConfigError naming the file and what is wrong. */
export function loadSweep(file: string): Sweep {
  let source: unknown;
  try {
    source = parse(readFileSync(file, "utf8"));
  } catch (error) {
    throw new ConfigError(`${file} cannot be read as a sweep: ${explainError(error)}`, { cause: error });
  }
  const result = sweepSchema.safeParse(source);
  if (!result.success) {
    const lines = result.error.issues.flatMap((issue) => issueLines(issue, source, sweepSchema));
    throw new ConfigError(`${file}: ${lines.join("; ")}`);
  }
  const { recipe, data, out, set, grid, also, evaluate } = result.data;
  const grids = [
    { recipe, set, grid },
    ...also.map((part) => ({ recipe: part.recipe ?? recipe, set: { ...set, ...part.set }, grid: part.grid })),
  ];
  const cells = grids.flatMap((part) => cellsOf(part.recipe, part.set, part.grid, out, grids.length > 1));
  const names = new Set<string>();
  for (const { name, recipe: base, values: own } of cells) {
    if (names.has(name))
      throw new ConfigError(`${file}: two runs are named "${name}"; their values must differ`);
    names.add(name);
    try {
      loadRecipe(base, overridesOf(own));
    } catch (error) {
      throw new ConfigError(`${file}: the run "${name}": ${explainError(error)}`, { cause: error });
    }
  }
  return { data, out, evaluate, cells };
}

/** A run's values as `pretrain` takes them: the length and the seed have flags of their own. */
export function overridesOf({ steps, epochs, seed, ...others }: Cell["values"]): Overrides {
  const number = (key: string, value: unknown): number | undefined => {
    if (value === undefined || typeof value === "number") return value;
    throw new ConfigError(`"${key}" is ${JSON.stringify(value)}, expected a number`);
  };
  return {
    steps: number("steps", steps),
    epochs: number("epochs", epochs),
    seed: number("seed", seed),
    set: Object.entries(others).map(([key, value]) => `${key}=${JSON.stringify(value)}`),
  };
}

function cellsOf(
  recipe: string,
  set: Readonly<Record<string, unknown>>,
  grid: Readonly<Record<string, readonly unknown[]>>,
  out: string,
  namesRecipe: boolean,
): Cell[] {
  const combinations = Object.entries(grid).reduce<Record<string, unknown>[]>(
    (rows, [key, options]) => rows.flatMap((row) => options.map((value) => ({ ...row, [key]: value }))),
    [{}],
  );
  return combinations.map((own) => {
    const { recipe: other, ...replaced } = own;
    const base = typeof other === "string" ? other : recipe;
    const parts = [
      ...(namesRecipe || other !== undefined ? [base] : []),
      ...Object.entries(replaced).map(([key, value]) => `${key.split(".").at(-1)}=${inName(value)}`),
    ];
    const name = parts.join(" ").replaceAll(/[^\w.=+-]+/g, "-") || "run";
    return { name, run: join(out, name), recipe: base, values: { ...set, ...replaced } };
  });
}

function inName(value: unknown): string {
  return typeof value === "string" || typeof value === "number" || typeof value === "boolean"
    ? `${value}`
    : JSON.stringify(value);
}
