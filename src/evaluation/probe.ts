/**
 * @file The head that predicts a transformation's parameters from frozen features, and its training: SIE's protocol
 * (`eval_angle_prediction.py`: three linear layers, MSE, Adam with a constant learning rate), with early stopping.
 */

import { div, grad, mul, relu, square, sub, sum, type Tensor, type TensorType } from "../graph/index.js";
import {
  adam,
  flattenTree,
  initialize,
  type Linear,
  linear,
  linearParameters,
  type ParameterSpec,
  type ParameterValue,
  treeLike,
} from "../nn/index.js";
import { randomStream } from "../random.js";
import { mapValues, prefixed, unprefixed } from "../records.js";
import {
  type Device,
  float32,
  float32Scalar,
  type HostValue,
  itemOf,
  type Program,
} from "../runtime/index.js";
import { EvaluationError } from "./evaluation-error.js";
import { columnMoments, type Matrix, matrix, rowOf, rowsOf, standardized } from "./matrix.js";

/** Linear(inputs, hidden) ReLU Linear(hidden, hidden) ReLU Linear(hidden, outputs). */
export interface ProbeHead<Leaf> {
  readonly fc1: Linear<Leaf>;
  readonly fc2: Linear<Leaf>;
  readonly fc3: Linear<Leaf>;
}

export interface ProbeSizes {
  /** Features of a pair, 2 D. */
  readonly inputs: number;
  /** Parameters to predict. */
  readonly outputs: number;
  /** SIE: 1024. */
  readonly hidden: number;
  /** SIE: 256. */
  readonly batchSize: number;
}

export interface ProbeSettings {
  /** At most this many passes over the training pairs; SIE: 300. */
  readonly epochs: number;
  /** Passes without a better validation loss after which training ends. */
  readonly patience: number;
  /** Constant; SIE: 1e-3. */
  readonly learningRate: number;
  /**
   * Give each feature zero mean and unit deviation over the training pairs. SIE does not. It changes nothing of what
   * the features hold, but without it an encoder whose features vary little around a large mean learns more slowly in
   * the same number of steps, so that encoders would be compared by their scale too.
   */
  readonly standardize: boolean;
  /** Of initial weights and order. */
  readonly seed: number;
}

/** Features and targets of pairs. */
export interface ProbeData {
  /** `[N, 2 D]` */
  readonly features: Matrix;
  /** `[N, parameters]` */
  readonly targets: Matrix;
}

export interface ProbeSplits {
  readonly train: ProbeData;
  readonly validation: ProbeData;
  readonly test: ProbeData;
}

export interface ProbeResult {
  /** Of the test pairs, by the weights of the best epoch, `[N, parameters]`. */
  readonly predicted: Matrix;
  /** Epoch with the lowest validation loss, from 1. */
  readonly bestEpoch: number;
  /** Validation MSE after each epoch. */
  readonly validationLosses: readonly number[];
}

/** The parameters, initialised as PyTorch's linear layers. */
export function probeParameters({ inputs, outputs, hidden }: ProbeSizes): ProbeHead<ParameterSpec> {
  return {
    fc1: linearParameters(inputs, hidden),
    fc2: linearParameters(hidden, hidden),
    fc3: linearParameters(hidden, outputs),
  };
}

/** @param x `[B, 2 D]` @returns `[B, parameters]` */
export function probeHead({ fc1, fc2, fc3 }: ProbeHead<Tensor>, x: Tensor): Tensor {
  return linear(fc3, relu(linear(fc2, relu(linear(fc1, x)))));
}

const optimizer = adam();

/**
 * Programs that train and apply heads of one size. They share one head's state: a probe is trained from start to end
 * before the next one begins.
 */
export class Probe {
  private constructor(
    readonly sizes: ProbeSizes,
    private readonly device: Device,
    private readonly prefix: string,
    private readonly stepProgram: Program,
    private readonly predictProgram: Program,
  ) {}

