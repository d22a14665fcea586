/** @file `inbetween map`: images on a plane, those near each other whose features are alike. */

import { type Command, Option } from "commander";
import { encodePng } from "../data/index.js";
import { PROJECTION_METHODS, type ProjectionMethod, projectFeatures } from "../evaluation/index.js";
import { writeFileAtomic } from "../files.js";
import { randomStream } from "../random.js";
import { embeddingMapPage, embeddingMapSvg, type MapPoint } from "../reports/index.js";
import {
  addEmbeddingOptions,
  type EmbeddedImages,
  type EmbeddingFlags,
  embeddedImages,
} from "./embedding.js";
import { loadEncoderFrom } from "./load-encoder.js";
import { addJsonOption, wholeNumber } from "./options.js";
import { CommandError, checkOutputFile, printResult } from "./output.js";

interface MapFlags extends EmbeddingFlags {
  readonly images?: string;
  readonly method: ProjectionMethod;
  readonly neighbors: number;
  readonly seed: number;
  readonly pictures: number;
  readonly size: number;
  readonly out: string;
  readonly json: boolean;
}

export function addMap(program: Command): void {
  const command = program
    .command("map")
    .description(
      "Draw images where their features lie: on the first two principal components, or by UMAP, which keeps neighbours " +
        "together. Classes have colours; names show when the mouse rests on a picture.",
    )
    .argument("<data>", "folder of images, or a file that `inbetween embed` wrote")
    .option("--images <folder>", "the folder that such a file's images are in; without it, dots are drawn")
    .addOption(new Option("--method <name>", "projection").choices([...PROJECTION_METHODS]).default("umap"))
    .option("--neighbors <n>", "UMAP: neighbours that each image is kept near to", wholeNumber(2), 15)
    .option("--seed <n>", "of UMAP, and of which images have pictures", wholeNumber(0), 0)
    .option(
      "--pictures <n>",
      "images that have pictures, drawn by chance; dots for the others",
      wholeNumber(0),
      500,
    )
    .option("--size <n>", "side of a picture in pixels", wholeNumber(8), 40)
    .requiredOption("--out <file>", "file to write: .html or .svg, complete in itself");
  addJsonOption(addEmbeddingOptions(command)).addHelpText(
    "after",
    `
Examples:
  inbetween map ./photos --run runs/photos --out map.html
  inbetween map photos.parquet --images ./photos --method pca --out map.svg`,
  );
  command.action(async (data: string, flags: MapFlags) => {
    const { out, method, seed, neighbors, size } = flags;
    const isPage = /\.html?$/i.test(out);
    if (!isPage && !/\.svg$/i.test(out)) {
      throw new CommandError(`--out ${out}: the ending says what is written; give one of .html, .svg`);
    }
    checkOutputFile(out);
    const encoder = () => loadEncoderFrom({ run: flags.run, encoder: flags.encoder });
    const images = await embeddedImages(data, encoder, flags, flags.images);
    const places = projectFeatures(images.features, { method, seed, neighbors });
    const pictures = await picturesOf(images, flags);
    const points = places.map(
      ([x, y], i): MapPoint => ({
        x,
        y,
        name: images.names[i] as string,
        label: images.labels?.[i],
        picture: pictures.get(i),
      }),
    );
    const title = `${points.length} images of ${data} by ${method === "pca" ? "principal components" : "UMAP"}`;
    const draw = isPage ? embeddingMapPage : embeddingMapSvg;
    writeFileAtomic(out, draw(points, { title, pictureSize: size }));
    const count = pictures.size;
    const summary = { file: out, images: points.length, pictures: count, method, seed };
    printResult(flags.json, summary, `${out}: ${points.length} images, ${count} with pictures, ${method}`);
  });
}

/** PNG files by row. */
async function picturesOf(
  { features, picture }: EmbeddedImages,
  { pictures, seed, size }: MapFlags,
): Promise<Map<number, Uint8Array>> {
  const found = new Map<number, Uint8Array>();
  if (!picture) return found;
  const chosen = randomStream(seed, "map pictures").permutation(features.rows).slice(0, pictures);
  for (const row of [...chosen].sort((a, b) => a - b)) {
    const { data, width, height } = await picture(row, size);
    found.set(row, await encodePng(data, width, height));
  }
  return found;
}
