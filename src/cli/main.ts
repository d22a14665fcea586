/** @file The command line: the table of commands, and what is common to them. */

import { Command, CommanderError } from "commander";
import { printError } from "./output.js";
import { addPretrain } from "./pretrain.js";
import { version } from "./version.js";

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
  for (const add of [addPretrain]) add(program);
  for (const command of program.commands) {
    command
      .exitOverride()
      .allowExcessArguments(false)
      .showSuggestionAfterError(true)
      .showHelpAfterError("(--help shows the options)");
  }
  try {
    await program.parseAsync([...argv], { from: "user" });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode;
    printError(error);
    return 1;
  }
}
