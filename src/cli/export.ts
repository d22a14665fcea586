/** @file `inbetween export`: the encoder of a run as a folder that transformers.js and Hugging Face load. */

import { join } from "node:path";
import type { Command } from "commander";
import { ONNX_PRECISIONS, type OnnxPrecision, saveEncoder } from "../weights/index.js";
import { loadEncoderFrom } from "./load-encoder.js";
import { addJsonOption, addOnnxOption } from "./options.js";
import { printResult } from "./output.js";

interface ExportFlags {
  readonly run?: string;
  readonly encoder?: string;
  readonly random?: string;
  readonly out?: string;
  readonly overwrite?: boolean;
  readonly onnx: readonly OnnxPrecision[];
  readonly json: boolean;
}

export function addExport(program: Command): void {
  const command = program
    .command("export")
    .description(
      "Write an encoder in the Hugging Face layout: config.json, preprocessor_config.json, model.safetensors, and ONNX " +
        "models in full, half and 8-bit precision as transformers.js loads them.",
    )
    .option("--run <run>", "run folder: its newest checkpoint")
    .option("--encoder <dir>", "exported encoder, to write it anew")
    .option("--random <recipe>", "the recipe's encoder as it starts")
    .option("--out <dir>", "folder to write (default: export/ in the run folder)")
    .option("--overwrite", "replace an encoder that is in the folder");
  addJsonOption(addOnnxOption(command, ONNX_PRECISIONS)).addHelpText(
    "after",
    `
Examples:
  inbetween export --run runs/photos
  inbetween export --run runs/photos --out ./encoder --onnx fp32,int8 --overwrite

Then, in JavaScript:
  import { env, pipeline } from "@huggingface/transformers";
  env.localModelPath = ".";
  const extract = await pipeline("image-feature-extraction", "encoder", { dtype: "fp32" }); // or "fp16", "q8"`,
  );
  command.action(async (flags: ExportFlags) => {
    const encoder = await loadEncoderFrom(flags);
    if (flags.out === undefined && flags.run === undefined) {
      command.error("error: name the folder to write with --out");
    }
    const out = flags.out ?? join(flags.run as string, "export");
    const overwrite = flags.overwrite === true || flags.out === undefined;
    const saved = await saveEncoder(encoder, out, { overwrite, onnx: flags.onnx });
    printResult(flags.json, { encoder: out, ...saved }, `${out}: ${encoder.label}`);
  });
}