  static async create(device: Device, sizes: ProbeSizes): Promise<Probe> {
    const { inputs, outputs, batchSize } = sizes;
    // Sizes are part of the name: a device keeps one type for a name of state.
    const prefix = `evaluation/probe-${inputs}-${sizes.hidden}-${outputs}/`;
    const specs = probeParameters(sizes);
    const parameters = mapValues(flattenTree(specs), ({ dtype, shape }): TensorType => ({ dtype, shape }));
    const moments = optimizer.state(parameters);
    const x: TensorType = { dtype: "float32", shape: [batchSize, inputs] };
    const scalars = mapValues(
      optimizer.scalars({ step: 0, learningRate: 0 }),
      (): TensorType => ({
        dtype: "float32",
        shape: [],
      }),
    );
    const step = await device.compile({
      name: "probe step",
      inputs: {
        x,
        target: { dtype: "float32", shape: [batchSize, outputs] },
        weight: { dtype: "float32", shape: [batchSize, 1] },
        ...scalars,
      },
      state: prefixed({ ...parameters, ...moments }, prefix),
      trace: ({ x: features, target, weight, ...numbers }, prefixedState) => {
        const state = unprefixed(prefixedState, prefix);
        const current = mapValues(parameters, (_, name) => state[name] as Tensor);
        const predicted = probeHead(treeLike(specs, current), features as Tensor);
        // Rows of weight 0 fill up the last batch of an epoch.
        const squares = mul(square(sub(predicted, target as Tensor)), weight as Tensor);
        const loss = div(sum(squares), mul(sum(weight as Tensor), outputs));
        const names = Object.keys(current);
        const gradients = grad(loss, Object.values(current));
        const updated = optimizer.update({
          parameters: current,
          gradients: Object.fromEntries(names.map((name, i) => [name, gradients[i] as Tensor])),
          state,
          scalars: numbers,
        });
        return { outputs: { loss }, state: prefixed({ ...updated.parameters, ...updated.state }, prefix) };
      },
    });
    const predict = await device.compile({
      name: "probe",
      inputs: { x },
      state: prefixed(parameters, prefix),
      trace: ({ x: features }, state) => ({
        outputs: { predicted: probeHead(treeLike(specs, unprefixed(state, prefix)), features as Tensor) },
      }),
    });
    return new Probe(sizes, device, prefix, step, predict);
  }

  /** Sets the head's weights, with moments of zero. */
  async reset(weights: Readonly<Record<string, ParameterValue>>): Promise<void> {
    const moments = mapValues(optimizer.state(weights), ({ shape }) =>
      float32(new Float32Array(shape.reduce((product, dim) => product * dim, 1)), shape),
    );
    await this.device.setState(prefixed({ ...weights, ...moments }, this.prefix));
  }

  /** The head's weights by name (`fc1.weight`, …). */
  async weights(): Promise<Record<string, ParameterValue>> {
    const names = Object.keys(flattenTree(probeParameters(this.sizes)));
    const state = await this.device.getState(names.map((name) => this.prefix + name));
    return unprefixed(state, this.prefix) as Record<string, ParameterValue>;
  }

  /**
   * One step of Adam on the rows of `data` with the given indices, at most a batch.
   * @param step Steps made before. @returns The loss before the step: the mean over rows and parameters.
   */
  async step(
    { features, targets }: ProbeData,
    rows: ArrayLike<number>,
    step: number,
    learningRate: number,
  ): Promise<number> {
    const { batchSize, inputs, outputs } = this.sizes;
    const [x, target, weight] = [
      new Float32Array(batchSize * inputs),
      new Float32Array(batchSize * outputs),
      new Float32Array(batchSize),
    ];
    for (let i = 0; i < rows.length; i++) {
      x.set(rowOf(features, rows[i] as number), i * inputs);
      target.set(rowOf(targets, rows[i] as number), i * outputs);
      weight[i] = 1;
    }
    const fed: Record<string, HostValue> = {
      x: float32(x, [batchSize, inputs]),
      target: float32(target, [batchSize, outputs]),
      weight: float32(weight, [batchSize, 1]),
      ...mapValues(optimizer.scalars({ step, learningRate }), float32Scalar),
    };
    const { loss } = await this.stepProgram.run(fed, { transfer: true });
    return itemOf(loss as HostValue);
  }

