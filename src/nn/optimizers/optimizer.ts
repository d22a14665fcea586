/** @file What every optimiser is: a traced update of named parameters, with its state and its scalar inputs. */

import { mul, type Tensor, type TensorType } from "../../graph/index.js";

/** Named tensors. */
export type Tensors = Readonly<Record<string, Tensor>>;
/** Named types of tensors. */
export type TensorTypes = Readonly<Record<string, TensorType>>;

/** Multipliers of a parameter's learning rate and weight decay. */
export interface ParameterScale {
  readonly learningRate: number;
  readonly weightDecay: number;
}

/** Hyper-parameters of one step. */
export interface StepSettings {
  /** Counts from 0. */
  readonly step: number;
  readonly learningRate: number;
  readonly weightDecay?: number;
}

export interface UpdateInput {
  readonly parameters: Tensors;
  /** Gradients by parameter name; a parameter without one is left alone (no moments, no decay). */
  readonly gradients: Tensors;
  /** Old state, by the names that `state` gives. */
  readonly state: Tensors;
  /** The step's scalars, by the names that `scalars` gives, each of shape []. */
  readonly scalars: Tensors;
  /** By parameter name; 1 and 1 where absent. */
  readonly scales?: Readonly<Record<string, ParameterScale>>;
}

export interface Updated {
  /** New values of the parameters that have a gradient. */
  readonly parameters: Record<string, Tensor>;
  readonly state: Record<string, Tensor>;
}

/**
 * An optimiser. Hyper-parameters that may change by step are scalar inputs of the update, so that one compiled
 * update serves a whole run; the host computes them in float64.
 * Each new value is written by an element-wise operator after all reads of the old one, so a runtime may write it
 * in place.
 */
export interface Optimizer {
  /** State to be kept for these parameters, by name; all of it starts at zero. */
  state(parameters: TensorTypes): Record<string, TensorType>;
  /** The update's scalar inputs at a step, by name. */
  scalars(settings: StepSettings): Record<string, number>;
  update(input: UpdateInput): Updated;
  /**
   * In place of the step's own, scalars with which an update changes no finite state where all gradients are 0: a step
   * whose gradients are not finite is passed over.
   */
  readonly idle: Readonly<Record<string, number>>;
}

/** @throws TypeError when there is no such entry. */
export function entry<T>(record: Readonly<Record<string, T>>, name: string, kind: string): T {
  const value = record[name];
  if (value === undefined) throw new TypeError(`optimiser: no ${kind} "${name}" was given`);
  return value;
}

/** `scalar * factor` without a node where the factor is 1. */
export function scaled(scalar: Tensor, factor: number): Tensor {
  return factor === 1 ? scalar : mul(scalar, factor);
}

/** The state of `slot` for a parameter. */
export function slotName(slot: string, parameter: string): string {
  return `optimizer.${slot}.${parameter}`;
}

/** The types of the given slots, each shaped as its parameter. */
export function slotTypes(parameters: TensorTypes, slots: readonly string[]): Record<string, TensorType> {
  return Object.fromEntries(
    slots.flatMap((slot) =>
      Object.entries(parameters).map(([name, { dtype, shape }]) => [slotName(slot, name), { dtype, shape }]),
    ),
  );
}

/** The trained parameters: those that have a gradient, with it and their multipliers. */
export function* trained({ parameters, gradients, scales }: UpdateInput) {
  for (const [name, gradient] of Object.entries(gradients)) {
    const scale = scales?.[name] ?? { learningRate: 1, weightDecay: 1 };
    yield { name, gradient, parameter: entry(parameters, name, "parameter"), scale };
  }
}
