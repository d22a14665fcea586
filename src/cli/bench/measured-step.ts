/** @file Whole training steps, timed: the programs that a pretraining runs, on fixed images. */

import type { Batch } from "../../data/index.js";
import { countFlops } from "../../graph/index.js";
import type { Method } from "../../methods/index.js";
import { parameterCount } from "../../nn/index.js";
import { randomStream } from "../../random.js";
import { Device, type DeviceOptions, type ProfileRow, traceProgram } from "../../runtime/index.js";
import {
  compileTrainingStep,
  cropsOf,
  initializeState,
  stepInputs,
  stepProgram,
  type TrainingStep,
  type TrainingStepOptions,
  updateInputs,
  updateOptions,
} from "../../training/index.js";
import { makeWorkload, type Workload } from "./workload.js";

const SEED = 0;
/** Of the run that the steps are part of: only schedules depend on it. */
const LENGTH = { totalSteps: 1000, stepsPerEpoch: 100 };
const settings = { learningRate: 1e-4, weightDecay: 0.05 };
/** What ONNX Runtime calls matrix products and convolutions, fused or not. */
const gemmOperator = /(MatMul|Gemm|Conv)/;

/** The step of a workload, ready to run. */
export class MeasuredStep {
  #step: number;

  private constructor(
    private readonly method: Method,
    private readonly options: TrainingStepOptions,
    private readonly device: Device,
    private readonly step: TrainingStep,
    private readonly batch: Batch,
    /** Seconds that tracing, differentiating, lowering and loading the programs took. */
    readonly buildSeconds: number,
  ) {
    this.#step = firstStep(method);
  }

  static async create(workload: Workload, deviceOptions: DeviceOptions): Promise<MeasuredStep> {
    const { config, method } = makeWorkload(workload);
    const options = {
      ...updateOptions(config, config.encoder.depth ?? 0, LENGTH),
      batchSize: workload.batch,
    };
    const device = await Device.open(deviceOptions);
    const start = performance.now();
    const step = await compileTrainingStep(device, method, options, firstStep(method));
    const seconds = (performance.now() - start) / 1000;
    await initializeState(device, method, options.optimizer, SEED);
    const batch = randomBatch(method, workload.batch);
    return new MeasuredStep(method, options, device, step, batch, seconds);
  }

  /** Trained numbers. */
  get parameters(): number {
    return parameterCount(this.method.parameters);
  }

  /** Operations of matrix products and convolutions in one step. */
  get flops(): number {
    return countFlops(traceProgram(stepProgram(this.method, this.options)).graph);
  }

  /** Runs one step: random numbers, forward, backward, update. */
  async run(): Promise<{ milliseconds: number; loss: number }> {
    const start = performance.now();
    const { losses } = await this.step.run(this.#inputs(), { ...settings, step: this.#step });
    this.#step++;
    return { milliseconds: performance.now() - start, loss: losses.total };
  }

  /** Every operation's time over a few steps, in a session of its own that keeps a profile. */
  async profile(steps: number): Promise<ProfileRow[]> {
    const { device, method, options } = this;
    const program = await device.compile(stepProgram(method, options), { profile: true });
    for (let i = 0; i < steps; i++) {
      const scalars = updateInputs(method, options, { ...settings, step: this.#step });
      await program.run({ ...this.#inputs(), ...scalars });
      this.#step++;
    }
    return program.endProfiling();
  }

  async close(): Promise<void> {
    await this.device.close();
  }

  #inputs() {
    // Another step draws other numbers for the augmentations.
    const batch = { ...this.batch, step: this.#step, epoch: this.#step };
    return stepInputs(this.method, batch, { seed: SEED, length: LENGTH });
  }
}

/** From here on all parameters train, as in all but the first epochs of a run. */
function firstStep({ late }: Method): number {
  return Math.ceil((late?.epochs ?? 0) * LENGTH.stepsPerEpoch);
}

/** The share of a profile's time in matrix products and convolutions. */
export function gemmFraction(rows: readonly ProfileRow[]): number {
  const time = (some: readonly ProfileRow[]) => some.reduce((sum, { microseconds }) => sum + microseconds, 0);
  return time(rows.filter(({ operator }) => gemmOperator.test(operator))) / time(rows);
}

/** Noise in place of a loader's views. */
function randomBatch(method: Method, count: number): Batch {
  const random = randomStream(SEED, "bench");
  return {
    step: 0,
    epoch: 0,
    count,
    indices: Int32Array.from({ length: count }, (_, i) => i),
    labels: undefined,
    views: cropsOf(method).map((crop) =>
      Uint8Array.from({ length: count * 3 * crop.size ** 2 }, () => random.integer(256)),
    ),
  };
}
