/**
 * @file The second half of a step, in place: the optimiser's update of every parameter, then the teacher's moving
 * average of the new parameters, and the buffers' new values.
 */

import type { TensorType } from "../graph/index.js";
import type { Method, RunLength } from "../methods/index.js";
import {
  type ClipScope,
  clipGradients,
  movingAverage,
  type Optimizer,
  parameterScales,
  type ScaleRule,
} from "../nn/index.js";
import { mapKeys, mapValues, prefixed, unprefixed } from "../records.js";
import {
  type Device,
  float32Scalar,
  type HostValue,
  type Program,
  type ProgramDefinition,
} from "../runtime/index.js";
import {
  BUFFER,
  GRADIENT,
  NEXT_BUFFER,
  OPTIMIZER,
  PARAMETER,
  stateTypes,
  TEACHER,
  teacherSpecs,
  trainedSpecs,
} from "./state.js";

export interface UpdateOptions {
  readonly optimizer: Optimizer;
  readonly clip?: { readonly norm: number; readonly scope: ClipScope } | undefined;
  /** Multipliers of learning rate and weight decay by parameter. */
  readonly rules: readonly ScaleRule[];
  readonly length: RunLength;
}

/** What changes by step. */
export interface UpdateSettings {
  /** Counted from 0. */
  readonly step: number;
  readonly learningRate: number;
  readonly weightDecay: number;
}

/** Scalars of the parameters that start late, by name. */
const LATE = "late/";
const MOMENTUM = "teacher/momentum";

/** The update programs of a method on a device. */
export class UpdateStep {
  private constructor(
    private readonly programs: { readonly early: Program | undefined; readonly usual: Program },
    private readonly method: Method,
    private readonly options: UpdateOptions,
  ) {}

  static async compile(device: Device, method: Method, options: UpdateOptions): Promise<UpdateStep> {
    const programs = {
      early: skipsLateParameters(method, options, 0)
        ? await device.compile(updateProgram(method, options, { skipsLate: true }))
        : undefined,
      usual: await device.compile(updateProgram(method, options)),
    };
    return new UpdateStep(programs, method, options);
  }

  async run(settings: UpdateSettings): Promise<void> {
    const { method, options, programs } = this;
    const { early, usual } = programs;
    const skipsLate = early !== undefined && skipsLateParameters(method, options, settings.step);
    await (skipsLate ? early : usual).run(updateInputs(method, options, settings, { skipsLate }));
  }

  /** Whether every state but the buffers is written over its old value. */
  get isInPlace(): boolean {
    return this.programs.usual.compiled.updates.every(
      ({ inPlace, name }) => inPlace || name.startsWith(BUFFER),
    );
  }
}

/** Steps before the method's late parameters train. */
function lateSteps({ late }: Method, { length }: Pick<UpdateOptions, "length">): number {
  return late ? Math.round(late.epochs * length.stepsPerEpoch) : 0;
}

/** Whether a step's update leaves the method's late parameters out. */
export function skipsLateParameters(
  method: Method,
  options: Pick<UpdateOptions, "length">,
  step: number,
): boolean {
  return method.late?.meanwhile === "skipped" && step < lateSteps(method, options);
}

export interface UpdateVariant {
  /** Leaves the method's late parameters as they are (default false). */
  readonly skipsLate?: boolean;
}

/** The scalars that an update program is fed at a step. */
export function updateInputs(
  method: Method,
  options: UpdateOptions,
  settings: UpdateSettings,
  { skipsLate = false }: UpdateVariant = {},
): Record<string, HostValue> {
  const { optimizer, length } = options;
  const late = optimizer.scalars(lateSettings(method, options, settings));
  const momentum = method.teacher?.momentum(length)(settings.step);
  return mapValues(
    {
      ...optimizer.scalars(settings),
      ...(method.late && !skipsLate ? prefixed(late, LATE) : {}),
      ...(momentum === undefined ? {} : { [MOMENTUM]: momentum }),
    },
    float32Scalar,
  );
}

/** In place of the step's own scalars, those with which an update of gradients of 0 changes nothing; others stay. */
export function idleInputs(
  method: Method,
  { optimizer }: Pick<UpdateOptions, "optimizer">,
  { skipsLate = false }: UpdateVariant = {},
): Record<string, number> {
  return {
    ...optimizer.idle,
    ...(method.late && !skipsLate ? prefixed(optimizer.idle, LATE) : {}),
    ...(method.teacher ? { [MOMENTUM]: 1 } : {}),
  };
}

/** What the late parameters' update is told: a step count of their own, or a rate of 0. */
function lateSettings(method: Method, options: UpdateOptions, settings: UpdateSettings): UpdateSettings {
  const from = lateSteps(method, options);
  if (method.late?.meanwhile === "zeroRate") {
    return settings.step < from ? { ...settings, learningRate: 0 } : settings;
  }
  return { ...settings, step: Math.max(0, settings.step - from) };
}

/** The update of a method, as one program. */
export function updateProgram(
  method: Method,
  options: UpdateOptions,
  { skipsLate = false }: UpdateVariant = {},
): ProgramDefinition {
  const { optimizer, clip, rules } = options;
  const trained = trainedSpecs(method);
  const isLate = (name: string) => method.late?.names.test(name) ?? false;
  const types: Record<string, TensorType> = mapValues(trained, ({ dtype, shape }) => ({ dtype, shape }));
  const { parameters, teacher, buffers } = stateTypes(method);
  const scalars = updateInputs(method, options, { step: 0, learningRate: 0, weightDecay: 0 }, { skipsLate });
  return {
    name: skipsLate ? "update without late parameters" : "update",
    inputs: mapValues(scalars, ({ dtype, shape }) => ({ dtype, shape })),
    state: {
      ...parameters,
      ...teacher,
      ...prefixed(types, GRADIENT),
      ...prefixed(optimizer.state(types), OPTIMIZER),
      ...buffers,
      ...mapKeys(buffers, (name) => NEXT_BUFFER + name.slice(BUFFER.length)),
    },
    trace: (fed, state) => {
      const old = unprefixed(state, PARAMETER);
      const raw = unprefixed(state, GRADIENT);
      // Gradients that are skipped have no part in a common norm either.
      const kept = Object.fromEntries(Object.entries(raw).filter(([name]) => !(skipsLate && isLate(name))));
      const gradients = clip ? clipGradients(kept, clip.norm, clip.scope).gradients : kept;
      const scales = parameterScales(types, rules);
      const group = (late: boolean) =>
        optimizer.update({
          parameters: old,
          gradients: Object.fromEntries(Object.entries(gradients).filter(([name]) => isLate(name) === late)),
          state: unprefixed(state, OPTIMIZER),
          scalars: late ? unprefixed(fed, LATE) : fed,
          scales,
        });
      const groups = method.late && !skipsLate ? [group(false), group(true)] : [group(false)];
      const updated = Object.assign({}, ...groups.map((part) => part.parameters)) as typeof old;
      const momentum = fed[MOMENTUM];
      const followed = Object.fromEntries(
        Object.keys(teacherSpecs(method)).map((name) => [name, updated[name] ?? old[name]]),
      ) as typeof old;
      return {
        state: {
          ...prefixed(updated, PARAMETER),
          ...prefixed(Object.assign({}, ...groups.map((part) => part.state)) as typeof old, OPTIMIZER),
          ...(momentum
            ? prefixed(movingAverage(unprefixed(state, TEACHER), followed, momentum), TEACHER)
            : {}),
          ...prefixed(unprefixed(state, NEXT_BUFFER), BUFFER),
        },
      };
    },
  };
}
