/** @file `inbetween recipes`: the built-in recipes, and where the paper has their rows. */

import type { Command } from "commander";
import { stdoutColors } from "./colors.js";
import { addJsonOption } from "./options.js";
import { printResult } from "./output.js";
import { loadRecipe, recipeNames } from "./recipes.js";
import { tableText } from "./table-row.js";

export function addRecipes(program: Command): void {
  const command = program
    .command("recipes")
    .description("List the built-in recipes with their rows in the paper's tables.");
  addJsonOption(command).addHelpText(
    "after",
    `
Examples:
  inbetween recipes
  inbetween plan paper/mae
  inbetween pretrain ./photos --recipe quick/vicreg --out runs/vicreg

A recipe is a YAML file: \`--recipe my.yaml\` takes one of your own, and \`--set key=value\` changes a value.`,
  );
  command.action(({ json }: { readonly json: boolean }) => {
    const recipes = recipeNames().map((name) => {
      const { description, table } = loadRecipe(name);
      return { name, description, ...(table ? { table } : {}) };
    });
    const width = Math.max(...recipes.map(({ name }) => name.length));
    const lines = recipes.map(({ name, description, table }) => {
      const row = table ? stdoutColors.dim(`  [${tableText(table)}]`) : "";
      return `${stdoutColors.bold(name.padEnd(width))}  ${description}${row}`;
    });
    printResult(json, { recipes }, lines.join("\n"));
  });
}
