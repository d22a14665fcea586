/**
 * @file `inbetween demo`, what `npm start` runs: VICReg alone and with the in-between task on the same images, steps
 * and seed; both evaluated beside a random encoder; a table, a report, and the encoder to take away.
 */

import { resolve } from "node:path";
import type { Command } from "commander";
import { openDataset } from "../data/index.js";
import { evaluateTransformations, type TransformationsRecord } from "../evaluation/index.js";
import { appendEvaluation, readRun, terminalR2Tables, writeReport } from "../reports/index.js";
import { Device } from "../runtime/index.js";
import { pretrain } from "../training/index.js";
import { saveEncoder } from "../weights/index.js";
import { pairsFor } from "./evaluate.js";
import { evaluationProgress, unseenSeed } from "./evaluated.js";
import { interruptSignal } from "./interrupt.js";
import { type EncoderChoice, loadEncoderFrom } from "./load-encoder.js";
import { addDeviceOptions, addJsonOption, type DeviceFlags, wholeNumber } from "./options.js";
import { printResult, printWarning } from "./output.js";
import { loadRecipe } from "./recipes.js";
import { observeRun } from "./run-observer.js";

interface DemoFlags extends DeviceFlags {
  readonly out: string;
  readonly steps?: number;
  readonly seed: number;
  readonly overwrite: boolean;
  readonly repeats: number;
  readonly json: boolean;
}

const DEFAULT_OUT = "runs/demo";

function stopped(): void {
  process.stderr.write("stopped before the comparison was complete; `inbetween demo` begins it anew\n");
  process.exitCode = 130;
}

/** The runs that are compared, baseline first. */
const RECIPES = { vicreg: "quick/vicreg", inbetween: "quick/inbetween" } as const;

/** A smaller probe than the evaluation's own (SIE's): the same scores to about 0.02 in a fraction of the time. */
const QUICK_PROBE = { epochs: 40, patience: 5, hidden: 256 } as const;

/** Images that each evaluation takes at most. */
const QUICK_IMAGES = 4000;

/** Images of the built-in set: enough that few steps see an image twice. */
const BUILT_IN = "synthetic:8000";

export function addDemo(program: Command): void {
  const command = program
    .command("demo")
    .description(
      "Pretrain two small encoders, VICReg alone and with the in-between task, and compare what they know with a " +
        "random one: a few minutes on two cores.",
    )
    .argument("[data]", "folder of your own images (default: the built-in procedural ones)", BUILT_IN)
    .option("--out <folder>", "where the runs and the report go", DEFAULT_OUT)
    .option("--steps <n>", "optimiser steps of each run, in place of the recipes'", wholeNumber(1))
    .option("--seed <n>", "seed of everything random", wholeNumber(0), 0)
    .option("--overwrite", `delete runs that are in --out (those in ${DEFAULT_OUT} always are)`, false)
    .option("--repeats <n>", "probes trained on the same features", wholeNumber(1), 3);
  addJsonOption(addDeviceOptions(command)).addHelpText(
    "after",
    `
Examples:
  inbetween demo
  inbetween demo ./photos --out runs/photos-demo
  npm start -- ./photos`,
  );
  command.action(async (data: string, flags: DemoFlags) => {
    const start = performance.now();
    const { out, steps, seed, device: provider, threads, repeats } = flags;
    const where = { device: provider, ...(threads === undefined ? {} : { threads }) };
    using interrupt = interruptSignal();
    const runs: string[] = [];
    for (const [name, recipe] of Object.entries(RECIPES)) {
      const run = `${out}/${name}`;
      const { interrupted } = await pretrain({
        ...where,
        config: loadRecipe(recipe, { steps, seed }),
        data,
        out: run,
        overwrite: flags.overwrite || out === DEFAULT_OUT,
        signal: interrupt.signal,
        warn: printWarning,
        observe: (context) => observeRun(context, { data }),
      });
      if (interrupted) return stopped();
      runs.push(run);
    }

    const choices: EncoderChoice[] = [{ random: RECIPES.inbetween, seed }, ...runs.map((run) => ({ run }))];
    const records: TransformationsRecord[] = [];
    await using device = await Device.open({ provider, ...(threads === undefined ? {} : { threads }) });
    for (const choice of choices) {
      if (interrupt.signal.aborted) return stopped();
      const encoder = await loadEncoderFrom(choice);
      // Images that no run has seen where they can be made; one's own folder has no others.
      const dataset = await openDataset(data, {
        synthetic: { seed: unseenSeed(seed), size: encoder.config.imageSize },
      });
      const result = await evaluateTransformations({
        device,
        encoder,
        dataset,
        name: choice.run ?? "random",
        seed,
        repeats,
        ...QUICK_PROBE,
        ...pairsFor(Math.min(dataset.length, QUICK_IMAGES)),
        progress: evaluationProgress(encoder.label),
      });
      for (const record of result.records) if (choice.run) appendEvaluation(choice.run, record);
      records.push(...result.records);
    }

    const report = writeReport(
      {
        title: "VICReg with and without the in-between task",
        runs: runs.map(readRun),
        evaluations: records.filter(({ encoder }) => encoder === "random"),
      },
      `${out}/report.html`,
    );
    const [, ours = ""] = runs;
    const { folder: encoder } = await saveEncoder(await loadEncoderFrom({ run: ours }), `${out}/encoder`, {
      overwrite: true,
    });
    const seconds = (performance.now() - start) / 1000;
    const text = [
      terminalR2Tables(records),
      `report:  ${report}`,
      `encoder: ${encoder} (load it with transformers.js)`,
      `${Math.round(seconds)} s. A run this short shows that everything works, not which method is better:`,
      "the report says what it can and cannot show.",
    ].join("\n");
    printResult(
      flags.json,
      { report, encoder, runs: runs.map((run) => resolve(run)), seconds, records },
      text,
    );
  });
}
