/** @file The second half of a step: the optimiser's update of every parameter, in place. */

import type { TensorType } from "../graph/index.js";
import type { Method } from "../methods/index.js";
import {
  type ClipScope,
  clipGradients,
  excludeVectors,
  type Optimizer,
  parameterScales,
} from "../nn/index.js";
import { mapValues, prefixed, unprefixed } from "../records.js";
import { type Device, float32Scalar, type Program, type ProgramDefinition } from "../runtime/index.js";
import { GRADIENT, OPTIMIZER, PARAMETER, parameterSpecs } from "./state.js";

export interface UpdateOptions {
  readonly optimizer: Optimizer;
  readonly clip?: { readonly norm: number; readonly scope: ClipScope } | undefined;
}

/** What changes by step. */
export interface UpdateSettings {
  /** Counted from 0. */
  readonly step: number;
  readonly learningRate: number;
  readonly weightDecay: number;
}

/** The update program of a method on a device. */
export class UpdateStep {
  private constructor(
    private readonly program: Program,
    private readonly optimizer: Optimizer,
  ) {}

  static async compile(device: Device, method: Method, options: UpdateOptions): Promise<UpdateStep> {
    const program = await device.compile(updateProgram(method, options));
    return new UpdateStep(program, options.optimizer);
  }

  async run(settings: UpdateSettings): Promise<void> {
    await this.program.run(mapValues(this.optimizer.scalars(settings), float32Scalar));
  }

  /** Whether every state is written over its old value. */
  get isInPlace(): boolean {
    return this.program.compiled.updates.every(({ inPlace }) => inPlace);
  }
}

/** The update of every parameter of a method, as one program. */
export function updateProgram(method: Method, { optimizer, clip }: UpdateOptions): ProgramDefinition {
  const specs = parameterSpecs(method);
  const types: Record<string, TensorType> = mapValues(specs, ({ dtype, shape }) => ({ dtype, shape }));
  const scalars = optimizer.scalars({ step: 0, learningRate: 0, weightDecay: 0 });
  return {
    name: "update",
    inputs: mapValues(scalars, () => ({ dtype: "float32" as const, shape: [] })),
    state: {
      ...prefixed(types, PARAMETER),
      ...prefixed(types, GRADIENT),
      ...prefixed(optimizer.state(types), OPTIMIZER),
    },
    trace: (inputs, state) => {
      const raw = unprefixed(state, GRADIENT);
      const updated = optimizer.update({
        parameters: unprefixed(state, PARAMETER),
        gradients: clip ? clipGradients(raw, clip.norm, clip.scope).gradients : raw,
        state: unprefixed(state, OPTIMIZER),
        scalars: inputs,
        scales: parameterScales(types, [excludeVectors]),
      });
      return {
        state: { ...prefixed(updated.parameters, PARAMETER), ...prefixed(updated.state, OPTIMIZER) },
      };
    },
  };
}
