/** @file `inbetween embed`: the features of a folder of images as a NumPy array, Parquet or JSON lines. */

import type { Command } from "commander";
import { explainError } from "../files.js";
import { checkFeatureEnding, createFeatureFile, FEATURE_ENDINGS } from "../weights/index.js";
import {
  addEmbeddingOptions,
  type EmbeddingFlags,
  embedImages,
  featureKinds,
  openImages,
} from "./embedding.js";
import { interruptSignal } from "./interrupt.js";
import { loadEncoderFrom } from "./load-encoder.js";
import { addJsonOption } from "./options.js";
import { CommandError, checkOutputFile, printResult } from "./output.js";

interface EmbedFlags extends EmbeddingFlags {
  readonly out: string;
  readonly json: boolean;
}

export function addEmbed(program: Command): void {
  const command = program
    .command("embed")
    .description(
      "Write the features of every image with its name, and its class where the folder has classes. FILE.npy: float32 " +
        "[images, features], with FILE.names.txt and FILE.labels.txt beside it; FILE.parquet and FILE.jsonl: name, label, features.",
    )
    .argument("<data>", 'folder of images or data set; tar archive or shards; or "synthetic[:COUNT]"')
    .requiredOption(
      "--out <file>",
      `file to write, one of ${FEATURE_ENDINGS.join(", ")}; one that is there is replaced`,
    );
  addJsonOption(addEmbeddingOptions(command)).addHelpText(
    "after",
    `
Examples:
  inbetween embed ./photos --run runs/photos --out photos.npy
  inbetween embed ./photos --encoder ./encoder --features both --out photos.parquet --json

Then, in Python:
  features = numpy.load("photos.npy"); names = open("photos.names.txt").read().splitlines()
  table = pandas.read_parquet("photos.parquet")`,
  );
  command.action(async (data: string, flags: EmbedFlags) => {
    const { out } = flags;
    checkFeatureEnding(out);
    checkOutputFile(out);
    const { run, encoder: folder } = flags;
    const encoder = await loadEncoderFrom({ run, encoder: folder });
    const kinds = featureKinds(flags, encoder);
    const dataset = await openImages(data, encoder, flags);
    using interrupt = interruptSignal("stopping; nothing is written");
    const dim = encoder.config.embedDim * kinds.length;
    const start = performance.now();
    let count = 0;
    const labelled = dataset.classes !== undefined;
    const writer = await createFeatureFile(out, { count: dataset.length, dim, labelled });
    try {
      for await (const rows of embedImages(dataset, encoder, flags, interrupt.signal)) {
        await writer.append(rows);
        count += rows.names.length;
      }
      if (interrupt.signal.aborted) {
        await writer.abort();
        process.exitCode = 130;
        return;
      }
      await writer.close();
    } catch (error) {
      await writer.abort();
      if (!(error instanceof Error) || !("syscall" in error)) throw error;
      throw new CommandError(`${out} could not be written: ${explainError(error)}; nothing was changed`, {
        cause: error,
      });
    }
    const features = kinds.length > 1 ? "both" : kinds[0];
    const imagesPerSecond = (1000 * count) / (performance.now() - start);
    const skipped = dataset.skips.count;
    const summary = { file: out, ...writer.files, count, dim, features, skipped, imagesPerSecond };
    const where = writer.files.names === undefined ? "" : `, names in ${writer.files.names}`;
    const text = `${out}: ${count} images x ${dim} features of ${encoder.label} (${features})${where}`;
    printResult(flags.json, summary, text);
  });
}
