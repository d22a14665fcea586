/** @file What an encoder looks at in an image, as pictures: attention of the last block, and its patch features. */

import type { Tensor } from "../graph/index.js";
import { attentionMaps, visionTransformer } from "../models/index.js";
import { type Device, hostValue } from "../runtime/index.js";
import { normalize, toUnitRange } from "../transforms/index.js";
import { constantWeights, type Encoder, encoderState } from "./encoder.js";
import { patchPictures, type RgbPicture } from "./health.js";
import { matrix } from "./matrix.js";

/** Of one image. */
export interface AttentionPictures {
  /** One picture a head, from its smallest share (dark) to its largest (bright), as DINO draws them. */
  readonly heads: readonly RgbPicture[];
  /** First three principal components of the patch features as red, green and blue; one basis for all images. */
  readonly patches: RgbPicture;
  /** By head, the shares of attention `[rows * columns]` in raster order. */
  readonly shares: readonly Float32Array[];
}

/**
 * Pictures of the size of the images.
 * @param images uint8 planes `[count, 3, size, size]` @param size A multiple of the patch size; positions are interpolated.
 */
export async function attentionPictures(
  device: Device,
  encoder: Encoder,
  images: Uint8Array,
  count: number,
  size: number,
): Promise<AttentionPictures[]> {
  const { config } = encoder;
  const { patchSize, numHeads, embedDim } = config;
  const side = size / patchSize;
  const weights = constantWeights(encoder) ?? (await encoderState(device, encoder));
  const shape = [count, 3, size, size];
  const program = await device.compile({
    name: "attention",
    inputs: { images: { dtype: "uint8", shape } },
    state: weights.types,
    trace: ({ images: bytes }, state) => {
      const normal = normalize(toUnitRange(bytes as Tensor));
      const parameters = weights.parameters(state);
      const { patches } = visionTransformer(parameters, config, normal);
      return { outputs: { attention: attentionMaps(parameters, config, normal), patches } };
    },
  });
  const outputs = await program.run({ images: hostValue("uint8", images, shape) });
  const [attention, patches] = ["attention", "patches"].map((name) => outputs[name]?.data as Float32Array);
  await program.release();
  const rows = side * side;
  const features = matrix(count * rows, embedDim, patches as Float32Array);
  const colours = patchPictures(features, { grid: [side, side], zoom: patchSize });
  return colours.map((picture, image) => {
    const shares = Array.from({ length: numHeads }, (_, head) => {
      const start = (image * numHeads + head) * rows;
      return (attention as Float32Array).slice(start, start + rows);
    });
    return { heads: shares.map((values) => heatMap(values, side, patchSize)), patches: picture, shares };
  });
}

/** Dark to bright in equal steps of lightness (matplotlib's viridis, each eighth of it). */
const COLORS = [
  [68, 1, 84],
  [71, 44, 122],
  [59, 81, 139],
  [44, 113, 142],
  [33, 144, 141],
  [39, 173, 129],
  [92, 200, 99],
  [170, 220, 50],
  [253, 231, 37],
] as const;

function heatMap(values: Float32Array, side: number, zoom: number): RgbPicture {
  const [least, largest] = [Math.min(...values), Math.max(...values)];
  const span = largest - least || 1;
  const width = side * zoom;
  const data = new Uint8Array(width * width * 3);
  for (let y = 0; y < width; y++) {
    for (let x = 0; x < width; x++) {
      const value = values[Math.floor(y / zoom) * side + Math.floor(x / zoom)] as number;
      const place = ((value - least) / span) * (COLORS.length - 1);
      const step = Math.min(COLORS.length - 2, Math.floor(place));
      const [low, high] = [COLORS[step], COLORS[step + 1]] as [readonly number[], readonly number[]];
      for (let c = 0; c < 3; c++) {
        const [a, b] = [low[c] as number, high[c] as number];
        data[(y * width + x) * 3 + c] = Math.round(a + (b - a) * (place - step));
      }
    }
  }
  return { width, height: width, channels: 3, data };
}
