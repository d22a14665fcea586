/**
 * @file A whole training step: gradients, then the update. On the CPU and without accumulation both are one program, whose
 * gradients are never kept between steps and share their memory with the values of the backward pass. Elsewhere they are
 * two, and the host decides between them: a shader need not tell what is not finite.
 */

import {
  abs,
  cast,
  concat,
  greater,
  lessEqual,
  maximum,
  min,
  minimum,
  reshape,
  slice,
  type Tensor,
  where,
} from "../graph/index.js";
import type { Method } from "../methods/index.js";
import { mapValues, prefixed, unprefixed } from "../records.js";
import type { Device, Program, ProgramDefinition } from "../runtime/index.js";
import { BUFFER, GRADIENT, NEXT_BUFFER, readTypes, trainedSpecs } from "./state.js";
import {
  collectGradients,
  decidesStep,
  GradientStep,
  type Gradients,
  gradientProgram,
  isFiniteStep,
} from "./step.js";
import type { StepInputs } from "./step-inputs.js";
import {
  idleInputs,
  skipsLateParameters,
  type UpdateOptions,
  type UpdateSettings,
  UpdateStep,
  type UpdateVariant,
  updateInputs,
  updateProgram,
} from "./update.js";

export interface TrainingStepOptions extends UpdateOptions {
  readonly batchSize: number;
  /** Micro-batches of a step (default 1). */
  readonly accumulate?: number;
}

/** The programs of a method's step on a device. */
export interface TrainingStep {
  /**
   * One step. Where a part of the loss or a gradient is not finite, the state stays as it was (`isFiniteStep` tells).
   * @param inputs For the whole batch, as `stepInputs` makes them.
   */
  run(inputs: StepInputs, settings: UpdateSettings): Promise<Gradients>;
}

/**
 * @param startStep The first step that will be run: another one works too, and may take a moment longer.
 * @throws RangeError when the batch does not divide into the micro-batches.
 */
export async function compileTrainingStep(
  device: Device,
  method: Method,
  options: TrainingStepOptions,
  startStep = 0,
): Promise<TrainingStep> {
  const { accumulate = 1 } = options;
  return accumulate === 1 && device.settings.provider === "cpu"
    ? WholeStep.compile(device, method, options, startStep)
    : DividedStep.compile(device, method, { ...options, accumulate });
}

/** Gradients are a state of their own, in which micro-batches are summed and which the update then reads. */
class DividedStep implements TrainingStep {
  private constructor(
    private readonly gradients: GradientStep,
    private readonly update: UpdateStep,
  ) {}

  static async compile(
    device: Device,
    method: Method,
    options: TrainingStepOptions & { accumulate: number },
  ) {
    const { batchSize, accumulate } = options;
    const gradients = await GradientStep.compile(device, method, batchSize, accumulate);
    return new DividedStep(gradients, await UpdateStep.compile(device, method, options));
  }

  async run(inputs: StepInputs, settings: UpdateSettings): Promise<Gradients> {
    const computed = await this.gradients.run(inputs);
    if (isFiniteStep(computed)) await this.update.run(settings);
    return computed;
  }
}

class WholeStep implements TrainingStep {
  private constructor(
    private readonly device: Device,
    private readonly method: Method,
    private readonly options: TrainingStepOptions,
    private current: { readonly program: Program; readonly skipsLate: boolean },
  ) {}

  static async compile(device: Device, method: Method, options: TrainingStepOptions, startStep: number) {
    const skipsLate = skipsLateParameters(method, options, startStep);
    const program = await device.compile(stepProgram(method, options, { skipsLate }));
    return new WholeStep(device, method, options, { program, skipsLate });
  }

  async run(inputs: StepInputs, settings: UpdateSettings): Promise<Gradients> {
    const { device, method, options } = this;
    const skipsLate = skipsLateParameters(method, options, settings.step);
    if (skipsLate !== this.current.skipsLate) {
      // One at a time: each holds the memory of a whole step.
      await this.current.program.release();
      const program = await device.compile(stepProgram(method, options, { skipsLate }));
      this.current = { program, skipsLate };
    }
    const { program } = this.current;
    const outputs = await program.run({
      ...inputs,
      ...updateInputs(method, options, settings, { skipsLate }),
    });
    return collectGradients([outputs], Object.keys(trainedSpecs(method)), program.transfers.toDevice);
  }
}

/** Gradients of a whole batch and the update with them, as one program. */
export function stepProgram(
  method: Method,
  { batchSize, ...options }: UpdateOptions & { readonly batchSize: number },
  variant: UpdateVariant = {},
): ProgramDefinition {
  const gradients = gradientProgram(method, batchSize);
  const update = updateProgram(method, options, variant);
  const idle = idleInputs(method, options, variant);
  const between = (name: string) => name.startsWith(GRADIENT) || name.startsWith(NEXT_BUFFER);
  return {
    name: "step",
    inputs: { ...gradients.inputs, ...update.inputs },
    state: {
      ...readTypes(method),
      ...Object.fromEntries(Object.entries(update.state ?? {}).filter(([name]) => !between(name))),
    },
    trace: (fed, state) => {
      const { outputs = {}, state: computed = {} } = gradients.trace(fed, state);
      const counts = stepCounts(outputs, unprefixed(computed, NEXT_BUFFER));
      const scalars = mapValues(update.inputs ?? {}, (_, name) => {
        const [own, none] = [fed[name] as Tensor, idle[name]];
        return none === undefined ? own : where(counts, own, none);
      });
      const kept = {
        ...prefixed(
          mapValues(unprefixed(computed, GRADIENT), (gradient) => where(counts, gradient, 0)),
          GRADIENT,
        ),
        ...prefixed(
          mapValues(unprefixed(computed, NEXT_BUFFER), (next, name) =>
            where(counts, next, state[BUFFER + name] as Tensor),
          ),
          NEXT_BUFFER,
        ),
      };
      const { state: updated = {} } = update.trace(scalars, { ...state, ...kept });
      return { outputs, state: updated };
    },
  };
}

/** The largest float32. */
const LARGEST = 3.4028234663852886e38;

/**
 * Whether the step counts, shape [], as `isFiniteStep` decides it. It is known only after everything that the gradients'
 * half computes, buffers and metrics too: all that reads a parameter has then read it, and the update may write over it.
 */
function stepCounts(
  outputs: Readonly<Record<string, Tensor>>,
  buffers: Readonly<Record<string, Tensor>>,
): Tensor {
  const flags = (tensors: readonly Tensor[]): Tensor => {
    const values = concat(
      tensors.map((tensor) => cast(reshape(tensor, [-1]), "float32")),
      0,
    );
    return min(cast(lessEqual(abs(values), LARGEST), "float32"));
  };
  const [deciding, others] = [true, false].map((decides) =>
    Object.entries(outputs)
      .filter(([name]) => decidesStep(name) === decides)
      .map(([, tensor]) => tensor),
  ) as [Tensor[], Tensor[]];
  const waitedFor = [
    ...others,
    ...Object.values(buffers).map((buffer) => slice(reshape(buffer, [-1]), 0, 0, 1)),
  ];
  const finite = flags(deciding);
  return greater(waitedFor.length > 0 ? minimum(finite, maximum(flags(waitedFor), 1)) : finite, 0.5);
}
