/** @file A tiny transformer trained for three steps: gradients and an AdamW update in one program, state on the device. */

import type { Tensor, TensorType } from "../../graph/index.js";
import * as g from "../../graph/index.js";
import type { Device } from "../device.js";
import { float32Scalar, type HostValue } from "../host-value.js";
import type { ProgramDefinition } from "../program.js";
import { positive, wave } from "./case.js";
import type { Results } from "./run.js";

const [BATCH, TOKENS, DIM, HEADS, STEPS] = [2, 6, 16, 2, 3];

const initial = {
  norm1Weight: positive([DIM]),
  norm1Bias: wave([DIM], { scale: 0.1 }),
  qkv: wave([DIM, 3 * DIM], { scale: 0.3 }),
  project: wave([DIM, DIM], { scale: 0.3, phase: 1 }),
  norm2Weight: positive([DIM], 1),
  norm2Bias: wave([DIM], { scale: 0.1, phase: 1 }),
  expand: wave([DIM, 4 * DIM], { scale: 0.3, phase: 2 }),
  expandBias: wave([4 * DIM], { scale: 0.1 }),
  contract: wave([4 * DIM, DIM], { scale: 0.3, phase: 3 }),
} as const satisfies Readonly<Record<string, HostValue>>;

type Name = keyof typeof initial;
type Parameters = Readonly<Record<Name, Tensor>>;

const names = Object.keys(initial) as Name[];

/** One pre-norm transformer block, [B, N, D]. */
function block(x: Tensor, p: Parameters): Tensor {
  const normal = g.layerNorm(x, p.norm1Weight, p.norm1Bias, 1e-6);
  const qkv = g.reshape(g.matmul(normal, p.qkv), [BATCH, TOKENS, 3, HEADS, DIM / HEADS]);
  const heads = g.split(g.transpose(qkv, [2, 0, 3, 1, 4]), 0, [1, 1, 1]);
  const [q, k, v] = [0, 1, 2].map((i) => g.squeeze(g.at(heads, i), 0)) as [Tensor, Tensor, Tensor];
  const attention = g.softmax(g.matmul(q, k, { transposeB: true, scale: 1 / Math.sqrt(DIM / HEADS) }));
  const mixed = g.reshape(g.transpose(g.matmul(attention, v), [0, 2, 1, 3]), [BATCH, TOKENS, DIM]);
  const middle = g.add(x, g.matmul(mixed, p.project));
  const second = g.layerNorm(middle, p.norm2Weight, p.norm2Bias, 1e-6);
  return g.add(middle, g.matmul(g.gelu(g.add(g.matmul(second, p.expand), p.expandBias)), p.contract));
}

/** AdamW (Loshchilov & Hutter 2019, algorithm 2) with decay 0.01 and bias correction from the step number. */
function adamW(
  parameter: Tensor,
  gradient: Tensor,
  m: Tensor,
  v: Tensor,
  step: Tensor,
): [Tensor, Tensor, Tensor] {
  const [rate, beta1, beta2] = [0.01, 0.9, 0.95];
  // A large epsilon: with the usual 1e-8 a gradient that is zero but for rounding takes a full step of either sign.
  const epsilon = 1e-3;
  const nextM = g.add(g.mul(m, beta1), g.mul(gradient, 1 - beta1));
  const nextV = g.add(g.mul(v, beta2), g.mul(g.square(gradient), 1 - beta2));
  const unbiasedM = g.div(nextM, g.sub(1, g.pow(g.scalar(beta1), step)));
  const unbiasedV = g.div(nextV, g.sub(1, g.pow(g.scalar(beta2), step)));
  const direction = g.div(unbiasedM, g.add(g.sqrt(unbiasedV), epsilon));
  return [g.sub(g.mul(parameter, 1 - rate * 0.01), g.mul(direction, rate)), nextM, nextV];
}

function trainingProgram(): ProgramDefinition {
  const typeOf = ({ dtype, shape }: TensorType): TensorType => ({ dtype, shape });
  const state = Object.fromEntries(
    names.flatMap((name) =>
      ["", "m ", "v "].map((part): [string, TensorType] => [part + name, typeOf(initial[name])]),
    ),
  );
  return {
    name: "three steps of a transformer",
    inputs: { x: { dtype: "float32", shape: [BATCH, TOKENS, DIM] }, step: { dtype: "float32", shape: [] } },
    state,
    trace: (inputs, current) => {
      const [x, step] = [inputs.x, inputs.step] as [Tensor, Tensor];
      const of = (name: string) => current[name] as Tensor;
      const parameters = Object.fromEntries(names.map((name) => [name, of(name)])) as Parameters;
      const loss = g.mean(g.square(g.sub(block(x, parameters), 0.5)));
      const gradients = g.grad(loss, Object.values(parameters));
      const next = names.flatMap((name, i): [string, Tensor][] => {
        const [p, m, v] = adamW(of(name), g.at(gradients, i), of(`m ${name}`), of(`v ${name}`), step);
        return [
          [name, p],
          [`m ${name}`, m],
          [`v ${name}`, v],
        ];
      });
      return { outputs: { loss }, state: Object.fromEntries(next) };
    },
  };
}

/** The loss of each step, and the parameters after the last. */
export async function trainThreeSteps(device: Device): Promise<Results> {
  const program = await device.compile(trainingProgram());
  const zeros = names.flatMap((name) =>
    ["m ", "v "].map((part): [string, HostValue] => {
      const { shape } = initial[name];
      return [part + name, wave(shape, { scale: 0 })];
    }),
  );
  await device.setState({ ...initial, ...Object.fromEntries(zeros) });
  const losses: [string, HostValue][] = [];
  for (let step = 1; step <= STEPS; step++) {
    const x = wave([BATCH, TOKENS, DIM]);
    const { loss } = await program.run({ x, step: float32Scalar(step) });
    losses.push([`loss ${step}`, loss as HostValue]);
  }
  const parameters = await device.getState(names);
  await program.release();
  return { ...Object.fromEntries(losses), ...parameters };
}
