/** @file Frozen features of batches of images, one or several views of each image in one run. */

import { concat, mean, split, type Tensor, type TensorType } from "../graph/index.js";
import { visionTransformer } from "../models/index.js";
import { mapValues } from "../records.js";
import { type Device, type HostValue, hostValue, type Program } from "../runtime/index.js";
import { normalize, toUnitRange } from "../transforms/index.js";
import {
  constantWeights,
  type Encoder,
  encoderState,
  type FeatureKind,
  type ResidentEncoder,
} from "./encoder.js";
import { EvaluationError } from "./evaluation-error.js";
import { type Matrix, matrix } from "./matrix.js";

/**
 * What is made of each image before it is encoded.
 * @param images `[B, 3, H, W]` in [0, 1] @param inputs The inputs declared beside it, by name.
 */
export type View = (images: Tensor, inputs: Readonly<Record<string, Tensor>>) => Tensor;

export interface FeatureOptions {
  /** Vectors per image that are wanted. */
  readonly kinds?: readonly FeatureKind[];
  /** Also the patch tokens, `[B, N, D]`. */
  readonly patches?: boolean;
  /** Also the class tokens of this many last blocks, each after the final norm. */
  readonly classBlocks?: number;
  /** By name; the images as they are when omitted. */
  readonly views?: Readonly<Record<string, View>>;
  /** One sample's shapes of the views' inputs, by name. */
  readonly inputs?: Readonly<Record<string, readonly number[]>>;
  /** Images per run; a batch that holds fewer is padded. */
  readonly batchSize?: number;
  /** Side of the images in pixels; the encoder's own by default. */
  readonly imageSize?: number;
}

/** Features of one view of a batch. */
export interface ViewFeatures {
  /** `[count, D]` */
  readonly cls?: Matrix;
  /** Mean of the patch tokens, `[count, D]`. */
  readonly mean?: Matrix;
  /** `[count * N, D]` in raster order. */
  readonly patches?: Matrix;
  /** Class tokens of the last blocks, first block first, each `[count, D]`. */
  readonly classBlocks?: readonly Matrix[];
}

const DEFAULT_BATCH = 64;

/** Extracts features with one compiled program of fixed batch size. */
export class FeatureExtractor {
  private constructor(
    readonly batchSize: number,
    readonly imageSize: number,
    /** D */
    readonly features: number,
    private readonly program: Program,
    private readonly inputs: Readonly<Record<string, readonly number[]>>,
  ) {}

  /** @throws EvaluationError when the class token of an encoder without one is asked for, or weights do not fit. */
  static async create(
    device: Device,
    encoder: Encoder | ResidentEncoder,
    options: FeatureOptions = {},
  ): Promise<FeatureExtractor> {
    const { config } = encoder;
    const { kinds = ["mean"], views = { image: (images) => images }, inputs = {} } = options;
    const { batchSize = DEFAULT_BATCH, imageSize = config.imageSize, patches = false } = options;
    const { classBlocks = 0 } = options;
    requireKinds(encoder, classBlocks > 0 ? ["cls"] : kinds);
    if (classBlocks > config.depth) {
      throw new EvaluationError(
        `features of the last ${classBlocks} blocks were asked for, and the encoder has ${config.depth}; ask for fewer`,
      );
    }
    const weights = constantWeights(encoder) ?? (await encoderState(device, encoder));
    const sample = (shape: readonly number[], dtype: TensorType["dtype"]): TensorType => ({
      dtype,
      shape: [batchSize, ...shape],
    });
    const program = await device.compile({
      name: "features",
      inputs: {
        images: sample([3, imageSize, imageSize], "uint8"),
        ...mapValues(inputs, (shape) => sample(shape, "float32")),
      },
      state: weights.types,
      trace: ({ images, ...numbers }, state) => {
        const unit = toUnitRange(images as Tensor);
        const names = Object.keys(views);
        const viewed = Object.values(views).map((view) => normalize(view(unit, numbers)));
        const tokens = visionTransformer(weights.parameters(state), config, concat(viewed, 0), {
          returnLayers: Array.from({ length: classBlocks }, (_, i) => i - classBlocks),
        });
        const found: Record<string, Tensor | undefined> = {
          cls: kinds.includes("cls") ? tokens.cls : undefined,
          mean: kinds.includes("mean") ? mean(tokens.patches, [1]) : undefined,
          patches: patches ? tokens.patches : undefined,
        };
        tokens.layers.forEach(({ cls }, i) => {
          found[`${BLOCK}${i}`] = cls;
        });
        const outputs: Record<string, Tensor> = {};
        for (const [kind, joint] of Object.entries(found)) {
          if (!joint) continue;
          const parts = split(
            joint,
            0,
            names.map(() => batchSize),
          );
          names.forEach((view, i) => {
            outputs[outputName(view, kind)] = parts[i] as Tensor;
          });
        }
        return { outputs };
      },
    });
    return new FeatureExtractor(batchSize, imageSize, config.embedDim, program, inputs);
  }

