/** @file `inbetween data check`: what a data set's folder or archive really holds. */

import type { Command } from "commander";
import { checkDataset, type DataCheck, type SplitCheck } from "../data/index.js";
import { metricTitle } from "../reports/index.js";
import { interruptSignal } from "./interrupt.js";
import { addJsonOption, addSplitOption } from "./options.js";
import { printResult, printWarning } from "./output.js";

interface CheckFlags {
  readonly split?: string;
  readonly json: boolean;
}

/** Names shown of each kind of problem; `--json` has all of them. */
const SHOWN = 5;

export function addData(program: Command): void {
  const data = program.command("data").description("Look at data sets.");
  const command = data
    .command("check")
    .description(
      "Say what a folder or tar archive was recognised as, and decode every image: classes and counts of each split, " +
        "sizes, missing and corrupt files, and images that are in two splits. Exits with 1 when files are missing or corrupt, or a split has none.",
    )
    .argument("<dir>", "folder, tar archive, or shards as name-{000..012}.tar");
  addJsonOption(addSplitOption(command, "check this split alone")).addHelpText(
    "after",
    `
Examples:
  inbetween data check ./fgvc-aircraft-2013b
  inbetween data check ./flowers-102 --split test --json
  inbetween data check "shards-{0000..0031}.tar"`,
  );
  command.action(async (path: string, { split, json }: CheckFlags) => {
    using interrupt = interruptSignal("stopping");
    let result: DataCheck;
    try {
      result = await checkDataset(path, {
        ...(split === undefined ? {} : { split }),
        signal: interrupt.signal,
        progress: progressLines(),
      });
    } catch (error) {
      if (!interrupt.signal.aborted) throw error;
      process.exitCode = 130;
      return;
    }
    for (const { splits, count, example } of result.shared) {
      const images = count === 1 ? "1 image is" : `${count} images are`;
      printWarning(
        `${images} in ${splits[0]} and in ${splits[1]}, such as ${example[0]} and ${example[1]}: ` +
          "accuracy on them shows memory",
      );
    }
    const damaged = result.splits.some(
      ({ listed, missing, corrupt }) => listed === 0 || missing.length + corrupt.length > 0,
    );
    if (damaged) process.exitCode = 1;
    printResult(json, result, asText(result));
  });
}

function asText({ path, recognised, metric, splits }: DataCheck): string {
  return [`${path}: ${recognised}, measured by ${metricTitle(metric)}`, ...splits.map(splitText)].join("\n");
}

function splitText({
  split,
  listed,
  images,
  classes,
  perClass,
  sides,
  missing,
  corrupt,
  repeated,
}: SplitCheck): string {
  const range = ([least, most]: readonly [number, number]) =>
    least === most ? `${least}` : `${least} to ${most}`;
  const labels =
    perClass === undefined
      ? "no labels"
      : `${classes} classes of ${range([perClass.least, perClass.most])}${perClass.empty > 0 ? `, ${perClass.empty} of them empty` : ""}`;
  const pixels = sides ? `, ${range(sides.width)} x ${range(sides.height)} px` : "";
  const lines = [`  ${split}: ${images} of ${listed} images decode, ${labels}${pixels}`];
  if (repeated > 0) lines.push(`    ${repeated} repeat an earlier one of the split`);
  lines.push(...problems("missing", missing));
  lines.push(
    ...problems(
      "corrupt",
      corrupt.map(({ name, reason }) => `${name} (${reason})`),
    ),
  );
  return lines.join("\n");
}

function problems(kind: string, names: readonly string[]): string[] {
  if (names.length === 0) return [];
  const more = names.length > SHOWN ? [`      and ${names.length - SHOWN} more: --json names them`] : [];
  return [`    ${names.length} ${kind}:`, ...names.slice(0, SHOWN).map((name) => `      ${name}`), ...more];
}

const PROGRESS_SECONDS = 2;

/** Says how far it is on stderr, every few seconds. */
function progressLines(): (split: string, done: number, total: number) => void {
  let last = performance.now();
  return (split, done, total) => {
    if (performance.now() - last < 1000 * PROGRESS_SECONDS) return;
    last = performance.now();
    process.stderr.write(`${split}: ${done} of ${total} images (${Math.floor((100 * done) / total)} %)\n`);
  };
}