  /** @param features `[N, 2 D]` @returns `[N, parameters]` */
  async predict(features: Matrix): Promise<Matrix> {
    const { batchSize, inputs, outputs } = this.sizes;
    const data = new Float32Array(features.rows * outputs);
    for (let from = 0; from < features.rows; from += batchSize) {
      const part = rowsOf(features, from, Math.min(from + batchSize, features.rows));
      const x = new Float32Array(batchSize * inputs);
      x.set(part.data);
      const fed = { x: float32(x, [batchSize, inputs]) };
      const { predicted } = await this.predictProgram.run(fed, { transfer: true });
      const values = (predicted as HostValue<"float32">).data;
      data.set(values.subarray(0, part.rows * outputs), from * outputs);
    }
    return matrix(features.rows, outputs, data);
  }

  /**
   * Trains a new head until the validation loss stops falling or the epochs are over, and predicts the test pairs with
   * the weights of the best epoch.
   * @throws EvaluationError when sizes do not fit or features are not finite.
   */
  async train(splits: ProbeSplits, settings: ProbeSettings): Promise<ProbeResult> {
    this.#check(splits, settings);
    const { train, validation, test } = settings.standardize ? standardizedSplits(splits) : splits;
    const { batchSize } = this.sizes;
    const { epochs, patience, learningRate, seed } = settings;
    await this.reset(initialize(probeParameters(this.sizes), seed));
    const validationLosses: number[] = [];
    let best = { epoch: 0, loss: Number.POSITIVE_INFINITY, weights: {} as Record<string, ParameterValue> };
    let steps = 0;
    for (let epoch = 1; epoch <= epochs && epoch - best.epoch <= patience; epoch++) {
      const order = randomStream(seed, "probe order", epoch).permutation(train.features.rows);
      for (let from = 0; from < order.length; from += batchSize) {
        await this.step(train, order.subarray(from, from + batchSize), steps++, learningRate);
      }
      const loss = meanSquare(await this.predict(validation.features), validation.targets);
      validationLosses.push(loss);
      if (loss < best.loss) best = { epoch, loss, weights: await this.weights() };
    }
    if (best.epoch === 0) {
      throw new EvaluationError(
        `The probe's validation loss was ${validationLosses[0]} from the first epoch on; lower its learning rate (${learningRate})`,
      );
    }
    await this.reset(best.weights);
    return { predicted: await this.predict(test.features), bestEpoch: best.epoch, validationLosses };
  }

  /** Frees the programs. */
  async release(): Promise<void> {
    await this.stepProgram.release();
    await this.predictProgram.release();
  }

  #check(splits: ProbeSplits, { epochs, patience }: ProbeSettings): void {
    for (const [name, value] of Object.entries({ epochs, patience })) {
      if (!Number.isInteger(value) || value < 1) {
        throw new EvaluationError(`The probe's ${name} must be a whole number from 1, got ${value}.`);
      }
    }
    const { inputs, outputs } = this.sizes;
    for (const [name, { features, targets }] of Object.entries(splits)) {
      const { rows } = features;
      if (features.columns !== inputs || targets.columns !== outputs || targets.rows !== rows || rows < 1) {
        throw new EvaluationError(
          `The probe takes features [N, ${inputs}] and targets [N, ${outputs}]; the ${name} part has ` +
            `[${rows}, ${features.columns}] and [${targets.rows}, ${targets.columns}].`,
        );
      }
      const bad = features.data.findIndex((value: number) => !Number.isFinite(value));
      if (bad >= 0) {
        throw new EvaluationError(
          `The features of ${name} pair ${Math.floor(bad / inputs)} are not finite: the encoder has diverged or its weights are damaged.`,
        );
      }
    }
  }
}

function standardizedSplits({ train, validation, test }: ProbeSplits): ProbeSplits {
  const moments = columnMoments(train.features);
  const apply = ({ features, targets }: ProbeData): ProbeData => ({
    features: standardized(features, moments),
    targets,
  });
  return { train: apply(train), validation: apply(validation), test: apply(test) };
}

function meanSquare(predicted: Matrix, truth: Matrix): number {
  let total = 0;
  predicted.data.forEach((value, i) => {
    total += (value - (truth.data[i] as number)) ** 2;
  });
  return total / predicted.data.length;
}
