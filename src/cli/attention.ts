/** @file `inbetween attention`: what an encoder looks at in images, as one picture. */

import type { Command } from "commander";
import { centerSquare, contactSheet, openImageFiles, type Raster } from "../data/index.js";
import { attentionPictures } from "../evaluation/index.js";
import { writeFileAtomic } from "../files.js";
import { Device } from "../runtime/index.js";
import { encoderPreprocessing } from "../weights/index.js";
import { loadEncoderFrom } from "./load-encoder.js";
import { addDeviceOptions, addJsonOption, type DeviceFlags, wholeNumber } from "./options.js";
import { CommandError, printResult } from "./output.js";
import { checkPng } from "./search.js";

interface AttentionFlags extends DeviceFlags {
  readonly run?: string;
  readonly encoder?: string;
  readonly size?: number;
  readonly out: string;
  readonly json: boolean;
}

/** Sides of pictures in the sheet: small ones are enlarged to at least this many pixels. */
const LEAST_SIDE = 112;

export function addAttention(program: Command): void {
  const command = program
    .command("attention")
    .description(
      "Show what an encoder looks at: for each image the attention of the class token to the patches in the last block, " +
        "head by head (of all patches where there is no class token), and the patch features' first three principal " +
        "components as colours, side by side with the image. Each head's map reaches from its least to its largest share.",
    )
    .argument("<images...>", "image files")
    .option("--run <run>", "run folder: its newest checkpoint")
    .option("--encoder <dir>", "exported encoder")
    .option(
      "--size <n>",
      "side of the images in pixels, a multiple of the patch (default: the encoder's)",
      wholeNumber(1),
    )
    .requiredOption("--out <file.png>", "picture to write");
  addJsonOption(addDeviceOptions(command)).addHelpText(
    "after",
    `
Examples:
  inbetween attention cat.jpg --run runs/photos --out attention.png
  inbetween attention cat.jpg dog.jpg --encoder ./encoder --size 448 --out attention.png`,
  );
  command.action(async (images: string[], flags: AttentionFlags) => {
    const { run, encoder: folder, out, device: provider, threads } = flags;
    checkPng(out);
    const dataset = openImageFiles(images);
    const encoder = await loadEncoderFrom({ run, encoder: folder });
    const { imageSize, patchSize, numHeads } = encoder.config;
    const size = flags.size ?? imageSize;
    if (size % patchSize !== 0) {
      const nearest = Math.max(1, Math.round(size / patchSize)) * patchSize;
      throw new CommandError(
        `--size ${size} is no multiple of the patch, ${patchSize} pixels; try ${nearest}`,
      );
    }
    const { resize } = encoderPreprocessing({ imageSize: size });
    const rasters: Raster[] = [];
    for (let i = 0; i < dataset.length; i++) rasters.push(await centerSquare(dataset, i, size, resize));
    await using device = await Device.open({ provider, ...(threads === undefined ? {} : { threads }) });
    const planes = planesOf(rasters, size);
    const pictures = await attentionPictures(device, encoder, planes, rasters.length, size);
    const heads = Array.from({ length: numHeads }, (_, head) => [`head ${head + 1}`]);
    const sheet = await contactSheet(
      pictures.flatMap(({ heads: maps, patches }, i) => [rasters[i] as Raster, ...maps, patches]),
      {
        columns: numHeads + 2,
        gap: 6,
        zoom: Math.max(1, Math.ceil(LEAST_SIDE / size)),
        captions: pictures.flatMap((_, i) => [[dataset.sampleName(i)], ...heads, ["patch features"]]),
      },
    );
    writeFileAtomic(out, sheet);
    printResult(
      flags.json,
      { file: out, images: images.length, heads: numHeads },
      `${out}: ${images.length} images x ${numHeads} heads`,
    );
  });
}

/** Pixels of images of one size as planes `[count, 3, size, size]`. */
function planesOf(rasters: readonly Raster[], size: number): Uint8Array {
  const area = size * size;
  const planes = new Uint8Array(rasters.length * 3 * area);
  rasters.forEach(({ data }, image) => {
    for (let i = 0; i < area; i++) {
      for (let c = 0; c < 3; c++) planes[(image * 3 + c) * area + i] = data[3 * i + c] as number;
    }
  });
  return planes;
}
