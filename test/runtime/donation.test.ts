/** @file Which state a program may overwrite in place, and that doing so changes no number. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  add,
  div,
  exp,
  grad,
  input,
  makeGraph,
  matmul,
  mean,
  mul,
  neg,
  reshape,
  runPasses,
  sqrt,
  square,
  stopGradient,
  sub,
  sum,
  type Tensor,
  tanh,
  transpose,
} from "#src/graph/index.js";
import { donatable } from "#src/runtime/donation.js";
import { Device, float32, float32Scalar, type HostValue } from "#src/runtime/index.js";
import { compileProgram, type ProgramDefinition } from "#src/runtime/program.js";
import { targets } from "#src/runtime/providers.js";

type Tensors = Readonly<Record<string, Tensor>>;

/** The donatable states among `a` and `b` (4 x 4) of a traced update. */
function donated(
  trace: (a: Tensor, b: Tensor) => { readonly state: Tensors; readonly outputs?: Tensors },
): string[] {
  const [a, b] = [input("a", [4, 4]), input("b", [4, 4])];
  const { state, outputs = {} } = trace(a, b);
  const named = Object.fromEntries(Object.entries(state).map(([name, tensor]) => [`next:${name}`, tensor]));
  const graph = runPasses(makeGraph({ ...outputs, ...named }));
  const updates = new Map(Object.keys(state).map((name) => [name, graph.outputs[`next:${name}`] as Tensor]));
  return [...donatable(graph, new Map(Object.entries({ a, b })), updates)].sort();
}

describe("a state is overwritten", () => {
  it("where the element-wise node that writes it is its only reader", () => {
    expect(donated((a, b) => ({ state: { a: sub(a, b) } }))).toEqual(["a"]);
  });

  it("where every other reader must have run before", () => {
    expect(donated((a, b) => ({ state: { a: sub(a, mul(matmul(a, b), 0.1)) } }))).toEqual(["a"]);
    expect(donated((a, b) => ({ state: { a: add(mul(a, 0.9), mul(b, 0.1)) } }))).toEqual(["a"]);
  });

  it("where the program does not read it, as the gradients of the step before", () => {
    expect(donated((a, b) => ({ state: { sum: add(a, b) } }))).toEqual(["sum"]);
  });

  it("where a moment and a parameter follow each other, as in an optimiser", () => {
    const names = donated((a, b) => {
      const moment = add(mul(b, 0.9), tanh(a));
      return { state: { b: moment, a: sub(a, mul(moment, 0.1)) } };
    });
    expect(names).toEqual(["a", "b"]);
  });

  it("where it is seen through a reshape that is used before", () => {
    const names = donated((a, b) => ({ state: { a: sub(a, mul(sum(reshape(a, [16])), b)) } }));
    expect(names).toEqual(["a"]);
  });
});

describe("a state is kept beside its new value", () => {
  it("where another result still needs the old one", () => {
    expect(donated((a, b) => ({ state: { a: sub(a, b) }, outputs: { norm: sum(square(a)) } }))).toEqual([]);
    expect(donated((a, b) => ({ state: { a: sub(a, b) }, outputs: { old: a } }))).toEqual([]);
    const seen = donated((a, b) => ({
      state: { a: sub(a, b) },
      outputs: { norm: sum(exp(reshape(a, [16]))) },
    }));
    expect(seen).toEqual([]);
    const stopped = donated((a, b) => ({
      state: { a: sub(a, b) },
      outputs: { norm: sum(exp(stopGradient(a))) },
    }));
    expect(stopped).toEqual([]);
  });

  it("where the node that writes it mixes elements", () => {
    expect(donated((a, b) => ({ state: { a: matmul(a, b) } }))).toEqual([]);
    expect(donated((a) => ({ state: { a: transpose(a, [1, 0]) } }))).toEqual([]);
  });

  it("where states change places or one is another's new value", () => {
    expect(donated((a, b) => ({ state: { a: b, b: a } }))).toEqual([]);
    expect(donated((a, b) => ({ state: { a: add(a, b), b: sub(b, a) } }))).toEqual([]);
    const sum = donated((a, b) => {
      const next = add(a, b);
      return { state: { a: next, b: next } };
    });
    expect(sum).toEqual([]);
  });

  it("where the new value is one that is returned too", () => {
    const names = donated((a, b) => {
      const next = add(a, b);
      return { state: { a: next }, outputs: { copy: next } };
    });
    expect(names).toEqual([]);
  });

  it("where arithmetic without effect stands before another reader", () => {
    // x - 0 and x / 1 are no copies: a runtime may drop them, and then the reader reads the state itself.
    const minus = donated((a, b) => {
      const same = sub(a, 0);
      return { state: { a: sub(same, b) }, outputs: { y: neg(same) } };
    });
    expect(minus).toEqual([]);
    const over = donated((a, b) => {
      const same = div(a, 1);
      return { state: { a: sub(same, b) }, outputs: { y: neg(same) } };
    });
    expect(over).toEqual([]);
  });
});

