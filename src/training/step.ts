/**
 * @file The gradient half of a step as programs on a device. State stays there under `param/…`, `grad/…`, `optimizer/…`
 * and `buffer/…`; a step moves the batch in and a few numbers out.
 *
 *   whole batch    encode, objective, backward
 *   accumulating   features of each micro-batch; objective and its backward on all of them; encode and backward of
 *                  each micro-batch with the cotangents of its features
 *
 * training-step.ts puts the update behind it.
 */

import {
  add,
  concat,
  grad,
  mean,
  mul,
  reshape,
  scalar,
  sqrt,
  square,
  sum,
  type Tensor,
  type TensorType,
  variance,
  vjp,
} from "../graph/index.js";
import type { LossTerms, Method } from "../methods/index.js";
import { mapKeys, mapValues, prefixed, unprefixed } from "../records.js";
import {
  type Device,
  float32,
  type HostValue,
  itemOf,
  type Program,
  type ProgramDefinition,
} from "../runtime/index.js";
import { MethodTrace } from "./method-trace.js";
import { GRADIENT, NEXT_BUFFER, readTypes, trainedSpecs } from "./state.js";
import { type StepInputs, stepInputTypes } from "./step-inputs.js";

/** What came out of the gradient half of a step, before the update. */
export interface Gradients {
  /** Parts of the loss, unweighted, and their weighted sum as `total`. */
  readonly losses: Readonly<Record<string, number>> & { readonly total: number };
  /** Further numbers to log; `featureStd` is the features' standard deviation over the batch, mean over channels. */
  readonly metrics: Readonly<Record<string, number>>;
  /** L2 norm of each parameter's gradient, by name. */
  readonly norms: Readonly<Record<string, number>>;
  readonly bytesToDevice: number;
}

/** Whether the step's numbers are fit for an update. */
export function isFiniteStep({ losses, norms }: Gradients): boolean {
  return Number.isFinite(losses.total + Math.hypot(...Object.values(norms)));
}

/** Whether an output of a gradient program is one of those that `isFiniteStep` looks at. */
export function decidesStep(output: string): boolean {
  return output === NORMS || output.startsWith(SHARE);
}

const LOSS = "loss/";
const SHARE = "share/";
const METRIC = "metric/";
const NORMS = "norms";
const FEATURE = "feature/";
const COTANGENT = "cotangent/";

type Tensors = Readonly<Record<string, Tensor>>;

/** The programs that compute gradients for a method at a batch size. */
export class GradientStep {
  private constructor(
    private readonly accumulate: number,
    private readonly programs: Programs,
    private readonly names: readonly string[],
  ) {}

  static async compile(
    device: Device,
    method: Method,
    batchSize: number,
    accumulate = 1,
  ): Promise<GradientStep> {
    if (batchSize % accumulate !== 0) {
      throw new RangeError(`a batch of ${batchSize} does not divide into ${accumulate} micro-batches`);
    }
    const programs =
      accumulate === 1
        ? { whole: await device.compile(gradientProgram(method, batchSize)) }
        : await compileAccumulating(device, method, batchSize, accumulate);
    return new GradientStep(accumulate, programs, Object.keys(trainedSpecs(method)));
  }

  /**
   * Computes the gradients of one batch into `grad/…`.
   * @param inputs For the whole batch, as `stepInputs` makes them.
   */
  async run(inputs: StepInputs): Promise<Gradients> {
    if ("whole" in this.programs) {
      const outputs = await this.programs.whole.run(inputs);
      return collectGradients([outputs], this.names, this.programs.whole.transfers.toDevice);
    }
    return this.#accumulated(inputs, this.programs);
  }

  async #accumulated(
    inputs: StepInputs,
    { features, objective, backward }: AccumulatingPrograms,
  ): Promise<Gradients> {
    const micro = divided(inputs, this.accumulate);
    let bytes = 0;
    const parts: Record<string, HostValue>[] = [];
    for (const part of micro) {
      parts.push(await features.run(part));
      bytes += features.transfers.toDevice;
    }
    const joined = joinRows(parts);
    const scalars = Object.fromEntries(Object.entries(inputs).filter(([name]) => name.startsWith("scalar/")));
    const result = await objective.run({ ...joined, ...scalars });
    bytes += objective.transfers.toDevice;
    const cotangents = Object.fromEntries(
      Object.entries(result).filter(([name]) => name.startsWith(COTANGENT)),
    );
    const outputs = [result];
    const microCotangents = divided(cotangents, this.accumulate);
    for (const [i, part] of micro.entries()) {
      outputs.push(await backward.run({ ...part, ...microCotangents[i] }, { transfer: true }));
      bytes += backward.transfers.toDevice;
    }
    return collectGradients(outputs, this.names, bytes);
  }
}

