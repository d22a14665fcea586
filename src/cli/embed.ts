/** @file `inbetween embed`: the features of a folder of images as a NumPy array, with the names of its rows. */

import { accessSync, constants, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { type Command, Option } from "commander";
import { createSequentialLoader, type Dataset, openDataset } from "../data/index.js";
import { FeatureExtractor, type FeatureKind } from "../evaluation/index.js";
import { explainError, writeFileAtomic } from "../files.js";
import { Device } from "../runtime/index.js";
import { encoderPreprocessing, NpyWriter } from "../weights/index.js";
import { interruptSignal } from "./interrupt.js";
import { loadEncoderFrom } from "./load-encoder.js";
import { addDeviceOptions, addJsonOption, addSplitOption, type DeviceFlags, wholeNumber } from "./options.js";
import { CommandError, printResult, printWarning } from "./output.js";

interface EmbedFlags extends DeviceFlags {
  readonly run?: string;
  readonly encoder?: string;
  readonly out: string;
  readonly split?: string;
  readonly features?: FeatureKind | "both";
  readonly batch: number;
  readonly json: boolean;
}

export function addEmbed(program: Command): void {
  const command = program
    .command("embed")
    .description(
      "Write the features of every image: FILE.npy, float32 [images, features]; FILE.names.txt, the image of each row; " +
        "FILE.labels.txt, its class, where the folder has classes.",
    )
    .argument("<data>", 'folder of images or data set; tar archive or shards; or "synthetic[:COUNT]"')
    .option("--run <run>", "run folder: its newest checkpoint")
    .option("--encoder <dir>", "exported encoder")
    .requiredOption("--out <file.npy>", "file to write; one that is there is replaced")
    .addOption(
      new Option(
        "--features <kind>",
        "class token, mean of the patches, or both side by side (default: the one that was trained)",
      ).choices(["cls", "mean", "both"]),
    )
    .option("--batch <n>", "images at a time", wholeNumber(1), 64);
  addJsonOption(
    addDeviceOptions(addSplitOption(command, "images of this split (default: train)")),
  ).addHelpText(
    "after",
    `
Examples:
  inbetween embed ./photos --run runs/photos --out photos.npy
  inbetween embed ./photos --encoder ./encoder --features both --out photos.npy --json

Then, in Python:
  features = numpy.load("photos.npy"); names = open("photos.names.txt").read().splitlines()`,
  );
  command.action(async (data: string, flags: EmbedFlags) => {
    const files = outputFiles(flags.out);
    const { run, encoder: folder, device: provider, threads } = flags;
    const encoder = await loadEncoderFrom({ run, encoder: folder });
    const kind = flags.features ?? encoder.trained;
    const kinds: FeatureKind[] = kind === "both" ? ["cls", "mean"] : [kind];
    const dataset = await openDataset(data, {
      ...(flags.split === undefined ? {} : { split: flags.split }),
      synthetic: { size: encoder.config.imageSize },
    });
    using interrupt = interruptSignal("stopping; nothing is written");
    await using device = await Device.open({ provider, ...(threads === undefined ? {} : { threads }) });
    const batchSize = Math.min(flags.batch, dataset.length);
    const extractor = await FeatureExtractor.create(device, encoder, { kinds, batchSize });
    const result = await writeFeatures({ dataset, extractor, kinds, files, signal: interrupt.signal });
    if (!result) {
      process.exitCode = 130;
      return;
    }
    const { count, dim, imagesPerSecond, skipped, labelled } = result;
    if (skipped > 0) {
      const [first] = dataset.skips.entries;
      printWarning(`${skipped} unusable images were left out, the first: ${first?.name} (${first?.reason})`);
    }
    const summary = {
      file: files.features,
      names: files.names,
      ...(labelled ? { labels: files.labels } : {}),
      count,
      dim,
      features: kind,
      skipped,
      imagesPerSecond,
    };
    const text = `${files.features}: ${count} images x ${dim} features of ${encoder.label} (${kind}), names in ${files.names}`;
    printResult(flags.json, summary, text);
  });
}

interface OutputFiles {
  readonly features: string;
  readonly names: string;
  readonly labels: string;
}

/** The files' names. @throws CommandError when they cannot be written there, before anything is computed. */
function outputFiles(out: string): OutputFiles {
  const stem = /^(.*[^/\\])\.npy$/.exec(out)?.[1];
  if (stem === undefined) {
    throw new CommandError(
      `--out ${out}: features are written as a NumPy array; give a name that ends in .npy`,
    );
  }
  const folder = dirname(out);
  try {
    accessSync(folder, constants.W_OK);
    if (!statSync(folder).isDirectory()) throw new Error(`${folder} is a file`);
  } catch (error) {
    throw new CommandError(
      `--out ${out} cannot be written, because of its folder ${folder}: ${explainError(error)}; ` +
        "make the folder, or choose another",
      { cause: error },
    );
  }
  if (statSync(out, { throwIfNoEntry: false })?.isDirectory()) {
    throw new CommandError(`--out ${out} is a folder; give the name of a file`);
  }
  return { features: out, names: `${stem}.names.txt`, labels: `${stem}.labels.txt` };
}

interface Job {
  readonly dataset: Dataset;
  readonly extractor: FeatureExtractor;
  readonly kinds: readonly FeatureKind[];
  readonly files: OutputFiles;
  readonly signal: AbortSignal;
}

/** Writes the files, all of them or none. Returns undefined when the signal stopped it. */
async function writeFeatures({ dataset, extractor, kinds, files, signal }: Job) {
  const dim = extractor.features * kinds.length;
  const { resize, size } = encoderPreprocessing({ imageSize: extractor.imageSize });
  const loader = createSequentialLoader({
    dataset,
    batchSize: extractor.batchSize,
    views: [{ kind: "resizeCenterCrop", resize, size }],
    cacheBytes: 0,
  });
  const writer = await NpyWriter.create(files.features, "float32", [dataset.length, dim]);
  const rows: number[] = [];
  const start = performance.now();
  const progress = progressLines(dataset.length);
  try {
    for await (const { views, count, indices } of loader) {
      if (signal.aborted) break;
      const { image } = await extractor.extract(views[0] as Uint8Array, count);
      const parts = kinds.map((kind) => image?.[kind]?.data);
      await writer.append(sideBySide(parts as Float32Array[], count, extractor.features));
      rows.push(...indices);
      progress(rows.length);
    }
    if (signal.aborted) {
      await writer.abort();
      return undefined;
    }
    const { classes } = dataset;
    writeFileAtomic(files.names, lines(rows.map((index) => dataset.sampleName(index))));
    if (classes) {
      writeFileAtomic(files.labels, lines(rows.map((index) => classes[dataset.label(index) ?? -1] ?? "")));
    } else rmSync(files.labels, { force: true }); // Of an earlier array of this name.
    await writer.closeEarly();
  } catch (error) {
    await writer.abort();
    if (!(error instanceof Error) || !("syscall" in error)) throw error;
    throw new CommandError(
      `${files.features} could not be written: ${explainError(error)}; nothing was changed`,
      {
        cause: error,
      },
    );
  }
  const imagesPerSecond = (1000 * rows.length) / (performance.now() - start);
  const skipped = dataset.skips.count;
  return { count: rows.length, dim, imagesPerSecond, skipped, labelled: dataset.classes !== undefined };
}

/** Joins matrices of `count` rows, `[count, width]` each, along the rows. */
function sideBySide(parts: readonly Float32Array[], count: number, width: number): Float32Array {
  const [only] = parts;
  if (parts.length === 1 && only) return only;
  const joined = new Float32Array(count * width * parts.length);
  for (let row = 0; row < count; row++) {
    parts.forEach((part, i) => {
      joined.set(part.subarray(row * width, (row + 1) * width), (row * parts.length + i) * width);
    });
  }
  return joined;
}

/** One name a line: a name with a line break in it must not become two. */
function lines(names: readonly string[]): string {
  return names.map((name) => `${name.replace(/[\r\n]/g, (c) => (c === "\n" ? "\\n" : "\\r"))}\n`).join("");
}

const PROGRESS_SECONDS = 2;

/** Says how far it is on stderr, every few seconds. */
function progressLines(total: number): (done: number) => void {
  let last = performance.now();
  return (done) => {
    if (performance.now() - last < 1000 * PROGRESS_SECONDS) return;
    last = performance.now();
    process.stderr.write(`${done} of ${total} images (${Math.floor((100 * done) / total)} %)\n`);
  };
}
