/** @file The command line: the table of commands, and what is common to them. */

import { Command, CommanderError } from "commander";
import { addAttention } from "./attention.js";
import { addBench } from "./bench.js";
import { addCompare } from "./compare.js";
import { addData } from "./data.js";
import { addDemo } from "./demo.js";
import { addDoctor } from "./doctor.js";
import { addEmbed } from "./embed.js";
import { addEvaluate } from "./evaluate.js";
import { addExport } from "./export.js";
import { addImport } from "./import.js";
import { addRecipes } from "./list-recipes.js";
import { addMap } from "./map.js";
import { printError } from "./output.js";
import { addPlan } from "./plan.js";
import { addPretrain } from "./pretrain.js";
import { addReplay } from "./replay.js";
import { addReport } from "./report.js";
import { addSearch } from "./search.js";
import { addSweep } from "./sweep.js";
import { version } from "./version.js";

/** In the order of the help. */
const commands = [
  addDemo,
  addPretrain,
  addRecipes,
  addPlan,
  addEvaluate,
  addEmbed,
  addData,
  addSearch,
  addMap,
  addAttention,
  addExport,
  addImport,
  addReport,
  addSweep,
  addCompare,
  addReplay,
  addBench,
  addDoctor,
];

/** Runs a command line (without node and script). Returns the exit code: 0 on success only. */
export async function main(argv: readonly string[]): Promise<number> {
  const program = new Command("inbetween")
    .description(
      "Self-supervised vision pretraining whose features keep the transformation, in TypeScript on ONNX Runtime.",
    )
    .version(version)
    .showSuggestionAfterError(true)
    .showHelpAfterError("(--help shows the options)")
    .exitOverride();
  // Subcommands inherit these settings.
  for (const add of commands) add(program);
  // What a command waits for may not keep the process alive by itself (an idle worker does not): it must not end silently.
  const alive = setInterval(() => undefined, 2 ** 30);
  try {
    await program.parseAsync([...argv], { from: "user" });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode;
    printError(error);
    return 1;
  } finally {
    clearInterval(alive);
  }
}
