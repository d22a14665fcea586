/** @file `inbetween recipes`: the built-in recipes. */

import type { Command } from "commander";
import { stdoutColors } from "./colors.js";
import { addJsonOption } from "./options.js";
import { printResult } from "./output.js";
import { loadRecipe, recipeNames } from "./recipes.js";

export function addRecipes(program: Command): void {
  const command = program.command("recipes").description("List the built-in recipes.");
  addJsonOption(command).addHelpText(
    "after",
    `
Examples:
  inbetween recipes
  inbetween pretrain ./photos --recipe quick/vicreg --out runs/vicreg

A recipe is a YAML file: \`--recipe my.yaml\` takes one of your own, and \`--set key=value\` changes a value.`,
  );
  command.action(({ json }: { readonly json: boolean }) => {
    const recipes = recipeNames().map((name) => ({ name, description: loadRecipe(name).description }));
    const width = Math.max(...recipes.map(({ name }) => name.length));
    const lines = recipes.map(
      ({ name, description }) => `${stdoutColors.bold(name.padEnd(width))}  ${description}`,
    );
    printResult(json, { recipes }, lines.join("\n"));
  });
}