describe("training", () => {
  let device: Device;
  beforeAll(async () => {
    device = await Device.open({ threads: 1 });
  });
  afterAll(() => device.close());

  /** A two-layer regression with Adam, parameters and moments as state; gradients and update in one program. */
  const definition = (prefix: string): ProgramDefinition => {
    const shapes = { w1: [6, 5], w2: [5, 2] } as const;
    const named = (kind: string, name: string) => `${prefix}${kind}${name}`;
    const kinds = ["", "m.", "v."];
    const state = Object.fromEntries(
      kinds.flatMap((kind) =>
        Object.entries(shapes).map(([name, shape]) => [
          named(kind, name),
          { dtype: "float32" as const, shape },
        ]),
      ),
    );
    return {
      name: "step",
      inputs: {
        x: { dtype: "float32", shape: [8, 6] },
        y: { dtype: "float32", shape: [8, 2] },
        rate: { dtype: "float32", shape: [] },
      },
      state,
      trace: ({ x, y, rate }, held) => {
        const weights = Object.keys(shapes).map((name) => held[named("", name)] as Tensor);
        const hidden = tanh(matmul(x as Tensor, weights[0] as Tensor));
        const loss = mean(square(sub(matmul(hidden, weights[1] as Tensor), y as Tensor)));
        const gradients = grad(loss, weights);
        const next: Record<string, Tensor> = {};
        Object.keys(shapes).forEach((name, i) => {
          const [weight, gradient] = [weights[i] as Tensor, gradients[i] as Tensor];
          const m = add(mul(held[named("m.", name)] as Tensor, 0.9), mul(gradient, 0.1));
          const v = add(mul(held[named("v.", name)] as Tensor, 0.99), mul(square(gradient), 0.01));
          next[named("m.", name)] = m;
          next[named("v.", name)] = v;
          next[named("", name)] = sub(weight, mul(rate as Tensor, div(m, add(sqrt(v), 1e-3))));
        });
        return { outputs: { loss }, state: next };
      },
    };
  };

  const wave = (scale: number, ...shape: number[]): HostValue => {
    const size = shape.reduce((a, b) => a * b, 1);
    return float32(
      Float32Array.from({ length: size }, (_, i) => scale * Math.sin(3 * i + 1)),
      shape,
    );
  };

  it("gives the same numbers bit by bit with and without writing in place", async () => {
    const train = async (prefix: string, isAllowed: boolean) => {
      const compiled = compileProgram(definition(prefix), targets.cpu);
      const updates = compiled.updates.map((update) => ({ ...update, inPlace: isAllowed && update.inPlace }));
      const program = await device.load({ ...compiled, updates });
      await device.setState({ [`${prefix}w1`]: wave(0.5, 6, 5), [`${prefix}w2`]: wave(0.5, 5, 2) });
      const losses: number[] = [];
      for (let step = 0; step < 30; step++) {
        const outputs = await program.run({ x: wave(1, 8, 6), y: wave(2, 8, 2), rate: float32Scalar(0.02) });
        losses.push((outputs.loss as HostValue<"float32">).data[0] as number);
      }
      const names = compiled.updates.map(({ name }) => name);
      const final = await device.getState(names);
      return {
        losses,
        inPlace: compiled.updates
          .filter((update) => update.inPlace)
          .map(({ name }) => name.slice(prefix.length)),
        final: names.map((name) => Array.from((final[name] as HostValue<"float32">).data)),
      };
    };
    const [inPlace, beside] = [await train("a:", true), await train("b:", false)];
    expect(inPlace.losses).toEqual(beside.losses);
    expect(inPlace.final).toEqual(beside.final);
    expect(inPlace.losses.at(-1)).toBeLessThan((inPlace.losses[0] as number) / 2);
    // The moments always; a weight only where the loss's own reading of it must have ended.
    expect(inPlace.inPlace).toEqual(expect.arrayContaining(["m.w1", "m.w2", "v.w1", "v.w2"]));
  });
});
