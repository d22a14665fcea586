/** @file Every built-in recipe is a configuration that a method can be made for, under the name of its file. */

import { expect, test } from "vitest";
import { loadRecipe, recipeNames } from "#src/cli/recipes.js";
import { buildMethod } from "#src/training/index.js";

test.each(recipeNames())("%s", (name) => {
  const config = loadRecipe(name);
  expect(config.name).toBe(name);
  expect(config.description).not.toBe("");
  expect(buildMethod(config).method.title).not.toBe("");
});
