/** @file Where the paper has a recipe's row, in words. */

import type { RunConfig } from "../training/index.js";

/** "Tables 2, 3: MAE"; only the row's name where no table is named. */
export function tableText({ numbers, row }: NonNullable<RunConfig["table"]>): string {
  if (numbers.length === 0) return row;
  return `${numbers.length === 1 ? "Table" : "Tables"} ${numbers.join(", ")}: ${row}`;
}
