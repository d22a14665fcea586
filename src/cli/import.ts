/** @file `inbetween import`: an encoder of others, from PyTorch or safetensors, as a folder that all commands take. */

import { type Command, Option } from "commander";
import { positionInterpolations } from "../nn/index.js";
import {
  type FamilyName,
  type FeatureKind,
  familyNames,
  type ImportReport,
  importEncoder,
  type OnnxPrecision,
  saveEncoder,
} from "../weights/index.js";
import { architectureText } from "./load-encoder.js";
import { addJsonOption, addOnnxOption, positiveNumber, wholeNumber } from "./options.js";
import { printResult, printWarning } from "./output.js";

type InterpolationName = keyof typeof positionInterpolations;

interface ImportFlags {
  readonly out: string;
  readonly family?: FamilyName;
  readonly part?: string;
  readonly heads?: number;
  readonly epsilon?: number;
  readonly interpolation?: InterpolationName;
  readonly features?: FeatureKind;
  readonly normalization?: "imagenet" | "file";
  readonly label?: string;
  readonly onnx: readonly OnnxPrecision[];
  readonly overwrite?: boolean;
  readonly json: boolean;
}

export function addImport(program: Command): void {
  const command = program
    .command("import")
    .description(
      "Turn published weights into an encoder folder: PyTorch files (read without executing anything in them), " +
        "safetensors, Hugging Face folders; timm, DINO, iBOT, DINOv2, MoCo v3, MAE, I-JEPA.",
    )
    .argument("<path>", "file of weights, or a folder with one")
    .requiredOption("--out <dir>", "folder to write")
    .addOption(
      new Option("--family <name>", "whose weights they are (default: by the names of the tensors)").choices(
        familyNames,
      ),
    )
    .option("--part <name>", "which encoder of a checkpoint: teacher, student, target_encoder, …")
    .option("--heads <n>", "attention heads, which tensors do not show", wholeNumber(1))
    .option("--epsilon <x>", "of the layer norms, which tensors do not show", positiveNumber)
    .addOption(
      new Option("--interpolation <name>", "how positions are fitted to other image sizes").choices(
        Object.keys(positionInterpolations),
      ),
    )
    .addOption(
      new Option("--features <kind>", "feature to use when none is asked for").choices(["cls", "mean"]),
    )
    .addOption(
      new Option(
        "--normalization <whose>",
        "mean and deviation that its images have: ImageNet's (default), or as the files beside the weights say",
      ).choices(["imagenet", "file"]),
    )
    .option("--label <text>", "label in tables")
    .option("--overwrite", "replace an encoder that is in the folder");
  addJsonOption(addOnnxOption(command, [])).addHelpText(
    "after",
    `
Examples:
  inbetween import dino_deitsmall16_pretrain.pth --out encoders/dino
  inbetween import ./dinov2-small --out encoders/dinov2
  inbetween import ibot_checkpoint.pth --part student --out encoders/ibot-student
  inbetween import my-vit.pt --family timm --heads 8 --out encoders/mine --json

Then:
  inbetween embed ./photos --encoder encoders/dino --out photos.npy`,
  );
  command.action(async (path: string, flags: ImportFlags) => {
    const { out, family, part, heads, epsilon, interpolation, features, label, normalization } = flags;
    const { encoder, report } = await importEncoder(path, {
      family,
      part,
      numHeads: heads,
      epsilon,
      interpolation: interpolation && positionInterpolations[interpolation],
      feature: features,
      label,
      normalization,
    });
    for (const warning of report.warnings) printWarning(warning);
    process.stderr.write(describe(report));
    const saved = await saveEncoder(encoder, out, {
      overwrite: flags.overwrite ?? false,
      onnx: flags.onnx,
    });
    const text = `${out}: ${encoder.label}, ${architectureText(encoder)}`;
    printResult(
      flags.json,
      { encoder: out, label: encoder.label, architecture: encoder.config, ...report, ...saved },
      text,
    );
  });
}

/** What was done, in lines for stderr. */
function describe(report: ImportReport): string {
  const { family, part, format, taken, renamed, converted, leftOver, missing, alternatives, assumed } =
    report;
  const lines = [
    `${format}: ${family}, ${part}`,
    ...assumed,
    `taken: ${taken.length} tensors, ${renamed.length} of them renamed`,
    ...Object.entries(converted).map(
      ([dtype, count]) => `converted to float32: ${count} tensors of ${dtype}`,
    ),
    `left over: ${leftOver.length === 0 ? "none" : grouped(leftOver)}`,
    `missing: ${missing.length === 0 ? "none" : grouped(missing)}`,
  ];
  if (alternatives.length > 0) {
    lines.push(`other families store an encoder in the same way (--family): ${alternatives.join(", ")}`);
  }
  return lines.map((line) => `  ${line}\n`).join("");
}

const MOST_GROUPS = 8;

/** Names by what they start with, and how many there are. */
function grouped(names: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const name of names) {
    const start = /^((state_dict|module|model)\.)*[^.]*/.exec(name)?.[0] ?? name;
    counts.set(start, (counts.get(start) ?? 0) + 1);
  }
  const groups = [...counts].map(([start, count]) => (count === 1 ? start : `${start} (${count})`));
  const more = groups.length > MOST_GROUPS ? `, … (${names.length} tensors in all)` : "";
  return groups.slice(0, MOST_GROUPS).join(", ") + more;
}
