/**
 * @file Linear classifiers of frozen features, one for each setting of a sweep, trained together in one program.
 *
 * The weights of all settings that read the same features stand side by side in one matrix `[D + 1, S * C]` whose last
 * row is the bias: one product gives all logits, a second one all gradients, and a setting's learning rate and weight
 * decay are factors of its columns. No setting's numbers enter another's.
 */

import {
  add,
  concat,
  constant,
  matmul,
  reshape,
  scatterAdd,
  slice,
  softmax,
  type Tensor,
  type TensorType,
} from "../graph/index.js";
import { adamW, type Optimizer, sgd } from "../nn/index.js";
import { randomStream } from "../random.js";
import { mapValues, prefixed, unprefixed } from "../records.js";
import {
  type Device,
  float32,
  float32Scalar,
  type HostValue,
  hostValue,
  type Program,
} from "../runtime/index.js";
import { EvaluationError } from "./evaluation-error.js";
import { type Matrix, rowsOf } from "./matrix.js";

/** One classifier of a sweep. */
export interface LinearSetting {
  /** Columns of the features that it reads: from, to (exclusive). */
  readonly columns: readonly [from: number, to: number];
  readonly learningRate: number;
  readonly weightDecay: number;
}

export type LinearOptimizer = "adamw" | "sgd";

export interface LinearSweepOptions {
  readonly settings: readonly LinearSetting[];
  /** Columns of the features. */
  readonly width: number;
  readonly classes: number;
  readonly batchSize: number;
  /** AdamW (beta 0.9, 0.999), or SGD with momentum 0.9; both with the arithmetic of PyTorch's. */
  readonly optimizer: LinearOptimizer;
}

/** A linear classifier. */
export interface LinearClassifier {
  /** `[C, D]` */
  readonly weight: Float32Array;
  /** `[C]` */
  readonly bias: Float32Array;
}

/** Settings that read the same columns: their weights share a matrix. */
interface Group {
  readonly name: string;
  readonly columns: readonly [from: number, to: number];
  /** Indices into the sweep's settings. */
  readonly members: readonly number[];
}

/** Standard deviation of the initial weights (iBOT, DINO and DINOv2); biases start at zero. */
const INITIAL_STD = 0.01;
/** What an optimiser's scalars are called that differ by setting. */
const BY_SETTING = ["rate", "decay"];
/** Logits that are handed over at once when classifiers are applied. */
const LOGITS_PER_RUN = 2 ** 22;

const optimizers: Record<LinearOptimizer, () => Optimizer> = {
  adamw: () => adamW(),
  sgd: () => sgd({ momentum: 0.9 }),
};

/** The programs of a sweep, and its weights on the device. */
export class LinearSweep {
  private constructor(
    readonly options: LinearSweepOptions,
    private readonly device: Device,
    private readonly groups: readonly Group[],
    private readonly optimizer: Optimizer,
    private readonly prefix: string,
    private readonly types: Readonly<Record<string, TensorType>>,
    private readonly stepProgram: Program,
    private readonly logitsProgram: Program,
    private readonly logitsRows: number,
  ) {}

