/** @file `inbetween search`: the images that an encoder finds most like others. */

import type { Command } from "commander";
import { contactSheet, openImageFiles, type Raster } from "../data/index.js";
import { type Neighbor, nearestNeighbors } from "../evaluation/index.js";
import { writeFileAtomic } from "../files.js";
import {
  addEmbeddingOptions,
  type EmbeddedImages,
  type EmbeddingFlags,
  embedAll,
  embeddedImages,
} from "./embedding.js";
import { loadEncoderFrom } from "./load-encoder.js";
import { addJsonOption, wholeNumber } from "./options.js";
import { CommandError, checkOutputFile, printResult } from "./output.js";

interface SearchFlags extends EmbeddingFlags {
  readonly in: string;
  readonly images?: string;
  readonly top: number;
  readonly out?: string;
  readonly json: boolean;
}

/** Side of a picture in the sheet, in pixels. */
const PICTURE = 112;

export function addSearch(program: Command): void {
  const command = program
    .command("search")
    .description(
      "Find the images most like others: nearest neighbours of their features by cosine similarity, as a list and as a " +
        "contact sheet with names and similarities.",
    )
    .argument("<images...>", "image files to find the like of")
    .requiredOption(
      "--in <data>",
      "where to search: a folder of images, or a file that `inbetween embed` wrote",
    )
    .option("--images <folder>", "the folder that such a file's images are in, for the contact sheet")
    .option("--top <n>", "neighbours of each image", wholeNumber(1), 8)
    .option("--out <file.png>", "write a contact sheet: each image, then its neighbours, in a row");
  addJsonOption(addEmbeddingOptions(command)).addHelpText(
    "after",
    `
Examples:
  inbetween search cat.jpg --in ./photos --run runs/photos --out neighbours.png
  inbetween search cat.jpg dog.jpg --in photos.parquet --images ./photos --encoder ./encoder --top 5 --json`,
  );
  command.action(async (images: string[], flags: SearchFlags) => {
    if (flags.out !== undefined) checkPng(flags.out);
    const queries = openImageFiles(images);
    const encoder = await loadEncoderFrom({ run: flags.run, encoder: flags.encoder });
    const bank = await embeddedImages(flags.in, async () => encoder, flags, flags.images);
    if (flags.out !== undefined && !bank.picture) {
      throw new CommandError(
        `--out needs the images that ${flags.in} names; give their folder with --images`,
      );
    }
    const asked = await embedAll(queries, encoder, flags);
    const found = nearestNeighbors(bank.features, asked.features, flags.top);
    const results = found.map((neighbors, i) => ({
      query: asked.names[i] as string,
      neighbors: neighbors.map(({ index, similarity }) => ({
        name: bank.names[index] as string,
        ...(bank.labels ? { label: bank.labels[index] } : {}),
        similarity,
      })),
    }));
    if (flags.out !== undefined) writeFileAtomic(flags.out, await sheetOf(asked, bank, found));
    const text = results.map(({ query, neighbors }) =>
      [query, ...neighbors.map(({ name, similarity }) => `  ${similarity.toFixed(3)}  ${name}`)].join("\n"),
    );
    const sheet = flags.out === undefined ? {} : { sheet: flags.out };
    printResult(flags.json, { results, ...sheet }, text.join("\n"));
  });
}

/** @throws CommandError when no PNG can be written there. */
export function checkPng(out: string): void {
  if (!/\.png$/i.test(out))
    throw new CommandError(`--out ${out}: a picture is written; give a name that ends in .png`);
  checkOutputFile(out);
}

/** A row a query: itself, then its neighbours. */
async function sheetOf(
  asked: EmbeddedImages,
  bank: EmbeddedImages,
  found: readonly (readonly Neighbor[])[],
): Promise<Uint8Array> {
  const pictures: Raster[] = [];
  const captions: string[][] = [];
  for (const [i, neighbors] of found.entries()) {
    pictures.push((await asked.picture?.(i, PICTURE)) as Raster);
    captions.push([asked.names[i] as string, "query"]);
    for (const { index, similarity } of neighbors) {
      pictures.push((await bank.picture?.(index, PICTURE)) as Raster);
      captions.push([bank.names[index] as string, similarity.toFixed(3)]);
    }
  }
  return contactSheet(pictures, { columns: pictures.length / found.length, gap: 6, captions });
}