  /**
   * Features by view of the first `count` images.
   * @param images uint8 planes `[B, 3, H, W]` @param inputs The views' inputs, `[B, …]` by name. Rows that are missing
   *   up to the batch size are filled with zeros.
   */
  async extract(
    images: Uint8Array,
    count: number,
    inputs: Readonly<Record<string, Float32Array>> = {},
  ): Promise<Record<string, ViewFeatures>> {
    const { batchSize, imageSize, features } = this;
    if (count < 1 || count > batchSize) {
      throw new RangeError(`features: ${count} images were given to an extractor of batches of ${batchSize}`);
    }
    const imageShape = [batchSize, 3, imageSize, imageSize];
    const fed: Record<string, HostValue> = {
      images: hostValue("uint8", padded(images, imageShape), imageShape),
    };
    for (const [name, shape] of Object.entries(this.inputs)) {
      const full = [batchSize, ...shape];
      fed[name] = hostValue("float32", padded(inputs[name] ?? new Float32Array(), full), full);
    }
    const results: Record<string, Record<string, Matrix>> = {};
    for (const [name, { data }] of Object.entries(await this.program.run(fed))) {
      const [kind, view] = splitOutputName(name);
      const values = data as Float32Array;
      const rows = (values.length / features / batchSize) * count;
      const viewResults = results[view] ?? {};
      viewResults[kind] = matrix(rows, features, values.slice(0, rows * features));
      results[view] = viewResults;
    }
    return mapValues(results, withBlocks);
  }

  /** Frees the program. */
  async release(): Promise<void> {
    await this.program.release();
  }
}

/** Output of the class token of a block, counted among those asked for. */
const BLOCK = "block ";

/** Gathers the class tokens of the blocks. */
function withBlocks({ cls, mean: average, patches, ...found }: Record<string, Matrix>): ViewFeatures {
  const classBlocks = Object.keys(found).map((_, i) => found[`${BLOCK}${i}`] as Matrix);
  return {
    ...(cls ? { cls } : {}),
    ...(average ? { mean: average } : {}),
    ...(patches ? { patches } : {}),
    ...(classBlocks.length > 0 ? { classBlocks } : {}),
  };
}

const outputName = (view: string, kind: string): string => `${kind}/${view}`;

function splitOutputName(name: string): [kind: string, view: string] {
  const at = name.indexOf("/");
  return [name.slice(0, at), name.slice(at + 1)];
}

function requireKinds(encoder: Encoder | ResidentEncoder, kinds: readonly FeatureKind[]): void {
  if (kinds.includes("cls") && !encoder.config.classToken) {
    const name = "label" in encoder ? `encoder "${encoder.label}"` : "the encoder";
    throw new EvaluationError(`${name} has no class token, so there is no feature "cls"; use "mean"`);
  }
}

/** The values, with zeros behind them up to the shape's size. */
function padded<T extends Uint8Array | Float32Array>(values: T, shape: readonly number[]): T {
  const size = shape.reduce((product, dim) => product * dim, 1);
  if (values.length === size) return values;
  if (values.length > size)
    throw new RangeError(`features: ${values.length} values exceed [${shape.join(", ")}]`);
  const full = (values instanceof Uint8Array ? new Uint8Array(size) : new Float32Array(size)) as T;
  full.set(values);
  return full;
}