  /** @throws EvaluationError when there is no setting, or one reads columns that do not exist. */
  static async create(device: Device, options: LinearSweepOptions): Promise<LinearSweep> {
    const { settings, width, classes, batchSize } = options;
    const groups = groupsOf(options);
    const optimizer = optimizers[options.optimizer]();
    const types = Object.fromEntries(
      groups.map(({ name, columns: [from, to], members }): [string, TensorType] => [
        name,
        { dtype: "float32", shape: [to - from + 1, members.length * classes] },
      ]),
    );
    const slots = optimizer.state(types);
    // Sizes are part of the name: a device keeps one type for a name of state.
    const sizes = groups.map(({ name, members }) => `${name}x${members.length}`).join(",");
    const prefix = `evaluation/linear-${options.optimizer}-${classes}-${sizes}/`;
    const scalars = optimizer.scalars({ step: 0, learningRate: 0 });
    const shared = Object.keys(scalars).filter((name) => !BY_SETTING.includes(name));
    const inputs: Record<string, TensorType> = {};
    for (const name of shared) inputs[name] = { dtype: "float32", shape: [] };
    for (const { name, members } of groups) {
      for (const scalar of BY_SETTING) {
        inputs[`${scalar}/${name}`] = { dtype: "float32", shape: [1, members.length * classes] };
      }
    }
    const step = await device.compile({
      name: "linear sweep step",
      inputs: {
        x: { dtype: "float32", shape: [batchSize, width] },
        labels: { dtype: "int32", shape: [batchSize] },
        ...inputs,
      },
      state: prefixed({ ...types, ...slots }, prefix),
      trace: ({ x, labels, ...numbers }, prefixedState) => {
        const state = unprefixed(prefixedState, prefix);
        const updated: Record<string, Tensor> = {};
        for (const group of groups) {
          const weight = state[group.name] as Tensor;
          const features = withOnes(x as Tensor, group);
          const [count, across] = [group.members.length, group.members.length * classes];
          const probabilities = softmax(reshape(matmul(features, weight), [batchSize, count, classes]));
          const error = minusTruth(reshape(probabilities, [batchSize, across]), labels as Tensor, count);
          const gradient = matmul(features, error, { transposeA: true, scale: 1 / batchSize });
          const isDecayed = group.members.some((i) => settings[i]?.weightDecay !== 0);
          const result = optimizer.update({
            parameters: { [group.name]: weight },
            gradients: { [group.name]: gradient },
            state,
            scalars: mapValues(
              scalars,
              (_, name) => numbers[shared.includes(name) ? name : `${name}/${group.name}`],
            ) as Record<string, Tensor>,
            scales: { [group.name]: { learningRate: 1, weightDecay: isDecayed ? 1 : 0 } },
          });
          Object.assign(updated, result.parameters, result.state);
        }
        return { state: prefixed(updated, prefix) };
      },
    });
    const logitsRows = Math.max(
      1,
      Math.min(batchSize, Math.floor(LOGITS_PER_RUN / settings.length / classes)),
    );
    const logits = await device.compile({
      name: "linear classifiers",
      inputs: { x: { dtype: "float32", shape: [logitsRows, width] } },
      state: prefixed(types, prefix),
      trace: ({ x }, state) => ({
        outputs: Object.fromEntries(
          groups.map((group) => [
            group.name,
            matmul(withOnes(x as Tensor, group), state[prefix + group.name] as Tensor),
          ]),
        ),
      }),
    });
    return new LinearSweep(options, device, groups, optimizer, prefix, types, step, logits, logitsRows);
  }

  /** New classifiers, weights from N(0, 0.01²): those that read the same features start alike. */
  async reset(seed: number): Promise<void> {
    const { classes } = this.options;
    const classifiers: LinearClassifier[] = [];
    for (const { columns, members, name } of this.groups) {
      const random = randomStream(seed, "linear classifier", name);
      const weight = Float32Array.from(
        { length: classes * (columns[1] - columns[0]) },
        () => INITIAL_STD * random.normal(),
      );
      for (const member of members) classifiers[member] = { weight, bias: new Float32Array(classes) };
    }
    await this.setClassifiers(classifiers);
  }

  /** Sets the classifiers, one for each setting, with moments of zero. */
  async setClassifiers(classifiers: readonly LinearClassifier[]): Promise<void> {
    const { classes } = this.options;
    const values = mapValues(this.types, ({ shape }) => float32(zeros(shape), shape));
    const moments = mapValues(this.optimizer.state(this.types), ({ shape }) => float32(zeros(shape), shape));
    for (const { name, columns, members } of this.groups) {
      const { data } = values[name] as HostValue<"float32">;
      const [features, across] = [columns[1] - columns[0], members.length * classes];
      members.forEach((member, place) => {
        const { weight, bias } = classifiers[member] as LinearClassifier;
        for (let c = 0; c < classes; c++) {
          const column = place * classes + c;
          for (let d = 0; d < features; d++) data[d * across + column] = weight[c * features + d] as number;
          data[features * across + column] = bias[c] as number;
        }
      });
    }
    await this.device.setState(prefixed({ ...values, ...moments }, this.prefix));
  }

  /** The classifiers as they are now, one for each setting. */
  async classifiers(): Promise<LinearClassifier[]> {
    const { classes } = this.options;
    const state = await this.device.getState(this.groups.map(({ name }) => this.prefix + name));
    const classifiers: LinearClassifier[] = [];
    for (const { name, columns, members } of this.groups) {
      const data = state[this.prefix + name]?.data as Float32Array;
      const [features, across] = [columns[1] - columns[0], members.length * classes];
      members.forEach((member, place) => {
        const weight = new Float32Array(classes * features);
        const bias = new Float32Array(classes);
        for (let c = 0; c < classes; c++) {
          const column = place * classes + c;
          for (let d = 0; d < features; d++) weight[c * features + d] = data[d * across + column] as number;
          bias[c] = data[features * across + column] as number;
        }
        classifiers[member] = { weight, bias };
      });
    }
    return classifiers;
  }