interface WholePrograms {
  readonly whole: Program;
}

interface AccumulatingPrograms {
  readonly features: Program;
  readonly objective: Program;
  readonly backward: Program;
}

type Programs = WholePrograms | AccumulatingPrograms;

/** The gradient half of a step on a whole batch, as one program. */
export function gradientProgram(method: Method, batch: number): ProgramDefinition {
  return {
    name: "gradients",
    inputs: stepInputTypes(method, batch),
    state: readTypes(method),
    trace: (inputs, state) => {
      const trace = new MethodTrace(method, inputs, state);
      const encoded = trace.encode();
      const objective = trace.objective(encoded.features);
      const losses = { ...objective.losses, ...encoded.losses };
      const gradients = grad(total(losses), Object.values(trace.trained));
      return {
        outputs: {
          ...logged(losses),
          ...prefixed({ ...objective.metrics, featureStd: featureStd(encoded.features) }, METRIC),
          [NORMS]: norms(gradients),
        },
        state: {
          ...named(Object.keys(trace.trained), gradients),
          ...prefixed(objective.buffers ?? {}, NEXT_BUFFER),
        },
      };
    },
  };
}

/** The first stage under accumulation: what the objective needs of a micro-batch. */
export function featuresProgram(method: Method, batch: number): ProgramDefinition {
  return {
    name: "features",
    inputs: stepInputTypes(method, batch),
    state: readTypes(method),
    trace: (fed, state) => ({
      outputs: prefixed(new MethodTrace(method, fed, state).encode().features, FEATURE),
    }),
  };
}

/** Gradient caching (Gao et al. 2021, "Scaling deep contrastive learning batch size under memory limited setup"). */
async function compileAccumulating(
  device: Device,
  method: Method,
  batch: number,
  accumulate: number,
): Promise<AccumulatingPrograms> {
  const read = readTypes(method);
  const inputs = stepInputTypes(method, batch / accumulate);
  const features = await device.compile(featuresProgram(method, batch / accumulate));
  const rows = mapValues(features.compiled.outputs, ({ dtype, shape }) => ({
    dtype,
    shape: [accumulate * (shape[0] as number), ...shape.slice(1)],
  }));
  const scalars = Object.fromEntries(Object.entries(inputs).filter(([name]) => name.startsWith("scalar/")));
  const objective = await device.compile({
    name: "objective",
    inputs: { ...rows, ...scalars },
    state: read,
    trace: (fed, state) => {
      const trace = new MethodTrace(method, fed, state);
      const all = unprefixed(fed, FEATURE);
      const result = trace.objective(all);
      const [keys, values] = [Object.keys(all), Object.values(all)];
      const weights = Object.values(trace.trained);
      const gradients = grad(total(result.losses), [...values, ...weights]);
      const cotangents = Object.fromEntries(keys.map((key, i) => [key, gradients[i] as Tensor]));
      return {
        outputs: {
          ...logged(result.losses),
          ...prefixed({ ...result.metrics, featureStd: featureStd(all) }, METRIC),
          ...prefixed(cotangents, COTANGENT),
        },
        state: {
          ...named(Object.keys(trace.trained), gradients.slice(keys.length)),
          ...prefixed(result.buffers ?? {}, NEXT_BUFFER),
        },
      };
    },
  });
  const gradientState = prefixed(gradientTypes(method), GRADIENT);
  const backward = await device.compile({
    name: "backward",
    inputs: {
      ...inputs,
      ...mapKeys(features.compiled.outputs, (name) => COTANGENT + name.slice(FEATURE.length)),
    },
    state: { ...read, ...gradientState },
    trace: (fed, state) => {
      const trace = new MethodTrace(method, fed, state);
      const { features: own, losses } = trace.encode();
      const averaged = mapValues(losses, ({ value, weight }) => ({
        value: mul(value, 1 / accumulate),
        weight,
      }));
      const sources = [...Object.values(own), ...Object.values(averaged).map(({ value }) => value)];
      const cotangents = [
        ...Object.keys(own).map((name) => fed[COTANGENT + name] as Tensor),
        ...Object.values(averaged).map(({ weight }) => scalar(weight)),
      ];
      const known = unprefixed(state, GRADIENT);
      const gradients = vjp(sources, cotangents, Object.values(trace.trained)).map((gradient, i) =>
        add(Object.values(known)[i] as Tensor, gradient),
      );
      return {
        outputs: { ...logged(averaged), [NORMS]: norms(gradients) },
        state: named(Object.keys(trace.trained), gradients),
      };
    },
  });
  return { features, objective, backward };
}

