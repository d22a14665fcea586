/** @file The pictures that a method shows of its work (in-between targets beside reconstructions), on fixed images. */

import { createSequentialLoader, type Dataset, type Raster } from "../data/index.js";
import { input, type Tensor, type TensorType } from "../graph/index.js";
import type { Method } from "../methods/index.js";
import { mapValues, prefixed, unprefixed } from "../records.js";
import { type Device, type HostValue, itemOf, type Program } from "../runtime/index.js";
import { MethodTrace } from "./method-trace.js";
import { readTypes } from "./state.js";
import { cropsOf, type StepSetting, stepInputs, stepInputTypes } from "./step-inputs.js";

type Tensors = Readonly<Record<string, Tensor>>;

const PICTURE = "picture/";
const BASELINE = "baseline/";

/** Pictures of one moment: for each image a row of rasters, one per title. */
export interface PictureGrid {
  readonly titles: readonly string[];
  readonly rows: readonly (readonly Raster[])[];
  /** What trivial predictors score on a part of the loss, by the part, then by the predictor. */
  readonly baselines: Readonly<Record<string, Record<string, number>>>;
}

/** Draws a method's pictures of the first images of a data set, with the same views each time. */
export class PictureMaker {
  private constructor(
    private readonly program: Program,
    private readonly inputs: Record<string, HostValue>,
  ) {}

  /** `undefined` when the method has no pictures. */
  static async create(
    device: Device,
    method: Method,
    dataset: Dataset,
    { seed, length }: StepSetting,
    count = 8,
  ): Promise<PictureMaker | undefined> {
    const images = Math.min(count, dataset.length);
    const loader = createSequentialLoader({
      dataset,
      batchSize: images,
      views: cropsOf(method),
      seed,
    });
    const { value: batch } = await loader.next();
    await loader.close();
    if (!batch) return undefined;
    const types = {
      inputs: stepInputTypes(method, batch.indices.length),
      state: readTypes(method),
    };
    const encode = (inputs: Tensors, state: Tensors) => new MethodTrace(method, inputs, state).encode();
    const symbolic = (named: Readonly<Record<string, TensorType>>): Tensors =>
      mapValues(named, ({ shape, dtype }, name) => input(name, shape, dtype));
    if (!encode(symbolic(types.inputs), symbolic(types.state)).pictures) return undefined;
    const program = await device.compile({
      name: "pictures",
      ...types,
      trace: (inputs, state) => {
        const { pictures = {}, baselines = {} } = encode(inputs, state);
        const errors = mapValues(baselines, (byName, part) => prefixed(byName, `${BASELINE}${part}/`));
        return {
          outputs: { ...prefixed(pictures, PICTURE), ...Object.assign({}, ...Object.values(errors)) },
        };
      },
    });
    return new PictureMaker(program, stepInputs(method, batch, { seed, length }));
  }

  /** The pictures with the parameters as they are now. */
  async draw(): Promise<PictureGrid> {
    const outputs = await this.program.run(this.inputs);
    const pictures = unprefixed(outputs, PICTURE) as Record<string, HostValue<"float32">>;
    const values = Object.values(pictures);
    const baselines: Record<string, Record<string, number>> = {};
    for (const [name, value] of Object.entries(unprefixed(outputs, BASELINE))) {
      const [part = "", predictor = ""] = name.split("/");
      baselines[part] = { ...baselines[part], [predictor]: itemOf(value) };
    }
    return {
      titles: Object.keys(pictures),
      rows: Array.from({ length: values[0]?.shape[0] ?? 0 }, (_, i) =>
        values.map((value) => rasterOf(value, i)),
      ),
      baselines,
    };
  }
}

/** Image `i` of `[B, 3, H, W]` in [0, 1] as 8-bit pixels. */
function rasterOf({ shape, data }: HostValue<"float32">, i: number): Raster {
  const [, , height, width] = shape as [number, number, number, number];
  const plane = height * width;
  const pixels = new Uint8Array(plane * 3);
  for (let channel = 0; channel < 3; channel++) {
    for (let p = 0; p < plane; p++) {
      const value = data[(i * 3 + channel) * plane + p] as number;
      pixels[p * 3 + channel] = Math.round(255 * Math.min(1, Math.max(0, value)));
    }
  }
  return { width, height, channels: 3, data: pixels };
}