  /**
   * One step of all classifiers on a batch, whose arrays are handed over.
   * @param features `[B, width]` @param labels `[B]` @param step Steps made before.
   * @param factor Of the settings' learning rates: the schedule's.
   */
  async step(features: Float32Array, labels: Int32Array, step: number, factor: number): Promise<void> {
    const { settings, width, classes, batchSize } = this.options;
    const scalarsOf = ({ learningRate, weightDecay }: Pick<LinearSetting, "learningRate" | "weightDecay">) =>
      this.optimizer.scalars({ step, learningRate: factor * learningRate, weightDecay });
    const fed: Record<string, HostValue> = {
      ...mapValues(scalarsOf({ learningRate: 0, weightDecay: 0 }), float32Scalar),
      x: float32(features, [batchSize, width]),
      labels: hostValue("int32", labels, [batchSize]),
    };
    for (const { name, members } of this.groups) {
      const each = members.map((member) => scalarsOf(settings[member] as LinearSetting));
      for (const scalar of BY_SETTING) {
        const values = new Float32Array(members.length * classes);
        each.forEach((scalars, place) => {
          values.fill(scalars[scalar] as number, place * classes, (place + 1) * classes);
        });
        fed[`${scalar}/${name}`] = float32(values, [1, values.length]);
      }
    }
    await this.stepProgram.run(fed, { transfer: true });
  }

  /**
   * The place of each sample's label among the classes by logit, 0 being the prediction; of equal logits the lower
   * class stands first. A classifier that has diverged gives the last place.
   * @param features `[N, width]` @param labels `[N]` @returns For each setting, `[N]`.
   */
  async ranks(features: Matrix, labels: Int32Array): Promise<Int32Array[]> {
    const { settings, width, classes } = this.options;
    const ranks = settings.map(() => new Int32Array(features.rows));
    for (let from = 0; from < features.rows; from += this.logitsRows) {
      const part = rowsOf(features, from, Math.min(from + this.logitsRows, features.rows));
      const x = new Float32Array(this.logitsRows * width);
      x.set(part.data);
      const outputs = await this.logitsProgram.run(
        { x: float32(x, [this.logitsRows, width]) },
        { transfer: true },
      );
      for (const { name, members } of this.groups) {
        const logits = outputs[name]?.data as Float32Array;
        for (let row = 0; row < part.rows; row++) {
          const label = labels[from + row] as number;
          members.forEach((member, place) => {
            const start = (row * members.length + place) * classes;
            (ranks[member] as Int32Array)[from + row] = rankOf(logits, start, classes, label);
          });
        }
      }
    }
    return ranks;
  }

  /** Frees the programs. */
  async release(): Promise<void> {
    await this.stepProgram.release();
    await this.logitsProgram.release();
  }
}

function groupsOf({ settings, width }: LinearSweepOptions): Group[] {
  if (settings.length === 0) throw new EvaluationError("The linear sweep has no setting; give at least one.");
  const groups = new Map<string, { columns: LinearSetting["columns"]; members: number[] }>();
  settings.forEach(({ columns }, i) => {
    const [from, to] = columns;
    if (!(from >= 0 && from < to && to <= width)) {
      throw new RangeError(`linear sweep: columns ${from} to ${to} of features of ${width} columns`);
    }
    const name = columns.join("-");
    const group = groups.get(name) ?? { columns, members: [] };
    group.members.push(i);
    groups.set(name, group);
  });
  return [...groups].map(([name, group]) => ({ name, ...group }));
}

/** The group's columns of `x`, and one of ones for the bias: `[B, D + 1]`. */
function withOnes(x: Tensor, { columns: [from, to] }: Group): Tensor {
  const rows = x.shape[0] as number;
  return concat([slice(x, 1, from, to), constant(new Float32Array(rows).fill(1), [rows, 1])], 1);
}

/**
 * The cross entropy's derivative by the logits: probabilities `[B, count * C]` minus one where the label is. Only these
 * places are touched: a matrix of the labels takes longer to make and to subtract than half the matrix products.
 * @param labels int32 `[B]`
 */
function minusTruth(probabilities: Tensor, labels: Tensor, count: number): Tensor {
  const [batch, across] = probabilities.shape as [number, number];
  const starts = Int32Array.from({ length: count }, (_, place) => (place * across) / count);
  const places = add(reshape(labels, [batch, 1]), constant(starts, [1, count], "int32"));
  return scatterAdd(
    probabilities,
    1,
    places,
    constant(new Float32Array(batch * count).fill(-1), [batch, count]),
  );
}

function rankOf(logits: Float32Array, start: number, classes: number, label: number): number {
  const own = logits[start + label] as number;
  if (!Number.isFinite(own)) return classes - 1;
  let rank = 0;
  for (let c = 0; c < classes; c++) {
    const value = logits[start + c] as number;
    if (value > own || (value === own && c < label)) rank++;
  }
  return rank;
}

function zeros(shape: readonly number[]): Float32Array {
  return new Float32Array(shape.reduce((product, dim) => product * dim, 1));
}