/** The types of the gradients, by parameter name. */
function gradientTypes(method: Method): Record<string, TensorType> {
  return mapValues(trainedSpecs(method), ({ dtype, shape }) => ({ dtype, shape }));
}

/** The scalar that is minimised; 0 for a stage that has no losses. */
function total(losses: LossTerms): Tensor {
  const terms = Object.values(losses).map(({ value, weight }) => mul(value, weight));
  return terms.length === 0 ? scalar(0) : terms.reduce(add);
}

/** Each part by itself, and its share of the total. */
function logged(losses: LossTerms): Record<string, Tensor> {
  return {
    ...prefixed(
      mapValues(losses, ({ value }) => value),
      LOSS,
    ),
    ...prefixed(
      mapValues(losses, ({ value, weight }) => mul(value, weight)),
      SHARE,
    ),
  };
}

/** `[T]`: the L2 norm of each tensor. */
function norms(tensors: readonly Tensor[]): Tensor {
  return sqrt(
    concat(
      tensors.map((tensor) => reshape(sum(square(tensor)), [1])),
      0,
    ),
  );
}

/** Standard deviation over the batch of the first features, mean over channels: it falls to 0 when they collapse. */
function featureStd(features: Tensors): Tensor {
  const [first] = Object.values(features);
  if (!first) return scalar(0);
  const rows = reshape(first, [first.shape[0] as number, -1]);
  return rows.shape[0] === 1 ? scalar(0) : mean(sqrt(variance(rows, [0])));
}

/** Sums the outputs of the programs of one step; what more than one of them gives is a part of the whole. */
export function collectGradients(
  outputs: readonly Readonly<Record<string, HostValue>>[],
  names: readonly string[],
  bytesToDevice: number,
): Gradients {
  const sums: Record<string, number> = {};
  let last: HostValue | undefined;
  for (const [name, value] of outputs.flatMap((result) => Object.entries(result))) {
    if (name === NORMS) last = value;
    else if (value.shape.length === 0) sums[name] = (sums[name] ?? 0) + itemOf(value);
  }
  const values = last?.data;
  if (!values) throw new Error("internal: no program of the step gave gradient norms");
  const shares = Object.values(unprefixed(sums, SHARE));
  return {
    losses: { total: shares.reduce((a, b) => a + b, 0), ...unprefixed(sums, LOSS) },
    metrics: unprefixed(sums, METRIC),
    norms: Object.fromEntries(names.map((name, i) => [name, Number(values[i])])),
    bytesToDevice,
  };
}

/** Values of a batch in as many parts along their first dimension; scalars are in each of them. */
export function divided(values: StepInputs, parts: number): StepInputs[] {
  return Array.from({ length: parts }, (_, part) =>
    mapValues(values, ({ dtype, shape, data }) => {
      const [rows] = shape;
      if (rows === undefined) return { dtype, shape, data: data.slice() } as HostValue;
      const length = data.length / parts;
      const own = data.slice(part * length, (part + 1) * length);
      return { dtype, shape: [rows / parts, ...shape.slice(1)], data: own } as HostValue;
    }),
  );
}

function joinRows(parts: readonly Readonly<Record<string, HostValue>>[]): Record<string, HostValue> {
  const [first] = parts;
  return mapValues(first ?? {}, ({ shape }, name) => {
    const blocks = parts.map((part) => (part[name] as HostValue<"float32">).data);
    const data = new Float32Array(blocks.reduce((length, block) => length + block.length, 0));
    let place = 0;
    for (const block of blocks) {
      data.set(block, place);
      place += block.length;
    }
    return float32(data, [(shape[0] as number) * parts.length, ...shape.slice(1)]);
  });
}

function named(names: readonly string[], gradients: readonly Tensor[]): Record<string, Tensor> {
  return Object.fromEntries(names.map((name, i) => [GRADIENT + name, gradients[i] as Tensor]));
}
